"""One engine process, from start to reaped, inside one function.

:func:`run` starts it, watches it become ready by real work, supervises it, and says why it ended. Every way
out of it, cancellation included, goes through :func:`hostler.engines.processes.group.end`: terminate, grace, kill of
the whole process group, reap, all shielded.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import anyio
import anyio.abc
import msgspec

from hostler.config.settings import Task
from hostler.engines.failures import Ending, after_ready, at_load, could_not_bind
from hostler.engines.loglines import Listening, complaint, meaning, without_prompts
from hostler.engines.logs import Lines, LogFile
from hostler.engines.processes.group import end
from hostler.engines.processes.leftovers import end_marked
from hostler.engines.processes.orphans import Record, Records
from hostler.engines.processes.spares import Spares
from hostler.engines.processes.spawned import Spawned, spawned
from hostler.engines.protocol import Complaint, Endpoint, LoadSpec, Ready, Report, RunnerSettings, Stage, Started
from hostler.engines.talking.readiness import StillLoading, work
from hostler.errors import EngineError, EngineLost, LoadFailed, LoadTimeout
from hostler.hardware.host import memory_kills
from hostler.hardware.process import process_start_time

# After the process is gone: how long its last lines may take (a grandchild can hold the pipe open).
LAST_LINES_S = 0.5
# What is read without waiting after that: more than a pipe holds, for those that are larger than usual.
REST_READS = 16
# After an engine that failed to answer: how long its death may take to show.
DEATH_S = 1.0
#: Between questions whether it is ready: a part of what it has taken so far, within these bounds.
LOADING_POLLS_S = (0.01, 0.1)
LOADING_PART = 0.05
KEPT_LINES = 300

_CHUNK = 65536


class PortTaken(LoadFailed):
    """Something else took the port between choosing and listening; another try may work."""


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """A process to run. ``build`` is how messages call the engine; ``key`` never goes into ``argv``.

    ``spares`` may have a launcher that only waits to be told. ``address`` is for a program that does not say where it
    listens. ``prove`` makes it work once (tokens/s or None; StillLoading: ask again, EngineLost: it never will),
    ``proving`` is that stage in words. ``before_end`` is called, shielded, with the pid before the process is ended, or
    with None when it has ended by itself; what it does must be bounded. ``stop`` is what a later gateway runs in its
    place if this one is killed. One that keeps nothing of its own may end ``abrupt``: it is killed at once. With a
    ``mark`` what it started in other sessions is ended after it.
    """

    spec: LoadSpec
    argv: tuple[str, ...]
    env: dict[str, str]
    build: str
    key: str
    settings: RunnerSettings
    log: Path
    spares: Spares | None = None
    address: Listening | None = None
    prove: Callable[[Endpoint, Task], Awaitable[float | None]] = work
    proving: str = "generating a first token"
    before_end: Callable[[int | None], Awaitable[None]] | None = None
    stop: tuple[str, ...] = ()
    abrupt: bool = False
    mark: str = ""


class _Told(msgspec.Struct, frozen=True):
    """A line of the status channel."""

    listening: Listening | None = None
    error: str = ""
    code: str = ""


async def run(launch: Launch, records: Records, report: Callable[[Report], None]) -> None:
    """Run one engine process until it ends or this call is cancelled; never returns normally.

    Raises LoadFailed (or a subclass, or FlagUnsupported) when it ends before it was ready, EngineLost after.
    When this is over, nothing of the process or its descendants in the group is left.
    """
    bounds = launch.settings
    log = LogFile(launch.log, lambda: (bounds.log_max_bytes, bounds.log_keep), secret=launch.key)
    failure: EngineError | None = None
    with log, await _begun(launch) as begun:
        child = begun.child
        watch = _Watch(launch, child, log, report)
        gone = False
        try:
            records.write(_record(launch, child.pid))
            report(Started(pid=child.pid, argv=launch.argv))
            failure = await watch.until_end(begun.status, begun.output)
        finally:
            with anyio.CancelScope(shield=True):
                if launch.before_end is not None:
                    await launch.before_end(child.pid if child.returncode is None else None)
                gone = await end(child, launch.settings.limits, abrupt=launch.abrupt)
                if launch.mark:
                    await _end_leftovers(launch, report)
            if gone:
                records.remove(launch.spec.instance)
    assert failure is not None
    raise failure


async def _end_leftovers(launch: Launch, report: Callable[[Report], None]) -> None:
    limits = launch.settings.limits
    leftovers = await end_marked(launch.mark, limits.grace_s, limits.kill_s)
    if leftovers.found:
        report(Complaint("error" if leftovers.left else "warning", leftovers.told))


async def _begun(launch: Launch) -> Spawned:
    waited = None if launch.spares is None else await launch.spares.take(launch.argv, launch.env)
    return waited or await spawned(launch.argv, launch.env)


def _record(launch: Launch, pid: int) -> Record:
    return Record(
        pid=pid,
        started=process_start_time(pid) or 0.0,
        instance=launch.spec.instance,
        profile=launch.spec.profile,
        argv0=launch.argv[0],
        stop=launch.stop,
        mark=launch.mark,
    )


class _Watch:
    """What is known of a running process while :func:`run` waits for it."""

    def __init__(
        self, launch: Launch, child: anyio.abc.Process, log: LogFile, report: Callable[[Report], None]
    ) -> None:
        self._launch = launch
        self._child = child
        self._log = log
        self._report = report
        self._kept: deque[str] = deque(maxlen=KEPT_LINES)
        self._lines = Lines()
        self._kills = memory_kills()
        self._stage = "starting"
        self._told = _Told()
        self._address: Listening | None = None
        self._listening = anyio.Event()
        self._exited = anyio.Event()
        self._drained = anyio.Event()
        self._loading = anyio.CancelScope()
        self._ready = False

    async def until_end(self, status: socket.socket, output: int) -> EngineError:
        """Wait for the end; the error that says why."""
        refusal: EngineError | None = None
        if self._launch.address is not None:
            self._heard(self._launch.address)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._read_output, output)
            tasks.start_soon(self._read_status, status)
            tasks.start_soon(self._await_exit)
            refusal = await self._become_ready()
            if self._ready:
                await self._exited.wait()
            if self._exited.is_set():
                with anyio.move_on_after(LAST_LINES_S):
                    await self._drained.wait()
            tasks.cancel_scope.cancel()
        if self._exited.is_set() and not self._drained.is_set():
            self._read_rest(output)
        return self._failure(refusal)

    async def _become_ready(self) -> EngineError | None:
        """Report Ready after real work, within ``load_s``; else why not (None when it ended)."""
        try:
            with self._loading, anyio.fail_after(self._launch.settings.limits.load_s):
                await self._listening.wait()
                endpoint = self._endpoint()
                self._reached(self._launch.proving)
                speed = await self._first_work(endpoint)
                self._ready = True
                self._report(Ready(endpoint=endpoint, tokens_per_s=speed))
        except TimeoutError:
            return self._too_slow()
        except EngineLost as error:
            return await self._unanswered(error)
        return None

    async def _first_work(self, endpoint: Endpoint) -> float | None:
        began, (least_s, most_s) = anyio.current_time(), LOADING_POLLS_S
        while True:
            try:
                return await self._launch.prove(endpoint, self._launch.spec.task)
            except StillLoading:
                taken_s = anyio.current_time() - began
                await anyio.sleep(min(most_s, max(least_s, LOADING_PART * taken_s)))

    def _endpoint(self) -> Endpoint:
        assert self._address is not None
        return Endpoint(self._address.host, self._address.port, self._launch.key)

    def _too_slow(self) -> LoadTimeout:
        limit, stages = self._launch.settings.limits.load_s, [self._stage]
        if self._launch.address is not None:
            stages.append(self._launch.proving)  # its log may have told of other stages meanwhile
        told, profile = "; ".join(dict.fromkeys(stages)), self._launch.spec.profile
        hint = f"Raise `[limits] load_s` if the disk is slow; `hostler logs {profile}` shows the stage."
        if self._launch.address is not None:
            hint = f"`hostler logs {profile}` shows what it said. Correct its `health`, or raise `[limits] load_s`."
        return LoadTimeout(f"`{profile}` was not ready within {limit} ({told}).", hint=hint)

    async def _unanswered(self, error: EngineLost) -> LoadFailed | None:
        """The process may just be dying, and its death tells more than the broken connection."""
        with anyio.move_on_after(DEATH_S):
            await self._exited.wait()
            return None
        profile = self._launch.spec.profile
        hint = f"`hostler logs {profile}` shows what the engine said."
        return LoadFailed(f"The engine of `{profile}` loaded, but does not work: {error.message}", hint=hint)

    def _failure(self, refusal: EngineError | None) -> EngineError:
        if refusal is not None:
            return refusal
        ending = self._ending()
        if self._ready:
            return after_ready(ending)
        if could_not_bind(ending.lines):
            return PortTaken(at_load(ending).message)
        return at_load(ending)

    def _ending(self) -> Ending:
        spec = self._launch.spec
        returncode = self._child.returncode
        return Ending(
            returncode=0 if returncode is None else returncode,
            lines=tuple(self._kept),
            profile=spec.profile,
            build=self._launch.build,
            model=str(spec.model.path),
            stage=self._stage,
            said=self._told.error,
            code=self._told.code,
            starved=self._kills is not None and self._kills < (memory_kills() or 0),
        )

    async def _await_exit(self) -> None:
        await self._child.wait()
        self._exited.set()
        if not self._ready:
            self._loading.cancel()

    async def _read_output(self, output: int) -> None:
        while data := await _read(output):
            self._take(self._lines.feed(data))
        self._take(self._lines.end())
        self._drained.set()

    def _read_rest(self, output: int) -> None:
        """What the pipe still holds: on a busy machine its reader may have had no turn, and the last lines say why."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(REST_READS):
                self._take(self._lines.feed(os.read(output, _CHUNK)))
        self._take(self._lines.end())

    def _take(self, lines: Iterable[str]) -> None:
        # Once requests run, the log may quote them.
        kept = [line for line in map(without_prompts, lines) if line is not None] if self._ready else list(lines)
        self._log.write(kept)
        self._kept.extend(kept)
        for line in kept:
            self._understand(line)

    def _understand(self, line: str) -> None:
        found = complaint(line) if self._ready else meaning(line)
        if isinstance(found, Listening):
            self._heard(found)
        elif isinstance(found, Stage):
            self._reached(found.name)
        elif found is not None and not (self._ready and _quotes_a_request(found)):
            self._report(found)

    def _reached(self, stage: str) -> None:
        if stage != self._stage:
            self._stage = stage
            self._report(Stage(stage))

    def _heard(self, address: Listening) -> None:
        if self._address is None:
            self._address = address
            self._listening.set()

    async def _read_status(self, status: socket.socket) -> None:
        status.setblocking(False)
        lines = Lines()
        while data := await _read(status.fileno()):
            for line in lines.feed(data):
                self._told = msgspec.json.decode(line, type=_Told)
                if self._told.listening is not None:
                    self._heard(self._told.listening)


def _quotes_a_request(found: object) -> bool:
    return isinstance(found, Complaint) and "(left out)" in found.text


async def _read(descriptor: int) -> bytes:
    """The next bytes of a non-blocking descriptor; empty at its end."""
    while True:
        await anyio.wait_readable(descriptor)
        try:
            return os.read(descriptor, _CHUNK)
        except BlockingIOError:
            continue
        except ConnectionResetError:
            return b""
