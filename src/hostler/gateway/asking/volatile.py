"""Lines at the head of a system prompt that change from request to request, left out so that prompt caches go on.

Claude Code begins its system prompt with `x-anthropic-billing-header: cc_version=...; cch=...;`, which says something
else each time. An engine computes the prompt anew from the first token that differs, so one such line costs the whole
of it. Only such headers are taken for volatile: a name that begins with `x-`, and `key=value;` behind it.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Raw

from hostler.fleet.protocol import Served
from hostler.gateway.asking.checks.chat import Chat, Message
from hostler.gateway.asking.checks.messages import Messages
from hostler.gateway.asking.checks.responses import Item, Response
from hostler.gateway.asking.fields import Edit, Fields
from hostler.gateway.routes import Route

#: At the very head of a text; what follows on the same line is no part of it.
VOLATILE: Final = re.compile(r"(?:\s*x-[a-z0-9-]+:(?:[ \t]*[\w.-]+=[^;\r\n]*(?:;|(?=[\r\n])|\Z))+[ \t]*(?:\r?\n|\Z)*)+")
_NAMED: Final = "x-"
_SYSTEM: Final = ("system", "developer")

_list = msgspec.json.Decoder(list[Raw]).decode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_text = msgspec.json.Decoder(str).decode


def edit_of(served: Served, route: Route) -> Edit | None:
    """Takes such lines out; None where a profile keeps them, and for APIs without a system prompt."""
    return _EDITS.get(route.api) if served.steady else None


def steady(text: str) -> str:
    """``text`` without such lines at its head."""
    found = VOLATILE.match(text)
    return text if found is None else text[found.end() :]


def _of_messages(fields: Fields) -> None:
    asked = fields.asked
    system = asked.system if isinstance(asked, Messages) else None
    if not isinstance(system, str | list) or not _is_volatile(_head(system)):
        return
    written = fields.get("system")
    if written is not None:
        fields.set("system", _without(written))


def _of_chat(fields: Fields) -> None:
    asked = fields.asked
    if isinstance(asked, Chat):
        _of_turns(fields, "messages", asked.messages or [])


def _of_response(fields: Fields) -> None:
    asked = fields.asked
    if not isinstance(asked, Response):
        return
    if isinstance(asked.instructions, str) and _is_volatile(asked.instructions):
        fields.set("instructions", msgspec.json.encode(steady(asked.instructions)))
    if isinstance(asked.input, list):
        _of_turns(fields, "input", asked.input)


def _of_turns(fields: Fields, name: str, turns: list[Message] | list[Item]) -> None:
    """The first turn of ``turns``, which are the field ``name``, if it is the system's."""
    if not turns or turns[0].role not in _SYSTEM or not _is_volatile(_head(turns[0].content)):
        return
    written = fields.get(name)
    if written is None:
        return
    first, *rest = _list(written)
    turn = _fields(first)
    turn["content"] = Raw(_without(turn["content"]))
    fields.set(name, msgspec.json.encode([turn, *rest]))


def _head(content: object) -> str:
    """The text that a content, as it was read, begins with."""
    if isinstance(content, list):
        content = getattr(content[0], "text", "") if content else ""
    return content if isinstance(content, str) else ""


def _is_volatile(text: str) -> bool:
    return text.lstrip()[:2] == _NAMED and VOLATILE.match(text) is not None


def _without(content: bytes | Raw) -> bytes:
    """A content, as JSON text, without such lines; a part of nothing else is left out."""
    if bytes(content).lstrip()[:1] == b'"':
        return msgspec.json.encode(steady(_text(content)))
    first, *rest = _list(content)
    part = _fields(first)
    text = steady(_text(part["text"]))
    if not text and rest:
        return msgspec.json.encode(rest)
    return msgspec.json.encode([{**part, "text": text}, *rest])


_EDITS: Final[dict[str, Edit]] = {
    "messages": _of_messages,
    "count_tokens": _of_messages,
    "chat": _of_chat,
    "responses": _of_response,
    "input_tokens": _of_response,
}
