"""Requests beside which others compute: asked of the engine with progress, as streams, whatever the client asked for.

llama.cpp notices that a client has left when it writes to it, else after a second in which nothing was computed for
anybody. Beside a busy slot that second never comes, and the abandoned slot computes on to the end of its answer. A
stream with progress is written to after every batch of its prompt and every token. So an answer that does not stream is
asked for as a stream and folded, and of one that does, with a long prompt, the progress is left out.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from hostler.errors import EngineLost
from hostler.fleet.protocol import Lease
from hostler.gateway.relay.http1 import Head
from hostler.gateway.relay.upstream import Sink

#: What is over sooner than a hang-up matters is asked for as it is: tokens of the answer, bytes of the request.
SHORT_TOKENS: Final = 64
SHORT_BODY: Final = 8 * 1024

_OBJECTS: Final = {b"/v1/chat/completions": "chat.completion", b"/v1/completions": "text_completion"}
#: What a stream tells otherwise than a whole answer, or in pieces that do not simply add up.
_UNFOLDED: Final = frozenset(
    {
        "tools", "functions", "response_fields", "verbose", "return_tokens", "n_probs", "post_sampling_probs", "n",
        "timings_per_token", "stream_options", "return_progress", "echo", "best_of",
    }
)  # fmt: skip
_LIMITS: Final = ("max_tokens", "max_completion_tokens", "n_predict")
_LIMIT: Final = re.compile(rb'"(?:max_tokens|max_completion_tokens|n_predict)"\s*:\s*(\d{1,9})\s*[,}]')
_ADDED: Final = {
    "stream": Raw(b"true"),
    "return_progress": Raw(b"true"),
    "stream_options": Raw(b'{"include_usage":true}'),
}
_JSON_HEAD: Final = [(b"content-type", b"application/json; charset=utf-8")]


class _Logprobs(msgspec.Struct):
    content: list[Raw] = []


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)
    text: str = ""
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None


class _Fault(msgspec.Struct):
    code: int | str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    created: Raw | UnsetType = UNSET
    id: Raw | UnsetType = UNSET
    model: Raw | UnsetType = UNSET
    system_fingerprint: Raw | UnsetType = UNSET
    usage: Raw | UnsetType = UNSET
    timings: Raw | UnsetType = UNSET
    error: _Fault | None = None


_read = msgspec.json.Decoder(dict[str, Raw]).decode
_chunk = msgspec.json.Decoder(_Chunk).decode


def asked_of(target: bytes, lease: Lease, stream: bool, body: bytes, sink: Sink) -> tuple[bytes, Sink]:
    """What the engine is asked, and who hears its answer: ``body`` and ``sink``, unless progress is to be asked for."""
    if not lease.beside or target not in _OBJECTS:
        return body, sink
    if stream:
        if len(body) <= SHORT_BODY or b'"return_progress"' in body:
            return body, sink
        return b'{"return_progress":true,' + body.lstrip()[1:], Quieted(sink)
    if len(body) <= SHORT_BODY and (limit := _LIMIT.search(body)) is not None and int(limit[1]) <= SHORT_TOKENS:
        return body, sink  # as _foldable would find, at the price of reading it
    asked = _read(body)
    if not _foldable(asked, len(body)):
        return body, sink
    return msgspec.json.encode({**asked, **_ADDED}), Folding(sink, _OBJECTS[target])


def _foldable(asked: dict[str, Raw], size: int) -> bool:
    if _UNFOLDED & asked.keys() or ("prompt" in asked and not bytes(asked["prompt"]).startswith(b'"')):
        return False
    limit = next((bytes(asked[name]) for name in _LIMITS if name in asked), b"")
    return size > SHORT_BODY or not limit.isdigit() or int(limit) > SHORT_TOKENS


class Quieted:
    """Hears a stream with progress and tells ``sink`` all but that; its head too only with the first other event, so
    that an engine that is lost in the prompt has not answered yet."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._head: Head | None = None
        self._rest = b""

    def on_head(self, head: Head, *, alone: bool) -> None:
        if head.status == 200 and head.get(b"content-type").startswith(b"text/event-stream"):
            self._head = head
        else:
            self._sink.on_head(head, alone=alone)

    def on_data(self, data: bytes) -> None:
        if self._head is None:
            self._sink.on_data(data)
            return
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for number, event in enumerate(events):
            if b'"prompt_progress"' not in event:
                self._let_through(b"\n\n".join((*events[number:], self._rest)))
                return

    def on_end(self) -> None:
        if self._head is not None:
            self._let_through(self._rest)
        self._sink.on_end()

    def on_lost(self, error: EngineLost, *, stale: bool) -> None:
        self._sink.on_lost(error, stale=stale)

    def on_stalled(self) -> None:
        self._sink.on_stalled()

    def _let_through(self, data: bytes) -> None:
        head, self._head = self._head, None
        if head is not None:
            self._sink.on_head(head, alone=False)
        if data:
            self._sink.on_data(data)


