"""A launcher of the embedded build that waits: Python is up and the wheel imported before a load needs them.

At most one, made when an engine of that build has become ready; it holds 17 MiB of its own. It ends with the
gateway, whatever way that ends, like every engine.
"""

from __future__ import annotations

import subprocess
import sys

import anyio
import msgspec

from hostler.config.settings import LimitSettings
from hostler.engines.embedded import WAIT
from hostler.engines.group import end
from hostler.engines.spawned import Spawned, spawned
from hostler.errors import EngineError

#: After an engine became ready: what it was loaded for comes first.
SETTLE_S = 0.25

PROGRAM = (sys.executable, "-P", "-m", "hostler.engines.embedded")


class Spares:
    """Keeps one launcher ready while :meth:`run` runs; without that there is never one."""

    def __init__(self, limits: LimitSettings) -> None:
        self._limits = limits
        self._wanted = anyio.Event()
        self._waiting: Spawned | None = None

    async def run(self) -> None:
        """Make a launcher whenever one is wanted, until cancelled; then the one that waits is ended."""
        try:
            while True:
                await self._wanted.wait()
                self._wanted = anyio.Event()
                await anyio.sleep(SETTLE_S)
                await self._renew()
        finally:
            with anyio.CancelScope(shield=True):
                await self._end()

    def want(self) -> None:
        """An engine of the embedded build runs: the next one is to start quicker."""
        self._wanted.set()

    @property
    def pid(self) -> int | None:
        """The process that waits, if one does."""
        return None if self._waiting is None else self._waiting.child.pid

    async def take(self, argv: tuple[str, ...], env: dict[str, str]) -> Spawned | None:
        """The launcher that waits, told to run ``argv``; None when there is none that could.

        ``env`` may hold the key alone: libraries read other variables when they are loaded.
        """
        if argv[: len(PROGRAM)] != PROGRAM or set(env) != {"LLAMA_API_KEY"}:
            return None
        found, self._waiting = self._waiting, None
        if found is None or found.child.returncode is not None or found.child.stdin is None:
            if found is not None:
                found.close()
            return None
        told = msgspec.json.encode({"argv": argv[len(PROGRAM) :], "key": env["LLAMA_API_KEY"]})
        with anyio.CancelScope(shield=True):
            try:
                await found.child.stdin.send(told + b"\n")
                await found.child.stdin.aclose()
            except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                await _ended(found, self._limits)
                return None
        return found

    async def _renew(self) -> None:
        if self._waiting is not None and self._waiting.child.returncode is None:
            return
        await self._end()
        try:
            self._waiting = await spawned((*PROGRAM, WAIT), {}, subprocess.PIPE)
        except (EngineError, OSError):
            return  # the next load says what is wrong

    async def _end(self) -> None:
        found, self._waiting = self._waiting, None
        if found is not None:
            await _ended(found, self._limits)


async def _ended(waiting: Spawned, limits: LimitSettings) -> None:
    with waiting:
        await end(waiting.child, limits)
        if waiting.child.stdin is not None:
            await waiting.child.stdin.aclose()
