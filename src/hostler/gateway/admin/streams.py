"""Events as a stream: SSE frames and WebSocket messages of the same batches."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Final

import anyio
import msgspec
from litestar.background_tasks import BackgroundTask
from litestar.response import Stream

from hostler.errors import InvalidRequest
from hostler.events import AnyEvent, Bus, Gap
from hostler.gateway.admin.services import Closing

BATCH = 256
HEARTBEAT = b": still here\n\n"
# Browsers reconnect by themselves after this pause.
OPENING = b"retry: 1000\n: hello\n\n"

_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_encoder = msgspec.json.Encoder()
TYPES: tuple[str, ...] = tuple(sorted(str(kind.__struct_config__.tag) for kind in AnyEvent.__args__))


class Wanted(msgspec.Struct, frozen=True):
    """What a reader asks for: events above ``after`` (None: only new ones) of ``types`` (empty: all)."""

    after: int | None = None
    types: frozenset[str] = frozenset()

    @classmethod
    def read(cls, after: int | None, last_event_id: str | None, types: str | None) -> Wanted:
        """From the query and the header; the header, which a reconnecting browser sends, counts more."""
        if last_event_id:
            if not _NUMBER.fullmatch(last_event_id):
                raise InvalidRequest("`Last-Event-ID` is not a number.", hint="Send the id of the last event you read.")
            after = int(last_event_id)
        chosen = frozenset(filter(None, (types or "").split(",")))
        unknown = sorted(chosen.difference(TYPES))
        if unknown:
            raise InvalidRequest(f"There is no event type {unknown[0]!r}.", hint=f"The types are {', '.join(TYPES)}.")
        return cls(after, chosen)

    def takes(self, event: AnyEvent) -> bool:
        """Whether the reader wants ``event``; what it missed is always told."""
        return not self.types or isinstance(event, Gap) or str(event.__struct_config__.tag) in self.types


async def batches(
    bus: Bus, closing: Closing, wanted: Wanted, heartbeat_s: float
) -> AsyncGenerator[list[AnyEvent], None]:
    """Wanted events, to the last one before ``closing``; an empty list after each ``heartbeat_s`` without one, whatever
    else happens meanwhile.

    A reader costs one number: when it is slower than the ring, a Gap tells what it missed. An ``after``
    above the newest id (from an earlier run of the gateway) starts at the oldest kept event.
    """
    cursor = bus.last_id if wanted.after is None else wanted.after
    if cursor > bus.last_id:
        cursor = 0
    told = anyio.current_time()
    while True:
        news = bus.since(cursor, BATCH)
        if news:
            cursor = news[-1].id
            chosen = [event for event in news if wanted.takes(event)]
            if chosen:
                yield chosen
                told = anyio.current_time()
        elif closing.is_set():
            return
        elif await _silence(bus, closing, cursor, told + heartbeat_s):
            yield []
            told = anyio.current_time()


async def frames(bus: Bus, closing: Closing, wanted: Wanted, heartbeat_s: float) -> AsyncGenerator[bytes, None]:
    """The batches as server-sent events."""
    yield OPENING
    async for batch in batches(bus, closing, wanted, heartbeat_s):
        yield b"".join(map(frame, batch)) or HEARTBEAT


def frame(event: AnyEvent) -> bytes:
    """One server-sent event."""
    name = str(event.__struct_config__.tag).encode()
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.id, name, _encoded(event))


def message(event: AnyEvent) -> str:
    """One WebSocket message."""
    return _encoded(event).decode()


def _encoded(event: AnyEvent) -> bytes:
    """Whatever its words are: the names of files and processes may be no text."""
    try:
        return _encoder.encode(event)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(event), ensure_ascii=False).encode("utf-8", "replace")


async def _silence(bus: Bus, closing: Closing, cursor: int, until: float) -> bool:
    """Wait for news or the end; True when neither came in time (``until``, of the loop's clock)."""
    with anyio.CancelScope(deadline=until) as bound:
        async with anyio.create_task_group() as waiting:

            async def first(wait: Callable[[], Awaitable[None]]) -> None:
                await wait()
                waiting.cancel_scope.cancel()

            waiting.start_soon(first, lambda: bus.changed(cursor))
            waiting.start_soon(first, closing.wait)
    return bound.cancelled_caught


async def lines_until(source: AsyncGenerator[str, None], closing: Closing) -> AsyncGenerator[bytes, None]:
    """Lines of a followed log, each with its end, until ``closing``; closes ``source``."""
    async with aclosing(source):
        while (line := await _next_line(source, closing)) is not None:
            yield line.encode("utf-8", "backslashreplace") + b"\n"


def streamed(pieces: AsyncGenerator[bytes, None], headers: Mapping[str, str], media_type: str | None = None) -> Stream:
    """An answer in pieces, whose source is closed when its reader has left: Litestar leaves that to chance."""

    async def close() -> None:
        await pieces.aclose()

    return Stream(pieces, media_type=media_type, headers=dict(headers), background=BackgroundTask(close))


async def _next_line(source: AsyncIterator[str], closing: Closing) -> str | None:
    line: str | None = None
    async with anyio.create_task_group() as waiting:

        async def end() -> None:
            await closing.wait()
            waiting.cancel_scope.cancel()

        waiting.start_soon(end)
        line = await anext(source, None)
        waiting.cancel_scope.cancel()
    return line
