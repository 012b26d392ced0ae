"""A line of ours at the end of a request's system prompt; the client's own words stay as they were written. Pure."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from hostler.gateway.asking.nested import fields_of

_list = msgspec.json.Decoder(list[Raw])
_SYSTEM = (b'"system"', b'"developer"')


def in_messages(messages: bytes, line: str) -> bytes:
    """OpenAI's ``messages`` with ``line`` in the first one, which becomes or stays the system's."""
    try:
        listed = _list.decode(messages)
    except msgspec.MsgspecError:  # no list: the engine will tell
        return messages
    first = fields_of(bytes(listed[0])) if listed else {}
    if first and bytes(first.get("role", Raw(b""))) in _SYSTEM:
        content = first.get("content")
        first["content"] = Raw(in_system(None if content is None else bytes(content), line))
        return msgspec.json.encode([first, *listed[1:]])
    return msgspec.json.encode([{"role": "system", "content": line}, *listed])


def in_system(system: bytes | None, line: str) -> bytes:
    """A system prompt, a text or a list of parts, with ``line`` behind it."""
    if system is None or system == b"null":
        return msgspec.json.encode(line)
    try:
        said = msgspec.json.decode(system, type=str | list[Raw])
    except msgspec.MsgspecError:  # neither: the engine will tell
        return system
    if isinstance(said, str):
        return msgspec.json.encode(f"{said}\n\n{line}")
    return msgspec.json.encode([*said, {"type": "text", "text": f"\n\n{line}"}])
