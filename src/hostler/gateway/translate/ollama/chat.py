"""A chat of Ollama's API as OpenAI's: messages, images, calls of tools and their answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Raw

from hostler.errors import InvalidRequest
from hostler.gateway.translate.ollama import shapes as o
from hostler.gateway.translate.ollama.options import Fields

_ROLES: Final = ("system", "user", "assistant", "tool", "developer")
#: It gives nothing back (`++`): else a client could have it look at its blanks over and over.
_BASE64: Final = re.compile(r"[A-Za-z0-9+/\s]++={0,2}\s*")
#: The first bytes of an image, in base64.
_TYPES: Final = (("/9j/", "jpeg"), ("iVBOR", "png"), ("R0lGOD", "gif"), ("UklGR", "webp"), ("Qk", "bmp"))
_EFFORTS: Final = ("minimal", "low", "medium", "high", "max")
_FUNCTION: Final = Raw(b'"function"')
_NO_ARGUMENTS: Final = Raw(b"{}")


def messages_of(conversation: Sequence[o.Message]) -> list[Fields]:
    """The messages as OpenAI's API has them. Raises InvalidRequest."""
    told: list[Fields] = []
    open_calls: list[tuple[object, str]] = []  # id and name of calls that no tool has answered yet
    for turn, message in enumerate(conversation):
        role = message.role.lower()
        if role not in _ROLES:
            shown = ", ".join(_ROLES[:4])
            raise InvalidRequest(f"A message's role is {message.role[:40]!r}; it has to be one of {shown}.")
        fields: Fields = {"role": role, "content": content_of(message.content or "", message.images)}
        if message.thinking:
            fields["reasoning_content"] = message.thinking
        if message.tool_calls:
            calls = [_call(call, turn, number) for number, call in enumerate(message.tool_calls)]
            fields["tool_calls"] = calls
            open_calls = [
                (call["id"], given.function.name) for call, given in zip(calls, message.tool_calls, strict=True)
            ]
        if role == "tool":
            fields["tool_call_id"] = _answered(message, open_calls)
        told.append(fields)
    return told


def content_of(text: str, images: Iterable[str] | None) -> str | list[Fields]:
    """What a message says. Raises InvalidRequest for an image that is not base64."""
    if not images:
        return text
    parts: list[Fields] = [{"type": "text", "text": text}] if text else []
    for image in images:
        parts.append({"type": "image_url", "image_url": {"url": _inline(image)}})
    return parts


def _inline(image: str) -> str:
    if image.startswith("data:"):
        return image
    if _BASE64.fullmatch(image) is None:
        raise InvalidRequest("An image is not base64.", hint="Send the file's bytes in base64, without an address.")
    kind = next((kind for start, kind in _TYPES if image.startswith(start)), "png")
    return f"data:image/{kind};base64,{''.join(image.split())}"


def _call(call: o.Called, turn: int, number: int) -> Fields:
    """Ollama's clients need not give an id: the same place in a conversation has the same, so that its beginning stays
    as it was."""
    given = call.function.arguments
    text = bytes(given if isinstance(given, Raw) else _NO_ARGUMENTS).decode()
    return {
        "id": call.id or f"call_{turn}_{number}",
        "type": "function",
        "function": {"name": call.function.name, "arguments": text},
    }


def _answered(message: o.Message, open_calls: list[tuple[object, str]]) -> object:
    """Which call a tool answers: it says so, or the first open one of its name, or the first that is open."""
    if message.tool_call_id:
        open_calls[:] = [call for call in open_calls if call[0] != message.tool_call_id]
        return message.tool_call_id
    found = next((call for call in open_calls if call[1] == message.tool_name), None)
    found = found or next(iter(open_calls), None)
    if found is None:
        return "call_0"
    open_calls.remove(found)
    return found[0]


def tools_of(tools: Iterable[dict[str, Raw]]) -> list[dict[str, Raw]]:
    """Tools, which both APIs write alike; here their type may be left out. Raises InvalidRequest for what is none."""
    found = []
    for tool in tools:
        if "function" not in tool:
            raise InvalidRequest("A tool has no function.", hint='Send {"type": "function", "function": {...}}.')
        found.append({"type": _FUNCTION, **tool})
    return found


def reasoning(think: bool | str | None) -> Fields:
    """How much it shall think. Raises InvalidRequest."""
    if think is None:
        return {}
    if isinstance(think, str) and think not in _EFFORTS:
        raise InvalidRequest(f'think is "{think[:40]}".', hint='Send true, false, "low", "medium" or "high".')
    effort = think if isinstance(think, str) else "medium" if think else "none"
    return {"reasoning_effort": effort}
