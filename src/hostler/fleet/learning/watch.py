"""Whether instances are as quick as their plans say: judged once for each, by its first answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import anyio
import anyio.to_thread
import msgspec

from hostler import log
from hostler.engines.protocol import LoadSpec
from hostler.events import Bus, SlowerThanPredicted
from hostler.fleet.learning.pace import Circumstances, Condition, likely_cause
from hostler.fleet.learning.probing import Probing
from hostler.fleet.protocol import Timing
from hostler.fleet.run import Run

#: After an answer: how long until what devices do is no longer ours. Telemetry reads them every second.
SETTLE_S: Final = 2.0

Teach = Callable[[LoadSpec, Sequence[Timing]], None]


def _nothing(_spec: LoadSpec, _timings: Sequence[Timing]) -> None:
    """For fleets that learn nothing of speed."""


class Eyes(msgspec.Struct, frozen=True, kw_only=True):
    """What is seen beside the engines: ``conditions`` of devices now, by id; why they stay ``throttled``, if they do;
    who holds memory there (``holders``, for people; blocks).

    ``probing`` finds out which defects builds have. ``teach`` gets the first answers of an instance, in a thread,
    unless something outside of it made them slow.
    """

    conditions: Callable[[], Mapping[str, Condition]] = dict
    throttled: Callable[[], Mapping[str, Collection[str]]] = dict
    probing: Probing | None = None
    holders: Callable[[str], Sequence[str]] = lambda device: ()
    teach: Teach = _nothing
    settle_s: float = SETTLE_S


class Watch:
    """Judges runs; ``busy`` tells whether any request runs now."""

    def __init__(self, eyes: Eyes, bus: Bus, busy: Callable[[], bool]) -> None:
        self._eyes = eyes
        self._bus = bus
        self._busy = busy

    def ready(self, run: Run) -> None:
        """The run became ready: remember how its devices are, and see which defects its build has."""
        run.before = dict(self._eyes.conditions())
        if self._eyes.probing is not None:
            self._eyes.probing.begin(run, self._busy)

    def holders(self, device: str) -> Sequence[str]:
        """The processes that hold memory of a device. Blocking."""
        return self._eyes.holders(device)

    def notes(self, run: Run) -> list[str]:
        """What the devices of a run say against it."""
        reasons = self._eyes.throttled()
        return [
            f"{device} is slower than it could be ({', '.join(sorted(reasons[device]))})"
            for device in run.spec.bytes
            if device in reasons
        ]

    async def judge(self, run: Run, held: Callable[[], Mapping[str, int]]) -> None:
        """Say what was slower than predicted and why; else, or when nobody knows why, learn from it.

        Less than half of what was predicted is not learnt from: something was in the way, seen or not.
        ``held`` is what the process holds now, bytes by device.
        """
        cause, slow = "unknown", run.pace.slow()
        if slow is not None:
            await anyio.sleep(self._eyes.settle_s)
            seen = Circumstances(
                plan=run.spec.plan,
                held=await anyio.to_thread.run_sync(held),
                before=run.before,
                now=self._eyes.conditions(),
                busy=self._busy(),
            )
            cause, reason = likely_cause(seen)
            self._bus.publish(
                SlowerThanPredicted(
                    instance=run.spec.instance,
                    profile=run.spec.profile,
                    phase=slow.phase,
                    measured=slow.measured,
                    predicted=slow.predicted,
                    depth=slow.depth,
                    cause=cause,
                    reason=reason,
                )
            )
        if slow is None or (cause == "unknown" and not slow.hopeless):
            await self._learn(run)

    async def _learn(self, run: Run) -> None:
        try:
            await anyio.to_thread.run_sync(self._eyes.teach, run.spec, run.pace.timings)
        except Exception as error:  # noqa: BLE001 - what is learnt is a courtesy: its failure ends no engine
            log.bug("speed.not_learnt", error, profile=run.spec.profile)
