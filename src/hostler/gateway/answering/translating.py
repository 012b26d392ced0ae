"""An answer in another API than the engine's: whole, or as its stream comes."""

from __future__ import annotations

from hostler.errors import EngineLost, HostlerError, RemoteFailed
from hostler.gateway.answering.tail import Tail
from hostler.gateway.http1 import Head
from hostler.gateway.translate.protocol import Translated, Translation
from hostler.gateway.upstream import Receiver

#: A whole answer that has to be read before anything of it can be told, in bytes.
LARGEST = 64 * 2**20


class Translating:
    """Hears an answer and tells ``receiver`` what it is in the client's API. ``tail`` keeps what the engine said."""

    __slots__ = ("_body", "_head", "_receiver", "_size", "_stream", "_translation", "tail")

    def __init__(self, receiver: Receiver, translation: Translation) -> None:
        self._receiver = receiver
        self._translation = translation
        self._head: Head | None = None  # kept back until it is known what it becomes
        self._body: list[bytes] = []
        self._size = 0
        self._stream: Translated | None = None
        self.tail = Tail()

    def on_head(self, head: Head, *, alone: bool) -> None:
        self._head = head
        if head.status == 200 and head.get(b"content-type").startswith(b"text/event-stream"):
            self._stream = self._translation.stream()

    def on_data(self, data: bytes) -> None:
        self.tail.add(data)
        if self._stream is not None:
            self._translate(self._stream, data)
            return
        self._size += len(data)
        if self._size > LARGEST:
            self._receiver.on_refused(RemoteFailed(f"The engine's answer is over {LARGEST} bytes."), whole=False)
            return
        self._body.append(data)

    def on_end(self) -> None:
        if self._stream is None:
            self._tell(b"".join(self._body))
        elif self._stream.complete:
            self._receiver.on_end()
        else:
            self._receiver.on_refused(RemoteFailed("The engine ended its answer in the middle."), whole=True)

    def on_refused(self, error: HostlerError, *, whole: bool) -> None:
        self._receiver.on_refused(error, whole=whole)

    def on_lost(self, error: EngineLost, *, stale: bool) -> None:
        self._receiver.on_lost(error, stale=stale)

    def on_stalled(self) -> None:
        self._receiver.on_stalled()

    def _translate(self, stream: Translated, data: bytes) -> None:
        try:
            text = stream.feed(data)
        except RemoteFailed as error:
            self._receiver.on_refused(error, whole=False)
            return
        if text:
            if self._head is not None:
                self._head = None
                kind = (b"content-type", self._translation.kind)
                self._receiver.on_head(Head(200, [kind], None), alone=False)
            self._receiver.on_data(text)
        if stream.error is not None:
            self._receiver.on_refused(stream.error, whole=False)

    def _tell(self, body: bytes) -> None:
        """A whole answer, or an error, in the client's API."""
        head, translation = self._head, self._translation
        assert head is not None
        try:
            body = translation.error(body) if head.status >= 400 else translation.answer(body)
        except RemoteFailed as error:
            self._receiver.on_refused(error, whole=True)
            return
        self._receiver.on_head(Head(head.status, [(b"content-type", b"application/json")], len(body)), alone=False)
        self._receiver.on_data(body)
        self._receiver.on_end()
