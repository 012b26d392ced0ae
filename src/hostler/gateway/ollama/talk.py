"""One request of Ollama's API on its way through the relay, which knows it as one of OpenAI's.

A :class:`Talk` stands where the client's call does: its body is the request as the engine's API takes it, and whatever
is answered (a stream, a whole answer, an error of the gateway, an error in the middle, notes while a model loads)
becomes what Ollama would say. So nothing else of a request's path knows of this API.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from hostler.errors import HostlerError, RemoteFailed, UnknownProfile
from hostler.gateway.door.call import Answerer, Asker
from hostler.gateway.errors import body_of, status_of
from hostler.gateway.relay.parts import Relay
from hostler.gateway.translate.ollama import shapes as o
from hostler.gateway.translate.ollama.answers import Course, Voice, embedded, problem, whole
from hostler.gateway.translate.ollama.asked import Asking, Kind, Wishes
from hostler.gateway.translate.ollama.stream import OllamaStream

NDJSON: Final = b"content-type: application/x-ndjson\r\n"
JSON: Final = b"content-type: application/json; charset=utf-8\r\n"

#: A whole answer that has to be read before anything of it can be told, in bytes.
LARGEST: Final = 64 * 2**20

_KIND: Final = re.compile(rb"(?im)^content-type:[^\r\n]*\r\n")
_EVENTS: Final = re.compile(rb"(?im)^content-type:\s*text/event-stream")
_PROFILE: Final = re.compile(rb"(?m)^x-hostler-profile: ([^\r\n]*)")
_BOUND: Final = re.compile(rb"(?m)^(x-hostler-changed: [^\r\n]*?\b)max_tokens=")
_LOADING: Final = re.compile(rb"(?m)^server-timing: .*?load;dur=([0-9.]+)")
_TOO_LONG: Final = b'{"error":{"message":"The answer is too long.","code":"engine_error"}}'
_BROKEN: Final = b'{"error":{"message":"The engine was lost in the middle of its answer.","code":"engine_lost"}}'


class Spoken(NamedTuple):
    """A request that was read: what of it is for the gateway, what is for the engine, and in which form it is told."""

    kind: Kind
    wishes: Wishes
    asking: Asking
    dimensions: int | None = None


class _Answer:
    """The head of an answer that is not told yet, and its body so far."""

    __slots__ = ("lines", "pieces", "size", "status")

    def __init__(self, status: int, lines: bytes) -> None:
        self.status = status
        self.lines = lines
        self.pieces: list[bytes] = []
        self.size = 0

    def take(self, data: bytes) -> None:
        """Keep a piece of the body; of one that is too long nothing is kept."""
        self.size += len(data)
        if self.size <= LARGEST:
            self.pieces.append(data)
        else:
            self.status, self.pieces = 502, [_TOO_LONG]


class Talk:
    """See :class:`hostler.gateway.door.call.Asker`. ``refused`` tells why a request could not be read."""

    def __init__(self, call: Asker, relay: Relay, spoken: Spoken, refused: HostlerError | None = None) -> None:
        self.headers = call.headers
        self.context = spoken.wishes.context
        self._call = call
        self._relay = relay
        self._spoken = spoken
        self._refused = refused
        now = relay.clock.wall
        self._course = Course(spoken.wishes.model or "", now, now())
        self._held: _Answer | None = None  # told when it is known what it becomes
        self._stream: OllamaStream | None = None

    @property
    def answerer(self) -> Answerer | None:
        return self._call.answerer

    @answerer.setter
    def answerer(self, answerer: Answerer | None) -> None:
        self._call.answerer = answerer

    def body(self) -> bytes:
        if self._refused is not None:
            raise self._refused
        return self._spoken.asking.body

    def begin(self, status: int, lines: bytes, length: int | None) -> None:
        """Nothing is told before there is a first line: what fails until then keeps its status."""
        self._held = _Answer(status, lines)
        self._course.model = self._course.model or profile_in(lines)
        if (loading := _LOADING.search(lines)) is not None:
            self._course.load_s = float(loading[1]) / 1e3
        if status == 200 and _EVENTS.search(lines):
            self._stream = OllamaStream(self._voice(), self._course)

    def flush(self) -> None:
        return

    def write(self, data: bytes) -> None:
        stream = self._stream
        if stream is not None:
            self._tell(self._translated(stream, data), stream)
        elif self._held is not None:
            self._held.take(data)

    def finish(self) -> None:
        stream, held = self._stream, self._held
        if stream is not None:
            self._tell(stream.end(), stream)
            if self._stream is not None:  # else it was answered as a whole: an error
                self._call.finish()
        elif held is not None:
            self.answer(held.status, held.lines, b"".join(held.pieces))

    def answer(self, status: int, lines: bytes, body: bytes) -> None:
        try:
            text = msgspec.json.encode(problem(body, self._course.model)) if status >= 400 else self._whole(body)
        except RemoteFailed as error:
            status, text = 502, msgspec.json.encode(o.Problem(str(error), error.code))
        if status == 200:
            self._stays(lines)
        self._call.answer(status, self._lines(lines, JSON), text)

    def cut(self, *, unread: bool = False, why: HostlerError | None = None) -> None:
        if self._held is None or unread:
            self._call.cut(unread=unread)
        else:
            status, body = (502, _BROKEN) if why is None else (status_of(why), body_of(why, "openai"))
            self.answer(status, self._held.lines, body)

    # Inside.

    def _translated(self, stream: OllamaStream, data: bytes) -> bytes:
        if stream.complete:
            return b""
        try:
            return stream.feed(data)
        except RemoteFailed as error:
            return stream.fail(o.Problem(str(error), error.code))

    def _tell(self, text: bytes, stream: OllamaStream) -> None:
        held = self._held
        if not text:
            return
        if held is None:
            self._call.write(text)
        elif stream.failed is not None:
            problem, status = stream.failed
            self._call.answer(status or status_named(problem.code), self._lines(held.lines, JSON), text.rstrip())
            self._stream = self._held = None
        else:
            self._held = None
            self._stays(held.lines)
            self._call.begin(200, self._lines(held.lines, NDJSON), None)
            self._call.write(text)

    def _whole(self, body: bytes) -> bytes:
        spoken = self._spoken
        if spoken.kind in ("embed", "embeddings"):
            return embedded(body, spoken.kind, spoken.dimensions, self._course)
        return whole(body, self._voice(), self._course)

    def _voice(self) -> Voice:
        return Voice(self._spoken.kind, self._spoken.asking.turns)

    def _lines(self, lines: bytes, kind: bytes) -> bytes:
        wishes = self._spoken.wishes
        context = self._context(profile_in(lines)) if wishes.context else None
        told = _BOUND.sub(rb"\1options.num_predict=", _KIND.sub(b"", lines))
        return kind + told + changes(wishes, context)

    def _context(self, profile: str) -> int | None:
        try:
            return self._relay.catalogue.resolve(profile).context if profile else None
        except UnknownProfile:  # removed while it answered
            return None

    def _stays(self, lines: bytes) -> None:
        """An instance has it: how long that shall stay afterwards."""
        seconds, profile = self._spoken.wishes.stay_s, profile_in(lines)
        if seconds is not None and profile:
            self._relay.stay(profile, seconds)


@lru_cache(maxsize=128)
def status_named(code: str) -> int:
    """The status of an error by its code: one that ended a stream of which nothing was told yet."""
    kinds: list[type[HostlerError]] = [HostlerError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return next((status_of(kind("")) for kind in kinds if kind.code == code), 500)


def profile_in(lines: bytes) -> str:
    """The profile that header lines of ours tell; "" where they tell none."""
    found = _PROFILE.search(lines)
    return "" if found is None else found[1].decode("latin-1")


def changes(wishes: Wishes, context: int | None) -> bytes:
    """The header line that says what was asked of the model's loading and is not done; nothing when that is all."""
    told = [f"options.{name}=ignored" for name in wishes.loading]
    if context is not None and wishes.context > context:
        told.append(f"options.num_ctx={context}")
    return f"x-hostler-changed: {', '.join(told)}\r\n".encode() if told else b""
