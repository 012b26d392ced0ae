"""The stream of `/v1/responses` with what its clients reckon by: numbers, indices, and every item's begin and end.

llama.cpp's events have no `sequence_number`, `output_index` and `content_index`; ends of arguments and of reasoning are
not told; an item that came whole at the end never began; and after a lost first token each piece begins the response
anew. Deltas, which are nearly all of a stream, are spliced and not read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from hostler.fleet.learning.defects import Probe
from hostler.gateway.answering.repairs.heard import heard
from hostler.gateway.answering.repairs.protocol import Asked
from hostler.gateway.answering.repairs.responses import CUT, completed, has_fields

#: Half an event that is longer is passed on as it is.
LONGEST: Final = 8 * 2**20

_encode = msgspec.json.encode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_JSON_TEXT: Final = Raw(b'{"type":"output_text","text":"","annotations":[],"logprobs":[]}')


class _Item(msgspec.Struct):
    id: str = ""
    type: str = ""
    name: str = ""
    arguments: str = ""
    content: list[_Text] | UnsetType = UNSET


class _Text(msgspec.Struct):
    text: str = ""


class _Told(msgspec.Struct):
    item: _Item = msgspec.field(default_factory=_Item)
    item_id: str = ""


_told = msgspec.json.Decoder(_Told).decode


class Events:
    """One stream."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._rest = b""
        self._number = 0
        self._items: dict[str, int] = {}  # index of each that began, by its id
        self._current = 0
        self._begun: set[bytes] = set()
        self._first = True
        self._out: list[bytes] = []
        self.done = False
        self.counting = False

    def feed(self, data: bytes) -> bytes:
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for at, event in enumerate(events):
            if self._first and b'"sequence_number"' in event:
                self.done = True  # this build needs no repair
                return b"\n\n".join((*events[at:], self._rest))
            self._take(event)
        if len(self._rest) > LONGEST:
            self.done = True
            self._out.append(self._rest)
        return self._said()

    def counted(self, tokens: int) -> bytes:
        raise NotImplementedError

    def end(self) -> bytes:
        if self._rest:
            self._out.append(self._rest)
            self._rest = b""
        return self._said()

    def _said(self) -> bytes:
        said = b"".join(self._out)
        self._out.clear()
        return said

    def _take(self, event: bytes) -> None:
        name, _, data = event.partition(b"\ndata: ")
        if not name.startswith(b"event: "):
            self._other(event)
            return
        name = name[7:]
        self._first = False
        try:
            _HANDLERS.get(name, Events._passed)(self, name, data)
        except (msgspec.MsgspecError, KeyError):
            self._out.append(event + b"\n\n")

    def _other(self, event: bytes) -> None:
        """A comment; or an error, which this API tells in an event of its own."""
        if not event.startswith(b'data: {"error"'):
            self._out.append(event + b"\n\n")
            return
        fault = _fault(event[6:])
        told = {"code": fault.kind, "message": fault.message, "param": None}
        self._emit(b"error", b'"type":"error",' + _encode(told)[1:-1])

    # What becomes of each event. ``data`` is an object.

    def _begins(self, name: bytes, data: bytes) -> None:
        if name in self._begun:
            return
        self._begun.add(name)
        response = _fields(_fields(data)["response"])
        self._tell(name, {"response": Raw(_encode(completed(self._asked, response, self._asked.created)))})

    def _added(self, name: bytes, data: bytes) -> None:
        self._start(_told(data).item.id)
        self._spliced(name, data, b'"output_index":%d,' % self._current)

    def _part(self, name: bytes, data: bytes) -> None:
        fields = _fields(data)
        part = _fields(_JSON_TEXT) | _fields(fields["part"])
        at = self._items.get(_told(data).item_id, self._current)
        fields |= {
            "part": Raw(_encode(part)), "output_index": Raw(b"%d" % at), "content_index": Raw(b"0"),
        }  # fmt: skip
        self._tell(name, fields)

    def _delta(self, name: bytes, data: bytes) -> None:
        self._spliced(name, data, b'"output_index":%d,"content_index":0,' % self._current)

    def _text_delta(self, name: bytes, data: bytes) -> None:
        self._spliced(name, data, b'"output_index":%d,"content_index":0,"logprobs":[],' % self._current)

    def _arguments(self, name: bytes, data: bytes) -> None:
        self._spliced(name, data, b'"output_index":%d,' % self._current)

    def _text_done(self, name: bytes, data: bytes) -> None:
        item = _told(data).item_id
        if item not in self._items:
            self._whole_text(item, data)
        at = self._items[item]
        self._spliced(name, data, b'"output_index":%d,"content_index":0,"logprobs":[],' % at)

    def _item_done(self, name: bytes, data: bytes) -> None:
        item = _told(data).item
        raw = _fields(data)["item"]
        if item.id not in self._items:
            self._start(item.id)
            self._tell(b"response.output_item.added", {"output_index": Raw(b"%d" % self._current), "item": raw})
        at = Raw(b"%d" % self._items[item.id])
        ended: dict[str, Raw] = {"item_id": Raw(_encode(item.id)), "output_index": at}
        if item.type == "function_call":
            said = {"name": Raw(_encode(item.name)), "arguments": Raw(_encode(item.arguments))}
            self._tell(b"response.function_call_arguments.done", ended | said)
        elif item.type == "reasoning" and item.content:
            text = Raw(_encode("".join(part.text for part in item.content)))
            self._tell(b"response.reasoning_text.done", ended | {"content_index": Raw(b"0"), "text": text})
        self._spliced(name, data, b'"output_index":%b,' % bytes(at))

    def _completes(self, name: bytes, data: bytes) -> None:
        for begin in (b"response.created", b"response.in_progress"):
            if begin not in self._begun:
                self._begins(begin, b'{"response":{"id":%b,"object":"response","status":"in_progress"}}' % _id(data))
        fields = _fields(data)
        response = completed(self._asked, _fields(fields["response"]), self._asked.created)
        response["created_at"] = Raw(b"%d" % self._asked.created)
        if response.get("status") is CUT["status"]:
            name = b"response.incomplete"
        self._tell(name, fields | {"response": Raw(_encode(response))})

    def _passed(self, name: bytes, data: bytes) -> None:
        self._spliced(name, data, b"")

    # What is said.

    def _start(self, item: str) -> None:
        self._current = self._items[item] = len(self._items)

    def _whole_text(self, item: str, data: bytes) -> None:
        """A message that came at once: its begin, and its text as one delta."""
        self._start(item)
        name = _encode(item)
        message = b'{"id":%b,"type":"message","role":"assistant","status":"in_progress","content":[]}' % name
        where = {"output_index": Raw(b"%d" % self._current)}
        self._tell(b"response.output_item.added", where | {"item": Raw(message)})
        where |= {"item_id": Raw(name), "content_index": Raw(b"0")}
        self._tell(b"response.content_part.added", where | {"part": _JSON_TEXT})
        text = _fields(data)["text"]
        self._tell(b"response.output_text.delta", where | {"delta": text, "logprobs": Raw(b"[]")})

    def _tell(self, name: bytes, fields: dict[str, Raw]) -> None:
        rest = {key: value for key, value in fields.items() if key != "type"}
        self._emit(name, b'"type":"%b",' % name + _encode(rest)[1:-1])

    def _spliced(self, name: bytes, data: bytes, more: bytes) -> None:
        self._emit(name, more + data.lstrip()[1:].rstrip()[:-1])

    def _emit(self, name: bytes, inside: bytes) -> None:
        self._out.append(b'event: %b\ndata: {"sequence_number":%d,%b}\n\n' % (name, self._number, inside))
        self._number += 1