class Folding:
    """Hears a stream and tells ``sink`` one whole answer when it has ended. An answer that is no stream passes as it
    is, an error in the middle becomes the answer."""

    def __init__(self, sink: Sink, kind: str) -> None:
        self._sink = sink
        self._kind = kind
        self._plain = False
        self._broken = False
        self._rest = b""
        self._text: list[str] = []
        self._thoughts: list[str] = []
        self._logprobs: list[Raw] = []
        self._reason: str | None = None
        self._last: dict[str, Raw] = {}
        self._fault: tuple[int, bytes] | None = None

    @property
    def begun(self) -> bool:
        """Whether there is something of the answer, so that the engine is past the prompt."""
        return any(self._text) or any(self._thoughts)

    def on_head(self, head: Head, *, alone: bool) -> None:
        self._plain = head.status != 200 or not head.get(b"content-type").startswith(b"text/event-stream")
        if self._plain:
            self._sink.on_head(head, alone=alone)

    def on_data(self, data: bytes) -> None:
        if self._plain:
            self._sink.on_data(data)
            return
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            line = event.strip()
            if line.startswith(b"data: {"):
                self._take(line[6:])

    def on_end(self) -> None:
        if self._plain:
            self._sink.on_end()
            return
        status, body = self._fault or (200, self._whole())
        if not body:
            self._sink.on_lost(EngineLost("The engine's answer cannot be read, or ended in the middle."), stale=False)
            return
        self._sink.on_head(Head(status, list(_JSON_HEAD), len(body)), alone=False)
        self._sink.on_data(body)
        self._sink.on_end()

    def on_lost(self, error: EngineLost, *, stale: bool) -> None:
        self._sink.on_lost(error, stale=stale)

    def on_stalled(self) -> None:
        self._sink.on_stalled()

    def _take(self, data: bytes) -> None:
        try:
            chunk = _chunk(data)
        except msgspec.MsgspecError:
            self._broken = True
            return
        if chunk.error is not None:
            code = chunk.error.code
            self._fault = (code if isinstance(code, int) and 400 <= code < 600 else 500, data)
        for name in ("created", "id", "model", "system_fingerprint", "usage", "timings"):
            if (value := getattr(chunk, name)) is not UNSET:
                self._last[name] = Raw(bytes(value))
        for choice in chunk.choices:
            self._text.append(choice.delta.content or choice.text)
            self._thoughts.append(choice.delta.reasoning_content or "")
            self._logprobs += [Raw(bytes(each)) for each in choice.logprobs.content] if choice.logprobs else ()
            self._reason = choice.finish_reason or self._reason

    def _whole(self) -> bytes:
        """The answer; empty when the stream ended before it did, or said what cannot be read."""
        if self._reason is None or self._broken:
            return b""
        text, thoughts = "".join(self._text), "".join(self._thoughts)
        logprobs = {"content": self._logprobs} if self._logprobs else None
        choice: dict[str, object] = {"finish_reason": self._reason, "index": 0}
        if self._kind == "chat.completion":
            thought = {"reasoning_content": thoughts} if thoughts else {}
            choice["message"] = {"role": "assistant", "content": text, **thought}
            choice |= {} if logprobs is None else {"logprobs": logprobs}
        else:
            choice = {"text": text, "index": 0, "logprobs": logprobs, "finish_reason": self._reason}
        return msgspec.json.encode({"choices": [choice], **self._last, "object": self._kind})
