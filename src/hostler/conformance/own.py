"""A gateway of one's own: `hostler up` in a folder that goes with it, watched to its very end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
import psutil

from hostler.client.locate import read_record
from hostler.errors import NoGateway
from hostler.testing.launch import stop

WITHIN_S: Final = 60.0
STOP_S: Final = 60.0
#: Engines inherit it: what is left of a gateway is found by it.
MARK: Final = "CONFORMANCE_HOME"


class OwnGateway:
    """A running `hostler up`. ``ended`` is its exit status, ``left`` the processes that outlived it (then ended)."""

    def __init__(self, home: Path, process: asyncio.subprocess.Process) -> None:
        self.home = home
        self.process = process
        self.url = ""
        self.ended: int | None = None
        self.left: tuple[str, ...] = ()

    @property
    def pid(self) -> int:
        """Of the gateway."""
        return self.process.pid

    @property
    def config(self) -> Path:
        """Its configuration file."""
        return self.home / "hostler.toml"

    async def answering(self) -> None:
        """Wait until its address is known and taken. Raises NoGateway when it ends before, or is too slow."""
        with suppress(TimeoutError):
            async with asyncio.timeout(WITHIN_S):
                while self.process.returncode is None:
                    record = read_record(self.home / "state")
                    if record is not None and record.pid == self.pid:
                        self.url = record.url.rstrip("/")
                        return
                    await asyncio.sleep(0.02)
        raise NoGateway("The gateway did not start.", hint=_tail(self.home / "up.log"))

    async def stop(self) -> int:
        """SIGTERM, as a service manager ends it; its exit status."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self.process.wait()
        self.ended = await stop(self.process)
        return self.ended


@asynccontextmanager
async def own_gateway(
    folder: Path, config: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[OwnGateway]:
    """`hostler up` with this configuration in ``folder``, its home. Ended with the block, also by SIGTERM to us."""
    with _ended_by_sigterm():
        async with _own_gateway(folder, config, environment) as own:
            yield own


@asynccontextmanager
async def _own_gateway(folder: Path, config: str, environment: Mapping[str, str] | None) -> AsyncIterator[OwnGateway]:
    furnish(folder, config)
    variables = {name: value for name, value in os.environ.items() if not name.startswith("HOSTLER_")}
    variables |= {"HOSTLER_HOME": str(folder), MARK: str(folder), **(environment or {})}
    with (folder / "up.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("hostler")), "up", "--port", "0", env=variables,
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    own = OwnGateway(folder, process)
    try:
        await own.answering()
        yield own
    finally:
        await asyncio.shield(own.stop())
        own.left = end_left(folder)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """What is awaited is cancelled, so that everything is ended that was begun; then this program ends.

    By itself the signal would end us alone: the gateway is in a session of its own.
    """
    loop, task, told = asyncio.get_running_loop(), asyncio.current_task(), False

    def end() -> None:
        nonlocal told
        told = True
        if task is not None:
            task.cancel()

    try:
        loop.add_signal_handler(signal.SIGTERM, end)
    except (ValueError, RuntimeError):  # not in the main thread: signals are somebody else's
        yield
        return
    try:
        yield
    except asyncio.CancelledError:
        if told:
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def furnish(folder: Path, config: str) -> None:
    """A home with this configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hostler.toml").write_text(config, encoding="utf-8")


def end_left(folder: Path) -> tuple[str, ...]:
    """The command lines of processes that were started for that home and are still there; they are ended."""
    left: list[str] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == str(folder):
                left.append(" ".join(process.cmdline())[:200])
                process.kill()
    return tuple(left)


def quoted(text: object) -> str:
    """A string of TOML."""
    return msgspec.json.encode(str(text)).decode()


def _tail(log: Path) -> str:
    try:
        return log.read_text("utf-8", "replace")[-1000:]
    except OSError:
        return ""
