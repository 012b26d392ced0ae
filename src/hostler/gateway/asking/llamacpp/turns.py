"""Turns of the system in the middle of a conversation, which many chat templates refuse or leave out.

Claude Code says more to its model in turns of the role `system` behind the user's, Codex begins with several of
`developer`. A template that has the system first and once cannot render them. So what the system says first is one
turn, and what it says later is part of the user's turn before or behind it, in the order in which it came.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Final

import msgspec
from msgspec import Raw

from hostler.fleet.protocol import Served
from hostler.gateway.asking.checks.chat import Chat
from hostler.gateway.asking.checks.messages import Messages
from hostler.gateway.asking.checks.responses import Response
from hostler.gateway.asking.fields import Edit, Fields
from hostler.gateway.routes import Route

Turn = dict[str, Raw]

_list = msgspec.json.Decoder(list[Raw]).decode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.encode
_ROLES: Final = {"system": "system", "developer": "system", "user": "user"}
_ROLE: Final = msgspec.json.Decoder(str).decode


def edit_of(served: Served, route: Route) -> Edit | None:
    """Puts such turns where templates have them; None for other engines and APIs."""
    if not served.counts or served.speaks is not None:
        return None
    if served.alternates and route.api in _STRICT:
        return _alternating
    return _EDITS.get(route.api)


def _alternating(fields: Fields) -> None:
    """For a template that refuses two turns of one side in a row."""
    asked = fields.asked
    said = asked.messages if isinstance(asked, Chat | Messages) else None
    if said and _needs([turn.role for turn in said]):
        turns = [_fields(turn) for turn in _list(fields.get("messages") or b"[]")]
        fields.set("messages", _encode(_placed(turns, "text")))


def _of_messages(fields: Fields) -> None:
    asked = fields.asked
    if not isinstance(asked, Messages) or all(turn.role != "system" for turn in asked.messages or ()):
        return
    turns = [_fields(turn) for turn in _list(fields.get("messages") or b"[]")]
    for turn in turns:
        if _role(turn) == "system":
            turn["role"] = Raw(b'"user"')
    fields.set("messages", _encode(_joined(turns, "text")))


def _of_response(fields: Fields) -> None:
    asked = fields.asked
    if not isinstance(asked, Response) or not isinstance(asked.input, list):
        return
    if not _needs([item.role for item in asked.input]):
        return
    items = [_fields(item) for item in _list(fields.get("input") or b"[]")]
    if asked.instructions and (instructions := fields.get("instructions")):
        fields.drop("instructions")
        items.insert(0, {"role": Raw(b'"system"'), "content": Raw(instructions)})
    fields.set("input", _encode(_placed(items, "input_text")))


def _needs(roles: Sequence[object]) -> bool:
    """Whether two turns of one side follow each other, or a turn of the system is not the first."""
    sides = [_ROLES.get(role) if isinstance(role, str) else None for role in roles]
    return "developer" in roles or any(
        side is not None and side in (before, "system") for before, side in pairwise(sides)
    )


def _placed(turns: list[Turn], kind: str) -> list[Turn]:
    """``turns`` with the system's at the head as one, and its later ones in the user's."""
    first = next((at for at, turn in enumerate(turns) if _ROLES.get(_role(turn)) != "system"), len(turns))
    for at, turn in enumerate(turns):
        if _ROLES.get(_role(turn)) == "system":
            turn["role"] = Raw(b'"system"' if at < first else b'"user"')
    return _joined(turns, kind)


def _joined(turns: list[Turn], kind: str) -> list[Turn]:
    """``turns`` with neighbours of one side as one; ``kind`` is what the API calls a part of text."""
    joined: list[Turn] = []
    for side, group in groupby(turns, lambda turn: _ROLES.get(_role(turn))):
        same = list(group)
        if side is None or len(same) == 1:
            joined += same
            continue
        parts = [part for turn in same for part in _parts(turn.get("content"), kind)]
        joined.append({**same[0], "content": Raw(_encode(parts))})
    return joined


def _role(turn: Turn) -> str:
    role = turn.get("role")
    return "" if role is None or bytes(role) == b"null" else _ROLE(role)


def _parts(content: Raw | None, kind: str) -> list[Raw]:
    if content is None or bytes(content) == b"null":
        return []
    if bytes(content).lstrip()[:1] != b'"':
        return _list(content)
    return [Raw(b'{"type":"%b","text":%b}' % (kind.encode(), bytes(content)))]


_STRICT: Final = ("chat", "messages", "count_tokens")
_EDITS: Final[dict[str, Edit]] = {
    "messages": _of_messages,
    "count_tokens": _of_messages,
    "responses": _of_response,
    "input_tokens": _of_response,
}
