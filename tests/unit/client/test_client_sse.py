"""Server-sent events, by lines."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hostler.client.sse import Comment, Message, messages

pytestmark = pytest.mark.anyio


async def read(text: str) -> list[Message | Comment]:
    async def lines() -> AsyncIterator[str]:
        for line in text.split("\n"):
            yield line

    return [message async for message in messages(lines())]


async def test_events_comments_and_fields() -> None:
    text = ': wait\n\nid: 7\nevent: load\ndata: one\ndata:two\n\ndata: {"a": "b: c"}\n\n'
    assert await read(text) == [
        Comment("wait"),
        Message("7", "load", "one\ntwo"),
        Message("", "message", '{"a": "b: c"}'),
    ]


async def test_an_event_without_its_blank_line_is_dropped() -> None:
    assert await read("data: half") == []


async def test_an_event_without_data_is_none() -> None:
    assert await read("id: 1\n\nretry: 5\n\n") == []
