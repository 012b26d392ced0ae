"""Whether engines that run also work: those with requests by what their slots show, idle ones by a real token.

A look costs a question to the engine, which it answers between two batches; so looks are far apart, and an idle engine
is left alone unless it is to be asked (``idle_check_s``) or the machine has slept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio

from hostler.clock import Clock
from hostler.config.quantities import format_seconds
from hostler.config.settings import LimitSettings
from hostler.engines.failures import hanging
from hostler.engines.protocol import Endpoint, Runner
from hostler.errors import EngineLost
from hostler.fleet.recovery.pulse import Pulse, patience
from hostler.fleet.run import Run

#: Between looks at a busy engine: a part of the stall, at most so many seconds.
LOOKS: Final = 8
LONGEST_PAUSE_S: Final = 15.0
#: How long an idle engine may take for one token where nothing stalls by configuration.
TOKEN_S: Final = 120.0
ANSWER_S: Final = 5.0
DEATH_S: Final = 1.0


class Health:
    """Watches runs. ``busy`` says how many requests an instance has, ``lose`` is called once with one that hangs."""

    def __init__(
        self,
        runner: Runner,
        clock: Clock,
        limits: Callable[[], LimitSettings],
        busy: Callable[[str], int],
        lose: Callable[[Run, EngineLost], None],
    ) -> None:
        self._runner = runner
        self._clock = clock
        self._limits = limits
        self._busy = busy
        self._lose = lose

    async def watch(self, run: Run, endpoint: Endpoint) -> None:
        """Until the run hangs, or the caller is cancelled with it."""
        pulse, checked = Pulse(self._clock.monotonic()), self._clock.monotonic()
        while True:
            limits = self._limits()
            await anyio.sleep(_pause(limits))
            now = self._clock.monotonic()
            if self._busy(run.spec.instance):
                checked = now
                await self._look(run, endpoint, pulse)
            else:
                pulse.rest(now)
                if limits.idle_check_s and now - checked >= limits.idle_check_s:
                    checked = now
                    await self.check(run, endpoint)

    async def _look(self, run: Run, endpoint: Endpoint, pulse: Pulse) -> None:
        stall_s = self._limits().stall_s
        if not stall_s:
            return
        try:
            with anyio.move_on_after(ANSWER_S):
                seen = await self._runner.progress(endpoint)
                if seen is None:  # it does not tell: other bounds have to do
                    pulse.rest(self._clock.monotonic())
                else:
                    pulse.beat(seen, self._clock.monotonic())
        except EngineLost:
            pass  # its process says more when it has ended; if it has not, this is a look without an answer
        still_s = pulse.still_s(self._clock.monotonic())
        if still_s >= patience(run.spec, stall_s) and self._busy(run.spec.instance):
            why = f"its slots have read and generated nothing for {format_seconds(still_s)}"
            self._lose(run, hanging(run.spec.profile, why))

    async def check(self, run: Run, endpoint: Endpoint) -> None:
        """Let an idle engine generate a token. A request that comes meanwhile answers the question as well."""
        stall_s = self._limits().stall_s
        bound_s = stall_s or TOKEN_S
        why = f"it generated no token within {format_seconds(bound_s)}"
        try:
            with anyio.move_on_after(bound_s):
                await self._runner.probe(endpoint, run.spec.task)
                return
        except EngineLost as error:
            why = error.message.rstrip(".")
            await anyio.sleep(DEATH_S)  # if it is dying its end says more, and ends this wait
        if not self._busy(run.spec.instance):
            self._lose(run, hanging(run.spec.profile, why))


def _pause(limits: LimitSettings) -> float:
    bounds = [bound / LOOKS for bound in (limits.stall_s, limits.idle_check_s) if bound]
    return min([*bounds, LONGEST_PAUSE_S])
