"""The ends of an answer: its first 2 KiB and its last 8, read once when it is complete.

An engine says how many tokens it took and gave in its last words (`timings` of llama.cpp, `usage` of the
OpenAI and Anthropic APIs). A stream of Anthropic's begins with those of the prompt, and llama.cpp's embeddings
follow theirs. Quotes inside JSON strings are escaped, so a field name between bare quotes cannot come from the
text of an answer.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec

from hostler.fleet.protocol import Timing

HEAD_LIMIT: Final = 2 * 2**10
TAIL_LIMIT: Final = 8 * 2**10

_NUMBER = re.compile(
    rb'"(prompt_n|cache_n|predicted_n|prompt_tokens|completion_tokens|cached_tokens'
    rb'|input_tokens|output_tokens|cache_read_input_tokens|cache_creation_input_tokens)"\s*:\s*(\d{1,12})'
)


_WHOLE = re.compile(rb'"prompt_tokens"\s*:\s*(\d{1,12})')
_DECIMAL = re.compile(rb'"(predicted_per_second|prompt_ms|predicted_ms)"\s*:\s*(\d{1,12}(?:\.\d{1,18})?)(?=[\s,}])')


class Tokens(msgspec.Struct, frozen=True):
    """Tokens of the whole prompt, of those taken from a cache, and generated, and how many of these a second.

    None where the engine said nothing. ``timing`` is llama.cpp's, when it said all of it.
    """

    prompt: int | None = None
    cached: int | None = None
    generated: int | None = None
    per_second: float | None = None
    timing: Timing | None = None

    @property
    def told(self) -> Timing | None:
        """What is known of the request's tokens; without times where the API has none (Anthropic's, Responses)."""
        if self.timing is not None or self.prompt is None:
            return self.timing
        cached = self.cached or 0
        return Timing(cached, self.prompt - cached, 0.0, self.generated or 0, 0.0)


NO_TOKENS: Final = Tokens()

#: In texts that models write there is no line that begins so: JSON has no line ends within strings.
_LAST_EVENT: Final = re.compile(
    rb"^(?:data: \[DONE\]|event: (?:response\.(?:completed|incomplete)|message_stop)\b)", re.M
)


_Count = Annotated[int, msgspec.Meta(ge=0, lt=10**12)]


class _Timings(msgspec.Struct, gc=False):
    prompt_n: _Count
    prompt_ms: float
    predicted_n: _Count
    predicted_ms: float
    predicted_per_second: float
    cache_n: _Count = 0


_timings = msgspec.json.Decoder(_Timings).decode


class Tail:
    """Keeps the first 2 KiB and at least the last 8 of what passes, as the pieces they came in."""

    __slots__ = ("_head", "_pieces", "_size")

    def __init__(self) -> None:
        self._head = b""  # once the pieces no longer begin with it
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self._size > 4 * TAIL_LIMIT:
            # Cut seldom: joining on every chunk would copy 8 KiB for each token.
            whole = b"".join(self._pieces)
            self._head = self._head or whole[:HEAD_LIMIT]
            self._pieces = [whole[-TAIL_LIMIT:]]
            self._size = TAIL_LIMIT

    @property
    def said_all(self) -> bool:
        """Whether an event stream has had its last event, so that nothing is lost on whoever leaves now."""
        return _LAST_EVENT.search(b"".join(self._pieces)[-TAIL_LIMIT:]) is not None

    def tokens(self) -> Tokens:
        """What the engine said of its tokens."""
        whole = b"".join(self._pieces)
        return read_tokens(self._head or whole[:HEAD_LIMIT], whole[-TAIL_LIMIT:])


def read_tokens(head: bytes, tail: bytes) -> Tokens:
    """The token counts of an answer that begins and ends so: in its last `usage` and `timings`, else its first."""
    if (timed := _timed(tail)) is not None:
        return timed
    said, times = _numbers(tail)
    if "prompt_n" not in said:
        said = _numbers(head, first=True)[0] | said
    if not said:
        return NO_TOKENS
    cached = said.get("cache_n", said.get("cached_tokens", said.get("cache_read_input_tokens")))
    generated = said.get("predicted_n", said.get("completion_tokens", said.get("output_tokens")))
    return Tokens(
        _prompt(said, cached or 0), cached, generated, times.get("predicted_per_second"), _timing(said, times)
    )


def _timed(tail: bytes) -> Tokens | None:
    """What llama.cpp's `timings` say, if all of it is there, as nearly always; in half the time."""
    place = tail.rfind(b'"timings"')
    begin = tail.find(b"{", place) if place >= 0 else -1
    if begin < 0:
        return None
    try:
        said = _timings(tail[begin : tail.find(b"}", begin) + 1])
    except msgspec.DecodeError:
        return None
    usage = _WHOLE.search(tail, max(0, tail.rfind(b'"usage"')))
    timing = Timing(said.cache_n, said.prompt_n, said.prompt_ms, said.predicted_n, said.predicted_ms)
    whole = said.prompt_n + said.cache_n if usage is None else int(usage[1])
    return Tokens(whole, said.cache_n, said.predicted_n, said.predicted_per_second, timing)


def _numbers(text: bytes, *, first: bool = False) -> tuple[dict[str, int], dict[str, float]]:
    """What is said from the last usage and timings on, or from the first."""
    find = text.find if first else text.rfind
    places = [place for place in (find(b'"usage"'), find(b'"timings"')) if place >= 0]
    if not places:
        return {}, {}
    begin = min(places)
    said = {name.decode(): int(number) for name, number in _NUMBER.findall(text, begin)}
    return said, {name.decode(): float(number) for name, number in _DECIMAL.findall(text, begin)}


def _prompt(said: dict[str, int], cached: int) -> int | None:
    """Tokens of the whole prompt; Anthropic's count of them leaves out what a cache had or took."""
    if "prompt_tokens" in said:
        return said["prompt_tokens"]
    if "input_tokens" in said:
        apart = said.get("cache_read_input_tokens", 0) + said.get("cache_creation_input_tokens", 0)
        return said["input_tokens"] + apart
    return said["prompt_n"] + cached if "prompt_n" in said else None


def _timing(said: dict[str, int], times: dict[str, float]) -> Timing | None:
    try:
        return Timing(
            cached=said.get("cache_n", 0),
            prompt=said["prompt_n"],
            prompt_ms=times["prompt_ms"],
            generated=said["predicted_n"],
            generated_ms=times["predicted_ms"],
        )
    except KeyError:
        return None
