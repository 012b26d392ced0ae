"""A command that is run to its end: it gets the signals, its exit code is ours."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from anyio.abc import Process

FORWARDED: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")


async def followed(
    words: Sequence[str], env: Mapping[str, str], *beside: Callable[[], Coroutine[object, object, None]]
) -> int:
    """Run the command to its end, and what is ``beside`` for as long; its exit code, as a shell tells it."""
    import anyio

    forwarded = [getattr(signal, name) for name in FORWARDED if hasattr(signal, name)]
    with anyio.open_signal_receiver(*forwarded) as signals:
        process = await anyio.open_process(words, stdin=None, stdout=None, stderr=None, env=env)
        async with anyio.create_task_group() as group:
            group.start_soon(_forward, signals, process)
            for each in beside:
                group.start_soon(each)
            code = await process.wait()
            group.cancel_scope.cancel()
    return code if code >= 0 else 128 - code


async def _forward(signals: AsyncIterator[signal.Signals], process: Process) -> None:
    """Hand on what this process is sent; Ctrl-C reaches the command by its terminal already."""
    async for number in signals:
        if number == signal.SIGINT and sys.stdin.isatty():
            continue
        with suppress(ProcessLookupError):
            process.send_signal(number)
