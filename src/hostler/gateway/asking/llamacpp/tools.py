"""Tools and their choice as llama.cpp knows them: functions alone, and no choice of one.

A choice of one tool becomes `required` with that tool alone; of no tool, none at all in Anthropic's API. Tools of other
kinds (a search, a group of an agent's own) cannot be called by a model here and are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw

from hostler.fleet.protocol import Served
from hostler.gateway.asking.checks.chat import Chat
from hostler.gateway.asking.checks.kinds import Thing, invalid
from hostler.gateway.asking.checks.messages import Choice, Messages
from hostler.gateway.asking.checks.responses import Response
from hostler.gateway.asking.fields import Edit, Fields
from hostler.gateway.routes import Route

_list = msgspec.json.Decoder(list[Raw]).decode
_encode = msgspec.json.encode
_REQUIRED: Final = b'"required"'


class _Named(msgspec.Struct):
    name: str = ""


class _Wanted(msgspec.Struct):
    """A choice in either of OpenAI's APIs."""

    type: str = ""
    name: str = ""
    function: _Named = msgspec.field(default_factory=_Named)
    mode: str = "auto"


class _Tool(msgspec.Struct):
    type: str | None = None
    name: str | None = None
    function: _Named = msgspec.field(default_factory=_Named)


_wanted = msgspec.json.Decoder(_Wanted).decode
_tool = msgspec.json.Decoder(_Tool).decode


def edit_of(served: Served, route: Route) -> Edit | None:
    """Says it so; None for other engines and APIs."""
    if not served.counts or served.speaks is not None:
        return None
    return _EDITS.get(route.api)


def _of_openai(fields: Fields) -> None:
    asked = fields.asked
    if not isinstance(asked, Chat | Response):
        return
    if asked.tools and any(tool.type != "function" for tool in asked.tools):
        _keep(fields, lambda tool: tool.type == "function")
    if asked.tool_choice == "any":
        fields.set("tool_choice", _REQUIRED)
    elif isinstance(asked.tool_choice, Thing):
        _choose(fields)


def _choose(fields: Fields) -> None:
    """A choice that is an object."""
    try:
        wanted = _wanted(fields.get("tool_choice") or b"{}")
    except msgspec.MsgspecError:
        raise invalid("tool_choice", "`tool_choice` is no choice of a tool.") from None
    name = wanted.name or wanted.function.name
    if wanted.type == "function":
        _force(fields, name)
    else:  # of several, or of a kind that is not here: how much, not which
        fields.set("tool_choice", _REQUIRED if wanted.mode == "required" else b'"auto"')


def _force(fields: Fields, name: str) -> None:
    kept = _keep(fields, lambda tool: name in (tool.name, tool.function.name))
    if not kept:
        raise invalid("tool_choice", f"`tool_choice` names a tool that is not in `tools`: {name!r}.")
    fields.set("tool_choice", _REQUIRED)


def _of_messages(fields: Fields) -> None:
    asked = fields.asked
    if not isinstance(asked, Messages):
        return
    if asked.tools and any(tool.type not in (msgspec.UNSET, None, "custom") for tool in asked.tools):
        _keep(fields, lambda tool: tool.type in (None, "custom"))
    choice = asked.tool_choice
    if not isinstance(choice, Choice):
        return
    if choice.type == "none":
        fields.drop("tools")
        fields.drop("tool_choice")
    elif choice.type == "tool" and not _keep(fields, lambda tool: tool.name == choice.name):
        raise invalid("tool_choice.name", f"`tool_choice.name` is not among `tools`: {choice.name!r}.")


def _keep(fields: Fields, wanted: Callable[[_Tool], bool]) -> int:
    """Leave only the tools that are ``wanted``; how many there are."""
    tools = _list(fields.get("tools") or b"[]")
    kept = [tool for tool in tools if wanted(_tool(tool))]
    if not kept:
        fields.drop("tools")
    elif len(kept) < len(tools):
        fields.set("tools", _encode(kept))
    return len(kept)


_EDITS: Final[dict[str, Edit]] = {
    "chat": _of_openai,
    "responses": _of_openai,
    "input_tokens": _of_openai,
    "messages": _of_messages,
    "count_tokens": _of_messages,
}
