"""Slots: who computes now, who waits, and what each slot remembers of its last prompt."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Token = int | str


@dataclass
class Slot:
    """One place to compute. ``cached`` are the tokens it holds; ``busy`` while somebody computes."""

    id: int
    busy: bool = False
    task: int = -1
    cached: list[Token] = field(default_factory=list)
    prompt_n: int = 0
    processed_n: int = 0
    cache_n: int = 0
    decoded_n: int = 0
    limit_n: int = 0
    stream: bool = False

    def begin(self, task: int, prompt: Sequence[Token], limit: int, stream: bool, reuse: bool) -> None:
        """Take a prompt in; ``cache_n`` is then what need not be computed again."""
        self.task, self.limit_n, self.stream, self.decoded_n = task, limit, stream, 0
        self.prompt_n = len(prompt)
        self.cache_n = min(shared(self.cached, prompt), self.prompt_n - 1) if reuse and prompt else 0
        self.processed_n = self.prompt_n - self.cache_n
        self.cached = list(prompt)


def shared(left: Sequence[Token], right: Sequence[Token]) -> int:
    """How many tokens at the start are the same."""
    for count, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return count
    return min(len(left), len(right))


@dataclass(eq=False)
class Waiting:
    """Somebody who wants a slot: that of ``wanted``, or with -1 the one that remembers most of ``prompt``."""

    granted: Callable[[Slot], None]
    prompt: Sequence[Token] = ()
    wanted: int = -1


class Slots:
    """All slots and the queue before them, first come first served."""

    def __init__(self, count: int) -> None:
        self.all = [Slot(id) for id in range(count)]
        self.waiting: deque[Waiting] = deque()
        self.tasks = itertools.count()

    @property
    def busy(self) -> int:
        """How many slots compute now."""
        return sum(slot.busy for slot in self.all)

    def ask(self, who: Waiting) -> None:
        """Call ``who.granted`` with a slot, now or when one is free."""
        self.waiting.append(who)
        self._serve()

    def forget(self, who: Waiting) -> None:
        """Take somebody out of the queue."""
        if who in self.waiting:
            self.waiting.remove(who)

    def release(self, slot: Slot) -> None:
        """Give a slot back and serve the queue."""
        slot.busy = False
        self._serve()

    def _serve(self) -> None:
        for who in tuple(self.waiting):
            slot = self._choose(who)
            if slot is not None:
                self.waiting.remove(who)
                slot.busy = True
                who.granted(slot)

    def _choose(self, who: Waiting) -> Slot | None:
        if who.wanted >= 0:
            slot = self.all[who.wanted % len(self.all)]
            return None if slot.busy else slot
        idle = [slot for slot in self.all if not slot.busy]
        if len(idle) < 2:
            return idle[0] if idle else None
        # The same prompt again is what benchmarks send: no need to compare with every slot.
        same = next((slot for slot in idle if slot.cached == who.prompt), None)
        if same is not None:
            return same
        return max(idle, key=lambda slot: (shared(slot.cached, who.prompt), -slot.task))
