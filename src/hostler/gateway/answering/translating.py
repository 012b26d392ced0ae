"""An answer in another API than its client's, told in the client's: whole at its end, a stream as it comes."""

from __future__ import annotations

from typing import Final

from hostler.errors import EngineError, EngineLost, HostlerError, RemoteFailed
from hostler.gateway.relay.http1 import Head
from hostler.gateway.relay.upstream import Receiver
from hostler.gateway.translate.protocol import Translated, Translation

#: A whole answer, or an error, that has to be read before anything of it can be told.
LARGEST: Final = 64 * 2**20
_EVENTS: Final = b"text/event-stream"


class Translating:
    """Hears an answer and tells ``receiver`` what ``translation`` makes of it. ``host`` is who answers, where that is a
    remote; else it is an engine of ours."""

    __slots__ = ("_body", "_head", "_host", "_receiver", "_size", "_stream", "_translation")

    def __init__(self, receiver: Receiver, translation: Translation, host: str = "") -> None:
        self._receiver = receiver
        self._translation = translation
        self._host = host
        self._head: Head | None = None  # kept back until there is something to tell
        self._body: list[bytes] = []
        self._size = 0
        self._stream: Translated | None = None

    def on_head(self, head: Head, *, alone: bool) -> None:
        self._head = head
        if head.status == 200 and head.get(b"content-type").startswith(_EVENTS):
            self._stream = self._translation.stream()

    def on_data(self, data: bytes) -> None:
        if self._stream is not None:
            self._translate(self._stream, data)
            return
        self._size += len(data)
        self._body.append(data)
        if self._size > LARGEST:
            self._refuse(self._failed(f"gave an answer over {LARGEST} bytes."))

    def on_end(self) -> None:
        if self._stream is None:
            self._tell(b"".join(self._body))
        elif self._stream.complete:
            self._receiver.on_end()
        else:
            self._refuse(self._failed("ended its answer in the middle."), whole=True)

    def on_lost(self, error: EngineLost, *, stale: bool) -> None:
        if self._stream is not None and self._stream.complete:
            self._receiver.on_end()
        else:
            self._receiver.on_lost(error, stale=stale)

    def on_refused(self, error: HostlerError, *, whole: bool) -> None:
        self._receiver.on_refused(error, whole=whole)

    def on_stalled(self) -> None:
        self._receiver.on_stalled()

    def _translate(self, stream: Translated, data: bytes) -> None:
        try:
            text = stream.feed(data)
        except RemoteFailed as error:
            self._refuse(error)
            return
        if text:
            head, self._head = self._head, None
            if head is not None:
                self._receiver.on_head(Head(200, [(b"content-type", _EVENTS)], None), alone=False)
            self._receiver.on_data(text)
        if stream.error is not None:
            self._refuse(stream.error)

    def _tell(self, body: bytes) -> None:
        head = self._head
        assert head is not None
        try:
            body = self._translation.error(body) if head.status >= 400 else self._translation.answer(body)
        except RemoteFailed as error:
            self._refuse(error, whole=True)
            return
        kept = [(name, value) for name, value in head.fields if name == b"retry-after"]
        kept.append((b"content-type", b"application/json"))
        self._receiver.on_head(Head(head.status, kept, len(body)), alone=False)
        self._receiver.on_data(body)
        self._receiver.on_end()

    def _refuse(self, error: HostlerError, *, whole: bool = False) -> None:
        if not self._host and not isinstance(error, EngineLost):
            error = EngineError(error.message.replace("The remote", "The engine"))
        self._receiver.on_refused(error, whole=whole)

    def _failed(self, what: str) -> HostlerError:
        return RemoteFailed(f"{self._host} {what}") if self._host else EngineLost(f"The engine {what}")
