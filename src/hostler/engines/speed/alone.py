"""An engine for as long as a block lasts, outside any fleet: for measurements."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio
from anyio.abc import TaskStatus

from hostler.engines.protocol import Endpoint, LoadSpec, Ready, Report, Runner, Started
from hostler.errors import HostlerError, LoadFailed


class Alone(NamedTuple):
    """Where a ready engine listens, and its process."""

    endpoint: Endpoint
    pid: int


@asynccontextmanager
async def running(runner: Runner, spec: LoadSpec) -> AsyncIterator[Alone]:
    """The engine, once it is ready.

    Raises what a load raises (BuildUnusable, LoadFailed, KilledBySignal, ...). An engine that ends early cancels the
    block, and its error is what is raised, whatever the block met. After the block, cancelled or not, nothing of the
    engine is left.
    """
    await runner.preflight(spec)
    ended: list[HostlerError] = []
    try:
        async with anyio.create_task_group() as tasks:
            engine: Alone = await tasks.start(_run, runner, spec, ended)
            yield engine
            tasks.cancel_scope.cancel()
    except (HostlerError, BaseExceptionGroup) as error:
        told = ended[0] if ended else _told(error)
        if told is None or told is error:
            raise
        raise told from error


async def _run(runner: Runner, spec: LoadSpec, ended: list[HostlerError], *, task_status: TaskStatus[Alone]) -> None:
    pid = 0

    def heard(report: Report) -> None:
        nonlocal pid
        match report:
            case Started(pid=number):
                pid = number
            case Ready(endpoint=endpoint):
                task_status.started(Alone(endpoint, pid))
            case _:
                pass

    try:
        await runner.run(spec, heard)
        raise LoadFailed("The engine ended by itself.")
    except HostlerError as error:
        ended.append(error)
        raise


def _told(error: BaseException) -> HostlerError | None:
    """The one error that a group is about; None when it is about something else."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, HostlerError) else None
