"""Instances that lost a request: is the engine gone, or did it only close a connection?

Sockets close a moment before the end of a process is told. Whoever is granted the instance in that moment loses it
again, so nobody is until it answers something, or its end is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio

from hostler.engines.failures import hanging
from hostler.engines.protocol import Endpoint, Runner
from hostler.errors import EngineLost
from hostler.fleet.run import Run
from hostler.fleet.scheduling import messages as m

TRIES: Final = 3
#: How long an answer may take; who takes the connection and is silent is busy, and watched elsewhere.
ANSWER_S: Final = 2.0
#: After a refusal: how long the end of a process may take to show, which ends the wait for it.
DEATH_S: Final = 1.0

#: Of a remote.
UNREACHED: Final = "could not be reached at its last request"


class Doubts:
    """``tell`` reaches the scheduler; ``lose`` ends a run whose process is there and takes no connection."""

    def __init__(
        self,
        runner: Runner,
        tell: Callable[[m.Message], None],
        lose: Callable[[Run, EngineLost], None],
        death_s: float = DEATH_S,
    ) -> None:
        self._runner = runner
        self._tell = tell
        self._lose = lose
        self._death_s = death_s

    def about(self, run: Run) -> None:
        """A request lost ``run``: nothing is granted on it from now on. Once is enough.

        Of a remote only its next request can tell; until one comes back, its trouble is known.
        """
        if run.endpoint is not None and run.endpoint.remote is not None:
            run.trouble = UNREACHED
            return
        if run.endpoint is None or run.doubted:
            return
        run.doubted = True
        self._tell(m.Doubted(run.spec.instance))
        if run.tasks is not None:  # else its process has ended, and only its memory is waited for
            run.tasks.start_soon(self._settle, run, run.endpoint)

    async def _settle(self, run: Run, endpoint: Endpoint) -> None:
        """Until it answers; ends with the run."""
        why = ""
        for _ in range(TRIES):
            try:
                with anyio.move_on_after(ANSWER_S):
                    await self._runner.answers(endpoint)
                run.doubted = False
                self._tell(m.Trusted(run.spec.instance))
                return
            except EngineLost as error:
                why = error.message.rstrip(".")
                await anyio.sleep(self._death_s)
        self._lose(run, hanging(run.spec.profile, why[:1].lower() + why[1:]))
