"""Every kind of engine behind one runner: who runs a profile is said by its `engine.kind`."""

from __future__ import annotations

from collections.abc import Callable

from hostler.config.settings import Task
from hostler.engines.llamacpp import LlamaCpp
from hostler.engines.program import Program
from hostler.engines.protocol import Endpoint, LoadSpec, Progress, Report


class Drivers:
    """A :class:`hostler.engines.protocol.Runner` that hands each call to the driver it is for."""

    def __init__(self, llamacpp: LlamaCpp, program: Program) -> None:
        self._llamacpp = llamacpp
        self._program = program

    async def preflight(self, spec: LoadSpec) -> None:
        await self._of(spec).preflight(spec)

    async def run(self, spec: LoadSpec, report: Callable[[Report], None]) -> None:
        await self._of(spec).run(spec, report)

    async def slots_busy(self, endpoint: Endpoint) -> int | None:
        return await self._at(endpoint).slots_busy(endpoint)

    async def progress(self, endpoint: Endpoint) -> Progress | None:
        return await self._at(endpoint).progress(endpoint)

    async def probe(self, endpoint: Endpoint, task: Task) -> float | None:
        return await self._at(endpoint).probe(endpoint, task)

    def resident_bytes(self, pid: int, spec: LoadSpec) -> dict[str, int] | None:
        return self._of(spec).resident_bytes(pid, spec)

    def _of(self, spec: LoadSpec) -> LlamaCpp | Program:
        return self._program if spec.engine.kind == "command" else self._llamacpp

    def _at(self, endpoint: Endpoint) -> LlamaCpp | Program:
        return self._program if self._program.runs(endpoint) else self._llamacpp
