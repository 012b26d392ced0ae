"""Launchers that wait: Python is up, and for the embedded build the wheel imported, before a load needs them.

One of each kind at most, made when an engine that it started has become ready. That of the embedded build holds
17 MiB of its own, the shim that becomes a binary or a program 5 MiB. They end with the gateway, whatever way that ends,
like every engine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import anyio

from hostler.config.settings import LimitSettings
from hostler.engines.processes.group import end
from hostler.engines.processes.parent import WAIT
from hostler.engines.processes.spawned import Spawned, spawned
from hostler.engines.protocol import Ready, Report
from hostler.errors import EngineError

#: After an engine became ready: what it was loaded for comes first.
SETTLE_S: Final = 0.25

Program = tuple[str, ...]

EMBEDDED: Final[Program] = (sys.executable, "-P", "-m", "hostler.engines.processes.embedded")
GUARD: Final[Program] = (sys.executable, "-P", "-m", "hostler.engines.processes.guard")


class Spares:
    """Keeps launchers ready while :meth:`run` runs; without that there is never one."""

    def __init__(self, limits: Callable[[], LimitSettings]) -> None:
        self._limits = limits
        self._wanted: set[Program] = set()
        self._nudge = anyio.Event()
        self._waiting: dict[Program, Spawned] = {}

    async def run(self) -> None:
        """Make a launcher whenever one is wanted, until cancelled; then those that wait are ended."""
        try:
            while True:
                await self._nudge.wait()
                self._nudge = anyio.Event()
                await anyio.sleep(SETTLE_S)
                while self._wanted:
                    await self._renew(self._wanted.pop())
        finally:
            with anyio.CancelScope(shield=True):
                for program in list(self._waiting):
                    await self._end(program)

    def want(self, argv: Sequence[str]) -> None:
        """An engine that was started by ``argv`` runs: the next one is to start quicker."""
        if (program := _program(argv)) is not None:
            self._wanted.add(program)
            self._nudge.set()

    def seen(self, argv: Sequence[str], report: Callable[[Report], None]) -> Callable[[Report], None]:
        """``report``, after which the next launcher is made ready when what ``argv`` started is."""

        def seen(told: Report) -> None:
            report(told)
            if isinstance(told, Ready):
                self.want(argv)

        return seen

    @property
    def pids(self) -> dict[Program, int]:
        """The processes that wait."""
        return {program: spare.child.pid for program, spare in self._waiting.items()}

    async def take(self, argv: Sequence[str], env: Mapping[str, str]) -> Spawned | None:
        """The launcher that waits, told to run ``argv`` with ``env`` added; None when there is none that could."""
        program = _program(argv)
        # Libraries read the environment when they are loaded, and the wheel is.
        if program is None or (program == EMBEDDED and set(env) != {"LLAMA_API_KEY"}):
            return None
        found = self._waiting.pop(program, None)
        if found is None or found.child.returncode is not None or found.child.stdin is None:
            if found is not None:
                found.close()
            return None
        # Not by msgspec: the name of a file may be no text.
        told = json.dumps({"argv": list(argv[len(program) :]), "env": dict(env)}).encode()
        with anyio.CancelScope(shield=True):
            try:
                await found.child.stdin.send(told + b"\n")
                await found.child.stdin.aclose()
            except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                await _ended(found, self._limits())
                return None
        return found

    async def _renew(self, program: Program) -> None:
        waiting = self._waiting.get(program)
        if waiting is not None and waiting.child.returncode is None:
            return
        await self._end(program)
        try:
            with anyio.CancelScope(shield=True):  # a process that is being made has to be known, to be ended
                self._waiting[program] = await spawned((*program, WAIT), {}, subprocess.PIPE)
        except (EngineError, OSError):
            return  # the next load says what is wrong

    async def _end(self, program: Program) -> None:
        if (found := self._waiting.pop(program, None)) is not None:
            await _ended(found, self._limits())


def _program(argv: Sequence[str]) -> Program | None:
    """The launcher that ``argv`` begins with."""
    return next((program for program in (EMBEDDED, GUARD) if tuple(argv[: len(program)]) == program), None)


async def _ended(waiting: Spawned, limits: LimitSettings) -> None:
    with waiting:
        await end(waiting.child, limits)
        if waiting.child.stdin is not None:
            await waiting.child.stdin.aclose()
