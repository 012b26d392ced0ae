"""Between llama.cpp's answer and who hears it: puts right what has to be, and steps aside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hostler.errors import EngineLost, HostlerError
from hostler.gateway.answering.repairs.blame import blamed
from hostler.gateway.answering.repairs.protocol import Asked, Repairs, StreamRepair
from hostler.gateway.answering.sse import STREAMS
from hostler.gateway.errors import Family
from hostler.gateway.relay.http1 import Head
from hostler.gateway.relay.upstream import Receiver

_JSON = (b"content-type", b"application/json; charset=utf-8")


class Counter(Protocol):
    """The exchange that an answer belongs to."""

    def count_prompt(self, told: Callable[[int], None]) -> None:
        """Have ``told`` called with the tokens of the prompt, 0 where they cannot be known; never when it has ended."""
        ...

    def on_read(self) -> None:
        """The connection is read to its end, and no longer the exchange's; the answer's end is told later."""
        ...


class Mending:
    """Tells ``receiver`` an answer as its API has it. Once nothing is left to repair, ``on_data`` is the receiver's."""

    __slots__ = (
        "_asked",
        "_body",
        "_counter",
        "_family",
        "_head",
        "_over",
        "_receiver",
        "_repairs",
        "_stream",
        "on_data",
    )

    def __init__(self, receiver: Receiver, repairs: Repairs, asked: Asked, family: Family, counter: Counter) -> None:
        self._receiver = receiver
        self._repairs = repairs
        self._asked = asked
        self._family = family
        self._counter = counter
        self._head: Head | None = None  # of an answer that is repaired whole
        self._body: list[bytes] = []
        self._stream: StreamRepair | None = None
        self._over = False
        self.on_data: Callable[[bytes], None] = receiver.on_data

    def on_head(self, head: Head, *, alone: bool) -> None:
        events = head.get(b"content-type").startswith(STREAMS)
        whole = self._repairs.errors if head.status >= 400 else self._repairs.whole is not None
        if whole and not events:
            self._head, self.on_data = head, self._body.append
            return
        if events and head.status == 200 and self._repairs.stream is not None:
            self._stream, self.on_data = self._repairs.stream(self._asked), self._feed
            head = Head(head.status, head.fields, None)
        self._receiver.on_head(head, alone=alone)

    def on_end(self) -> None:
        if self._head is not None:
            self._tell_whole(self._head, b"".join(self._body))
        stream = self._stream
        if stream is not None:
            if stream.counting:
                self._over = True
                self._counter.on_read()
                return
            self._say(b"" if stream.done else stream.end())
        self._receiver.on_end()

    def on_lost(self, error: EngineLost, *, stale: bool) -> None:
        if self._stream is not None and self._stream.counting:
            self._counted(0)
        self._receiver.on_lost(error, stale=stale)

    def on_refused(self, error: HostlerError, *, whole: bool) -> None:
        self._receiver.on_refused(error, whole=whole)

    def on_stalled(self) -> None:
        self._receiver.on_stalled()

    def _feed(self, data: bytes) -> None:
        stream = self._stream
        assert stream is not None
        waits = stream.counting
        self._say(stream.feed(data))
        if stream.counting and not waits:
            self._counter.count_prompt(self._counted)
        elif stream.done:
            self.on_data = self._receiver.on_data

    def _counted(self, tokens: int) -> None:
        stream = self._stream
        if stream is None or not stream.counting:
            return
        self._say(stream.counted(tokens))
        if stream.done:
            self.on_data = self._receiver.on_data
        if self._over:
            self._say(b"" if stream.done else stream.end())
            self._receiver.on_end()

    def _say(self, data: bytes) -> None:
        if data:
            self._receiver.on_data(data)

    def _tell_whole(self, head: Head, body: bytes) -> None:
        status = head.status
        if status >= 400:
            status, body = blamed(status, body, self._family)
        elif status == 200 and self._repairs.whole is not None:
            body = self._repairs.whole(self._asked, body)
        fields = [_JSON, *(field for field in head.fields if field[0] != b"content-type")]
        self._receiver.on_head(Head(status, fields, len(body)), alone=False)
        self._say(body)
