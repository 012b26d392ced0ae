"""Server-sent events, read from lines."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec


class Message(msgspec.Struct, frozen=True):
    """One event: its ``id`` (empty when it has none), its name and its data lines joined."""

    id: str
    event: str
    data: str


class Comment(msgspec.Struct, frozen=True):
    """A line that only keeps the stream alive; the gateway puts load progress there."""

    text: str


async def messages(lines: AsyncIterator[str]) -> AsyncIterator[Message | Comment]:
    """Events and comments as they come. A last event without its blank line is incomplete: dropped."""
    fields: dict[str, list[str]] = {}
    async for line in lines:
        if not line:
            if "data" in fields:
                yield _message(fields)
            fields = {}
        elif line.startswith(":"):
            yield Comment(line[1:].strip())
        else:
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))


def _message(fields: dict[str, list[str]]) -> Message:
    return Message(
        id=fields.get("id", [""])[-1],
        event=fields.get("event", ["message"])[-1],
        data="\n".join(fields["data"]),
    )
