"""The first answers of an instance against its plan, and why they took longer when they did: pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from hostler.config.quantities import format_bytes
from hostler.fleet.protocol import Timing
from hostler.placement.layout import HOST
from hostler.placement.plan import Plan
from hostler.placement.speed import Range, Speed, shortfall

#: How many answers are judged, and how many tokens one must have.
ANSWERS: Final = 3
ENOUGH_ANSWER: Final = 16
#: A prompt is compared when it fills a ubatch, at least this: the prediction is that of whole ones.
ENOUGH_PROMPT: Final = 256
PROMPTS: Final = 2

MIB: Final = 2**20
#: A device with less free than this, or than that share of it, is full.
FULL: Final = 64 * MIB
FULL_SHARE: Final = 0.01
#: What others may take of a device, or a process hold beyond its plan, before it is a cause.
GROWN: Final = 256 * MIB
GROWN_SHARE: Final = 0.1
#: Percent of a device that others may use while we use none of it.
BUSY: Final = 25.0

#: Of the prediction.
HOPELESS: Final = 0.5

Phase = Literal["decode", "prefill"]
Cause = Literal["spill", "throttled", "other process", "unknown"]


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """A device at one moment; None is not known. ``foreign`` is bytes of others, ``utilisation`` percent."""

    total: int | None = None
    free: int | None = None
    foreign: int | None = None
    utilisation: float | None = None
    throttling: tuple[str, ...] = ()


class Slow(msgspec.Struct, frozen=True):
    """Tokens per second that were measured and predicted, with ``depth`` tokens in the cache."""

    phase: Phase
    measured: float
    predicted: float
    depth: int

    @property
    def hopeless(self) -> bool:
        """So slow that there is a cause, seen or not: not what devices can do."""
        return self.measured < HOPELESS * self.predicted


def enough_prompt(plan: Plan) -> int:
    """Tokens of the shortest prompt that says how quick prompts are read."""
    return max(ENOUGH_PROMPT, plan.run.ubatch)


class Pace:
    """Collects the first answers of one instance, each the only one at its time."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.timings: list[Timing] = []

    @property
    def known(self) -> bool:
        """Whether enough answers were seen; further ones are of no interest."""
        return len(self.timings) >= ANSWERS

    def add(self, timing: Timing) -> bool:
        """Take one more; True when there are enough with it."""
        if self.known or timing.generated < ENOUGH_ANSWER or timing.decode is None:
            return False
        self.timings.append(timing)
        return self.known

    def slow(self) -> Slow | None:
        """What was slower than predicted by more than a quarter: answers before prompts; the middle one counts."""
        if not self._plan.speeds:
            return None
        answers = [self._slow("decode", t.decode, t.decode_depth) for t in self.timings if t.decode is not None]
        enough = enough_prompt(self._plan)
        prompts = [
            self._slow("prefill", t.prefill, t.prefill_depth)
            for t in self.timings
            if t.prefill is not None and t.prompt >= enough
        ]
        return _telling(answers, ANSWERS) or _telling(prompts, PROMPTS)

    def _slow(self, phase: Phase, measured: float, depth: int) -> Slow:
        return Slow(phase, measured, _at(self._plan.speeds, phase, depth), depth)


def _telling(measured: Sequence[Slow], least: int) -> Slow | None:
    """The middle one of enough, when it falls short."""
    if len(measured) < least:
        return None
    middle = sorted(measured, key=lambda each: each.measured / each.predicted)[len(measured) // 2]
    predicted = Range(middle.predicted, middle.predicted, middle.predicted)
    return middle if shortfall(predicted, middle.measured) is not None else None


def _at(speeds: Sequence[Speed], phase: Phase, depth: int) -> float:
    """Tokens per second at that depth: the time of a token grows evenly between the depths of the plan."""
    known = [(each.depth, 1 / (each.decode if phase == "decode" else each.prefill).value) for each in speeds]
    (low, low_s), (high, high_s) = known[0], known[-1]
    for at, seconds in known:
        if at <= depth:
            low, low_s = at, seconds
        else:
            high, high_s = at, seconds
            break
    share = min(1.0, (depth - low) / (high - low)) if high > low else 0.0
    return 1 / (low_s + max(0.0, share) * (high_s - low_s))


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What may explain a slow instance: its devices when it became ready and now, bytes that it holds.

    ``busy``: requests run at this moment, so that what devices do says nothing of others.
    """

    plan: Plan
    held: Mapping[str, int]
    before: Mapping[str, Condition]
    now: Mapping[str, Condition]
    busy: bool = False


def likely_cause(seen: Circumstances) -> tuple[Cause, str]:
    """Why, and that in words.

    1. memory spills: a GPU is full, or the process holds more on the host than planned. 2. a device throttles.
    3. another process took memory, or computes while we do not. 4. nobody knows: drivers that say nothing say so too.
    """
    for cause, told in _CAUSES:
        for device in seen.plan.bytes:
            if words := told(device, seen.now.get(device, Condition()), seen):
                return cause, words
    return "unknown", "no cause is to be seen; `hostler calibrate` measures how quick it can be"


def _spilled(device: str, now: Condition, seen: Circumstances) -> str:
    if device != HOST:
        full = now.free is not None and now.free < max(FULL, FULL_SHARE * (now.total or 0))
        return f"{device} is full: part of the model may lie in main memory" if full and not _shared(seen) else ""
    planned, held = seen.plan.bytes[HOST].total, seen.held.get(HOST, 0)
    if held <= planned + max(GROWN, GROWN_SHARE * planned):
        return ""
    return f"the engine holds {format_bytes(held)} of main memory, {format_bytes(planned)} were planned"


def _shared(seen: Circumstances) -> bool:
    return bool(seen.plan.shared)


def _throttled(device: str, now: Condition, seen: Circumstances) -> str:
    return f"{device} throttles: {', '.join(now.throttling)}" if now.throttling else ""


def _others(device: str, now: Condition, seen: Circumstances) -> str:
    before = seen.before.get(device, Condition())
    grown = 0 if now.foreign is None or before.foreign is None else now.foreign - before.foreign
    if grown >= GROWN:
        return f"other programs took {format_bytes(grown)} more of {device} since it was loaded"
    if not seen.busy and now.utilisation is not None and now.utilisation >= BUSY:
        return f"other programs use {device} ({now.utilisation:.0f}%)"
    return ""


_CAUSES: Final[tuple[tuple[Cause, Callable[[str, Condition, Circumstances], str]], ...]] = (
    ("spill", _spilled),
    ("throttled", _throttled),
    ("other process", _others),
)
