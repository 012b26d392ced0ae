"""The end of an answer: the last 8 KiB, read once when the answer is complete.

An engine says how many tokens it took and gave in its last words (`timings` of llama.cpp, `usage` of the
OpenAI and Anthropic APIs). Quotes inside JSON strings are escaped, so a field name between bare quotes
cannot come from the text of an answer.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from hostler.fleet.protocol import Timing

TAIL_LIMIT: Final = 8 * 2**10

_NUMBER = re.compile(
    rb'"(prompt_n|cache_n|predicted_n|prompt_tokens|completion_tokens|cached_tokens'
    rb'|input_tokens|output_tokens|cache_read_input_tokens)"\s*:\s*(\d{1,12})'
)


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
        return Timing(self.cached or 0, self.prompt, 0.0, self.generated or 0, 0.0)


NO_TOKENS: Final = Tokens()


class Tail:
    """Keeps at least the last 8 KiB of what passes, as the pieces they came in."""

    __slots__ = ("_pieces", "_size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self._size > 4 * TAIL_LIMIT:
            # Cut seldom: joining on every chunk would copy 8 KiB for each token.
            kept = b"".join(self._pieces)[-TAIL_LIMIT:]
            self._pieces = [kept]
            self._size = len(kept)

    def tokens(self) -> Tokens:
        """What the engine said of its tokens."""
        return read_tokens(b"".join(self._pieces)[-TAIL_LIMIT:])


def read_tokens(text: bytes) -> Tokens:
    """The token counts in the last `usage` and `timings` of ``text``."""
    places = [place for place in (text.rfind(b'"usage"'), text.rfind(b'"timings"')) if place >= 0]
    if not places:
        return NO_TOKENS
    said = {name: int(number) for name, number in _NUMBER.findall(text, min(places))}
    cached = said.get(b"cache_n", said.get(b"cached_tokens", said.get(b"cache_read_input_tokens")))
    prompt = said.get(b"prompt_tokens", said.get(b"input_tokens"))
    if prompt is None and b"prompt_n" in said:
        prompt = said[b"prompt_n"] + (cached or 0)
    generated = said.get(b"predicted_n", said.get(b"completion_tokens", said.get(b"output_tokens")))
    times = {name: float(number) for name, number in _DECIMAL.findall(text, min(places))}
    return Tokens(prompt, cached, generated, times.get(b"predicted_per_second"), _timing(said, times))


def _timing(said: dict[bytes, int], times: dict[bytes, float]) -> Timing | None:
    try:
        return Timing(
            cached=said.get(b"cache_n", 0),
            prompt=said[b"prompt_n"],
            prompt_ms=times[b"prompt_ms"],
            generated=said[b"predicted_n"],
            generated_ms=times[b"predicted_ms"],
        )
    except KeyError:
        return None
