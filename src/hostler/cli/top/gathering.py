"""Reading a stream in batches, so that a busy gateway does not redraw the window a thousand times a second."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import anyio

from hostler.errors import HostlerError

T = TypeVar("T")
#: What comes within this time is handed on in one go.
GATHER_S = 0.1


async def gather(source: AsyncIterator[T], take: Callable[[list[T]], None]) -> None:
    """Call ``take`` with what came, until ``source`` ends. Raises the HostlerError that ends the source."""
    waiting: list[T] = []
    arrived = anyio.Event()

    async def read() -> None:
        async for item in source:
            waiting.append(item)
            arrived.set()
        tasks.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            while True:
                await arrived.wait()
                await anyio.sleep(GATHER_S)
                arrived = anyio.Event()
                batch, waiting[:] = waiting[:], []
                take(batch)
    except BaseExceptionGroup as group:
        raise only_error(group) from None
    finally:
        if waiting:
            take(waiting)


def only_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first HostlerError of a group that holds nothing else; else the group itself."""
    mine, others = group.split(HostlerError)
    if mine is None or others is not None:
        return group
    error: BaseException = mine
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
