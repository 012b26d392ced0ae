"""How fast a running engine reads prompts and generates, at growing depths; by its own clock."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

import msgspec

from hostler.engines.protocol import Endpoint
from hostler.engines.speed.alone import Alone
from hostler.engines.speed.quiet import QUIET, Others
from hostler.engines.talking.exchange import Broken, ask
from hostler.errors import EngineLost
from hostler.placement.fitting import Request

DEPTHS: Final = (0, 2048, 6144)
#: Tokens of a round; a prompt of whole tiles of the attention kernels (64), as all but the end of a long one is.
PROMPT, ANSWER = 256, 24
#: Rounds at a depth: so many are wanted that agree, to within that; another program only ever slows one down.
AGREE, WITHIN, MOST_ROUNDS = 3, 0.08, 4
#: A machine that is shared with others below it is slow for half a minute at a time: what one walk meets so, the next
#: does not.
WALKS: Final = 2
#: What a walk needs beyond its deepest depth.
BEYOND: Final = MOST_ROUNDS * (PROMPT + ANSWER)


class Round(NamedTuple):
    """One request at (nearly) a depth; None: on the way from one to the next.

    ``others`` is the part of the processor that other programs had meanwhile.
    """

    depth: int | None
    request: Request
    others: float = 0.0

    @property
    def counts(self) -> bool:
        """Whether the engine was as good as alone."""
        return self.others < QUIET

    @property
    def prefill(self) -> float:
        """Prompt tokens per second."""
        return 1e3 * self.request.prompt_n / max(self.request.prompt_ms, 1e-6)

    @property
    def decode(self) -> float:
        """Generated tokens per second; the engine's clock starts when the first is there."""
        return 1e3 * (self.request.predicted_n - 1) / max(self.request.predicted_ms, 1e-6)


class _Timings(msgspec.Struct):
    cache_n: int = 0
    prompt_n: int = 0
    prompt_ms: float = 0.0
    predicted_n: int = 0
    predicted_ms: float = 0.0


class _Completion(msgspec.Struct):
    timings: _Timings = msgspec.field(default_factory=_Timings)
    tokens: list[int] = []


class _Conversation:
    """Random tokens, to which more are only ever added.

    It cannot go back: layers with a window or a state do not keep what was there before.
    """

    def __init__(self, endpoint: Endpoint, vocabulary: int, seed: int) -> None:
        self._endpoint = endpoint
        self._random = random.Random(seed)  # noqa: S311 - which tokens they are does not matter
        # Control tokens stand at either end of a vocabulary.
        self._ids = range(vocabulary // 4, max(vocabulary * 3 // 4, vocabulary // 4 + 1))
        self._tokens: list[int] = []

    async def on(self, prompt: int, answer: int) -> Request:
        """``prompt`` tokens computed, then ``answer`` generated. Raises EngineLost; unbounded in time."""
        # The last generated token was never computed: it comes with the prompt.
        fresh = prompt - bool(self._tokens)
        self._tokens += (self._random.choice(self._ids) for _ in range(fresh))
        body = {
            "prompt": self._tokens, "n_predict": answer, "temperature": 0, "ignore_eos": True, "cache_prompt": True,
            "return_tokens": True,
        }  # fmt: skip
        try:
            answered = await ask(self._endpoint, "POST", "/completion", body)
            done = msgspec.json.decode(answered.body, type=_Completion)
        except (Broken, msgspec.MsgspecError) as error:
            raise EngineLost(f"The engine did not measure: {error}.") from error
        if answered.status != 200 or not done.timings.prompt_n:
            raise EngineLost(f"The engine did not measure (it answered {answered.status}).")
        self._tokens += done.tokens
        return Request(*msgspec.structs.astuple(done.timings))


async def walk(
    engine: Alone, vocabulary: int, depths: Sequence[int] = DEPTHS, *, patience_s: float | None = 60.0
) -> AsyncIterator[Round]:
    """Requests at each of ``depths`` (ascending) until enough agree, and one on the way from each to the next.

    The walk is made :data:`WALKS` times. At depth 0 every round is a new conversation; deeper ones follow each other, a
    few hundred tokens apart. A context of the deepest and :data:`BEYOND` more is needed. Waits while other programs use
    the processor, but not longer than ``patience_s`` for a depth of a walk; with None every round counts.
    Raises EngineLost; unbounded in time.
    """
    for number in range(WALKS):
        conversation, at = _Conversation(engine.endpoint, vocabulary, number * MOST_ROUNDS), 0
        for depth in depths:
            patience = _Patience(Others(engine.pid), patience_s)
            if depth > at:
                moved = await patience.watched(None, partial(conversation.on, depth - at, 1))
                at = moved.request.cache_n + moved.request.prompt_n
                yield moved
            done: list[Round] = []
            while not _enough(done):
                if depth == 0:
                    conversation = _Conversation(engine.endpoint, vocabulary, number * MOST_ROUNDS + len(done))
                done.append(await patience.watched(depth, partial(conversation.on, PROMPT, ANSWER)))
                told = done[-1].request
                at = told.cache_n + told.prompt_n + told.predicted_n
                yield done[-1]


class _Patience:
    """Waits for the others to be quiet, for so long in all; None: whatever they do."""

    def __init__(self, others: Others, patience_s: float | None) -> None:
        self._others = others
        self._left_s = patience_s

    async def watched(self, depth: int | None, ask: Callable[[], Awaitable[Request]]) -> Round:
        if self._left_s is None:
            return Round(depth, await ask())
        before = time.monotonic()
        await self._others.quiet(self._left_s)
        self._left_s = max(0.0, self._left_s - (time.monotonic() - before))
        begun = self._others.read()
        request = await ask()
        return Round(depth, request, self._others.share(begun))


def fastest(rates: Sequence[float]) -> list[float]:
    """Those that count: the fastest few, as nothing makes a round faster than it is."""
    return sorted(rates)[-AGREE:]


def _enough(every: Sequence[Round]) -> bool:
    if len(every) >= MOST_ROUNDS:
        return True
    done = [each for each in every if each.counts]
    both = ([each.prefill for each in done], [each.decode for each in done])
    return len(done) >= AGREE and all(min(best) >= (1 - WITHIN) * max(best) for best in map(fastest, both))
