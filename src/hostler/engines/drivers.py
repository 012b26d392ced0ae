"""Every kind of engine behind one runner: who runs a profile is said by its `engine.kind`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hostler.config.settings import Task
from hostler.engines.llamacpp import LlamaCpp
from hostler.engines.program import Program
from hostler.engines.protocol import Endpoint, LoadSpec, Progress, Report, Runner
from hostler.engines.remote import Remotes


class Drivers:
    """A :class:`hostler.engines.protocol.Runner` that hands each call to the driver it is for."""

    def __init__(self, llamacpp: LlamaCpp, program: Program, remotes: Remotes) -> None:
        self._llamacpp = llamacpp
        self._program = program
        self._remotes = remotes
        self._by_kind: Mapping[str, Runner] = {"llamacpp": llamacpp, "command": program, "remote": remotes}

    async def preflight(self, spec: LoadSpec) -> None:
        await self._of(spec).preflight(spec)

    async def run(self, spec: LoadSpec, report: Callable[[Report], None]) -> None:
        await self._of(spec).run(spec, report)

    async def slots_busy(self, endpoint: Endpoint) -> int | None:
        return await self._at(endpoint).slots_busy(endpoint)

    async def answers(self, endpoint: Endpoint) -> None:
        await self._at(endpoint).answers(endpoint)

    async def progress(self, endpoint: Endpoint) -> Progress | None:
        return await self._at(endpoint).progress(endpoint)

    async def probe(self, endpoint: Endpoint, task: Task) -> float | None:
        return await self._at(endpoint).probe(endpoint, task)

    def resident_bytes(self, pid: int, spec: LoadSpec) -> dict[str, int] | None:
        return self._of(spec).resident_bytes(pid, spec)

    def _of(self, spec: LoadSpec) -> Runner:
        return self._by_kind[spec.engine.kind]

    def _at(self, endpoint: Endpoint) -> Runner:
        if endpoint.remote is not None:
            return self._remotes
        return self._program if self._program.runs(endpoint) else self._llamacpp