class _Fault(msgspec.Struct):
    message: str = ""
    kind: str = msgspec.field(default="server_error", name="type")


class _Faulty(msgspec.Struct):
    error: _Fault = msgspec.field(default_factory=_Fault)


def _fault(data: bytes) -> _Fault:
    try:
        return msgspec.json.decode(data, type=_Faulty).error
    except msgspec.MsgspecError:
        return _Fault("The engine failed.")


def _id(data: bytes) -> bytes:
    return bytes(_fields(_fields(data)["response"])["id"])


_HANDLERS: Final[dict[bytes, Callable[[Events, bytes, bytes], None]]] = {
    b"response.created": Events._begins,
    b"response.in_progress": Events._begins,
    b"response.output_item.added": Events._added,
    b"response.content_part.added": Events._part,
    b"response.content_part.done": Events._part,
    b"response.output_text.delta": Events._text_delta,
    b"response.output_text.done": Events._text_done,
    b"response.reasoning_text.delta": Events._delta,
    b"response.function_call_arguments.delta": Events._arguments,
    b"response.output_item.done": Events._item_done,
    b"response.completed": Events._completes,
    b"response.incomplete": Events._completes,
}


# --- whether it is needed -----------------------------------------------------------------------------

_INDEXED: Final = (b"response.content_part.", b"response.output_text.")


def is_reckoned(status: int, body: bytes) -> bool | None:
    """Whether a stream of one token, which was all that it might have, has all that its clients reckon by."""
    events = list(heard(body))
    if status != 200 or not events:
        return None
    try:
        told = [(name, _fields(data)) for name, data in events]
        return (
            events[0][0] == b"response.created"
            and events[-1][0] == b"response.incomplete"
            and [bytes(fields["sequence_number"]) for _, fields in told] == [b"%d" % n for n in range(len(told))]
            and all(_is_placed(name, fields) for name, fields in told)
        )
    except KeyError:
        return False
    except msgspec.MsgspecError:
        return None


def _is_placed(name: bytes, fields: dict[str, Raw]) -> bool:
    if "response" in fields:
        return has_fields(_fields(fields["response"]))
    return "output_index" in fields and ("content_index" in fields or not name.startswith(_INDEXED))


UNNUMBERED: Final = Probe(
    "unnumbered_events",
    "/v1/responses",
    {"input": "Hi", "max_output_tokens": 1, "stream": True},
    is_reckoned,
)
