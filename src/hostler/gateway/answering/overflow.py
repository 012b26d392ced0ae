"""An engine's own refusal of a prompt that does not fit, told as ours: so that clients of every engine hear the same,
and a profile with more context can be asked instead."""

from __future__ import annotations

from typing import Final

from hostler.errors import EngineLost, HostlerError
from hostler.gateway.asking.exceeded import exceeded
from hostler.gateway.relay.http1 import Head
from hostler.gateway.relay.upstream import Receiver

_STATUSES: Final = (400, 413, 422)
#: An error that is longer is no such refusal.
LONGEST: Final = 64 * 1024


class Overflow:
    """Hears an answer and tells ``receiver`` all of it, but that refusal as an error of ours."""

    __slots__ = ("_body", "_head", "_receiver")

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._head: Head | None = None  # kept back while it may be that refusal
        self._body = b""

    def on_head(self, head: Head, *, alone: bool) -> None:
        if head.status in _STATUSES:
            self._head = head
        else:
            self._receiver.on_head(head, alone=alone)

    def on_data(self, data: bytes) -> None:
        if self._head is None:
            self._receiver.on_data(data)
            return
        self._body += data
        if len(self._body) > LONGEST:
            self._let_through()

    def on_end(self) -> None:
        error = None if self._head is None else exceeded(self._body)
        if error is not None:
            self._receiver.on_refused(error, whole=True)
            return
        self._let_through()
        self._receiver.on_end()

    def on_refused(self, error: HostlerError, *, whole: bool) -> None:
        self._receiver.on_refused(error, whole=whole)

    def on_lost(self, error: EngineLost, *, stale: bool) -> None:
        self._let_through()
        self._receiver.on_lost(error, stale=stale)

    def on_stalled(self) -> None:
        self._receiver.on_stalled()

    def _let_through(self) -> None:
        head, self._head = self._head, None
        if head is not None:
            self._receiver.on_head(head, alone=False)
            if self._body:
                self._receiver.on_data(self._body)
