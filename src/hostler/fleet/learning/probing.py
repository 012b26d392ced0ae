"""Asks an engine that has nothing to do which defects its build has.

Once for each build, behind its first load, in some tenths of a second. Nobody waits for it: whoever asks for anything
ends it, and what was not asked by then is asked another time. It takes no lease, so that neither ledger nor residency
know of it, and lets the engine compute only while no slot holds anybody's words; else it asks what needs no slot.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby
from typing import Final

import anyio
import anyio.to_thread

from hostler import log
from hostler.engines.protocol import Endpoint, LoadSpec
from hostler.engines.talking import exchange
from hostler.engines.talking.exchange import Answer, Broken
from hostler.events import Bus, LeaseGranted, RequestQueued
from hostler.fleet.learning.defects import Defect, Probe, verdict
from hostler.fleet.learning.findings import Findings
from hostler.fleet.run import Run

#: All of it takes no longer, on a machine with much else to do; what is not answered by then cannot be judged.
BOUND_S: Final = 2.0
#: Tokens of prompts and of answers, about; an engine that takes longer for them by its plan computes nothing.
PROMPTS: Final = 120
ANSWERS: Final = 20
QUICK_S: Final = 1.0
#: Behind a load, and between looks whether the fleet is idle: whoever loads something mostly asks it something.
PAUSE_S: Final = 2.0

Ask = Callable[[Endpoint, str, str, object], Awaitable[Answer]]


class Probing:
    """``probes`` are the questions for what a load can do, those for one defect in a row."""

    def __init__(
        self,
        findings: Findings,
        probes: Callable[[LoadSpec], Sequence[Probe]],
        bus: Bus,
        ask: Ask = exchange.ask,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._findings = findings
        self._probes = probes
        self._bus = bus
        self._ask = ask
        self._pause_s = pause_s
        self._asked: set[str] = set()  # builds that are being asked now

    def begin(self, run: Run, busy: Callable[[], bool]) -> None:
        """The run became ready: take what is known of its build; ask for the rest once nobody is ``busy``, in a task
        that ends with the run."""
        spec = run.spec
        if spec.engine.kind != "llamacpp" or not spec.build:
            return
        run.sound = self._findings.sound(spec.build)
        if self._open(spec) and run.tasks is not None:
            run.tasks.start_soon(self._learn, run, busy)

    def _open(self, spec: LoadSpec) -> list[Probe]:
        """What its build has not answered yet."""
        known = self._findings.of(spec.build)
        return [probe for probe in self._probes(spec) if probe.defect not in known or not known[probe.defect].settled]

    async def _learn(self, run: Run, busy: Callable[[], bool]) -> None:
        build, told = run.spec.build, dict[Defect, bool | None]()
        await anyio.sleep(self._pause_s)
        while busy() or build in self._asked:  # noqa: ASYNC110 - it is in no hurry, and no request pays for an event
            await anyio.sleep(self._pause_s)
        self._asked.add(build)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._end_when_asked, group.cancel_scope, self._bus.last_id)
                await self._ask_all(run, told)
                group.cancel_scope.cancel()
        except Exception as bug:  # noqa: BLE001 - what is learnt is a courtesy: its failure ends no engine
            log.bug("build.not_probed", bug, build=build)
        finally:
            self._asked.discard(build)
            self._findings.learn(build, told)
            run.sound = self._findings.sound(build)
        if told:
            log.info("build.probed", build=build, sound=" ".join(sorted(run.sound)))
            await anyio.to_thread.run_sync(self._save)

    async def _ask_all(self, run: Run, told: dict[Defect, bool | None]) -> None:
        """Put what the answers come to into ``told``, defect by defect."""
        until = anyio.current_time() + BOUND_S
        for defect, probes in groupby(self._open(run.spec), lambda probe: probe.defect):
            asked = list(probes)
            if any(probe.computes for probe in asked) and not _may_compute(run):
                continue
            said: list[bool | None] = []
            for probe in asked:
                answer = None
                with anyio.CancelScope(deadline=until):
                    answer = await self._judged(run, probe)
                said.append(answer)
                if answer is False:
                    break
            told[defect] = verdict(said)
            if anyio.current_time() >= until:
                break

    async def _judged(self, run: Run, probe: Probe) -> bool | None:
        if run.endpoint is None:
            return None
        try:
            answer = await self._ask(run.endpoint, "POST", probe.path, probe.body)
        except Broken:
            return None
        return probe.judge(answer.status, answer.body)

    async def _end_when_asked(self, scope: anyio.CancelScope, after: int) -> None:
        async for event in self._bus.subscribe(after):
            if isinstance(event, LeaseGranted | RequestQueued):
                scope.cancel()

    def _save(self) -> None:
        try:
            self._findings.save()
        except OSError as error:
            log.warning("build.findings_not_saved", reason=str(error))


def _may_compute(run: Run) -> bool:
    if run.seat is not None and not run.seat.unused:
        return False
    speeds = run.spec.plan.speeds[:1]
    return all(PROMPTS / speed.prefill.value + ANSWERS / speed.decode.value <= QUICK_S for speed in speeds)
