"""Messages that a stop sequence ended: llama.cpp names it and calls the end a turn's all the same."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from hostler.fleet.learning.defects import Probe
from hostler.gateway.answering.repairs.protocol import Asked
from hostler.gateway.answering.repairs.starts import MessageStart

#: An event that is longer passes as it is, and all behind it.
LONGEST: Final = 8 * 2**20

_END: Final = b"event: message_delta\ndata: "
_WRONG: Final = b'"end_turn"'
_RIGHT: Final = Raw(b'"stop_sequence"')
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.encode


def whole(_asked: Asked, body: bytes) -> bytes:
    """A message that says what ended it; as it is where it does, or is none."""
    try:
        fields = _fields(body)
    except msgspec.MsgspecError:
        return body
    return _encode(_named(fields)) if _is_misnamed(fields) else body


class Stops:
    """The stream of a request with stop sequences: what :class:`MessageStart` puts right, and the event of its end."""

    def __init__(self, asked: Asked) -> None:
        self._start = MessageStart(asked)
        self._rest = b""
        self.done = False

    @property
    def counting(self) -> bool:
        return self._start.counting

    def feed(self, data: bytes) -> bytes:
        return self._passed(data if self._start.done else self._start.feed(data))

    def counted(self, tokens: int) -> bytes:
        return self._passed(self._start.counted(tokens))

    def end(self) -> bytes:
        said = self._passed(b"" if self._start.done else self._start.end()) + self._rest
        self._rest = b""
        return said

    def _passed(self, data: bytes) -> bytes:
        *events, self._rest = (self._rest + data).split(b"\n\n")
        if len(self._rest) > LONGEST:
            self.done = True
            events, self._rest = [*events, self._rest], b""
            return b"\n\n".join(map(_event, events))
        return b"".join(_event(event) + b"\n\n" for event in events)


def _event(event: bytes) -> bytes:
    if not event.startswith(_END):
        return event
    try:
        fields = _fields(event[len(_END) :])
        delta = _fields(fields.get("delta", b"{}"))
    except msgspec.MsgspecError:
        return event
    return _END + _encode(fields | {"delta": _named(delta)}) if _is_misnamed(delta) else event


def _is_misnamed(said: dict[str, Raw]) -> bool:
    reason, word = bytes(said.get("stop_reason", b"")), bytes(said.get("stop_sequence", b""))
    return reason == _WRONG and word.startswith(b'"')


def _named(said: dict[str, Raw]) -> dict[str, Raw]:
    return said | {"stop_reason": _RIGHT}


# --- whether it is needed -----------------------------------------------------------------------------


class _Ended(msgspec.Struct):
    stop_reason: str | None = None
    stop_sequence: str | None = None


def named(status: int, body: bytes) -> bool | None:
    """Whether a message that a stop sequence ended says so; None where none did."""
    try:
        ended = msgspec.json.decode(body, type=_Ended)
    except msgspec.MsgspecError:
        return None
    return None if status != 200 or ended.stop_sequence is None else ended.stop_reason == "stop_sequence"


#: Hardly a word of any language that models begin with has none of these.
_SOON: Final = [" ", "\n", "a", "e", "i", "o", "u", "!"]
STOP: Final = Probe(
    "misnamed_stop",
    "/v1/messages",
    {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "temperature": 0, "stop_sequences": _SOON},
    named,
)
