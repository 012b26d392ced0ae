"""The `llamacpp` driver: runs profiles on llama.cpp's server, embedded or as a named binary."""

from __future__ import annotations

import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread

from hostler.config.settings import Task
from hostler.engines.builds import Build, Builds
from hostler.engines.commands.command import HOST, Place, check_extra_args, command
from hostler.engines.failures import not_started
from hostler.engines.logs import path_for
from hostler.engines.processes import process
from hostler.engines.processes.orphans import Record, Records
from hostler.engines.processes.spares import Spares
from hostler.engines.protocol import Endpoint, LoadSpec, Progress, Report, RunnerSettings
from hostler.engines.talking.progress import progress
from hostler.engines.talking.readiness import SPEED_TOKENS, StillLoading, answered, busy_slots, work
from hostler.errors import EngineLost, ModelError
from hostler.hardware.process import resident
from hostler.models.facts import Model

# A port chosen here can be taken before the engine listens on it.
PORT_TRIES = 2


class LlamaCpp:
    """A :class:`hostler.engines.protocol.Runner` for llama.cpp.

    ``on_gpus`` tells the bytes that a process holds, by device, as far as the drivers do.
    """

    def __init__(
        self, settings: RunnerSettings, builds: Builds, on_gpus: Callable[[int], dict[str, int]] = lambda _: {}
    ) -> None:
        self._settings = settings
        self._builds = builds
        self._on_gpus = on_gpus
        self._records = Records(settings.state)
        #: Its ``run`` is to be run as long as engines are; else every load starts a launcher of its own.
        self.spares = Spares(lambda: settings.limits)

    async def preflight(self, spec: LoadSpec) -> None:
        """Raises BuildUnusable, FlagConflict, FlagUnsupported or ModelError for what can be known beforehand."""
        build = await self._builds.get(spec.engine.build)
        check_extra_args(spec, build)
        command(spec, build, self._place(0, self._slot_folder(spec)))
        await anyio.to_thread.run_sync(check_files, spec.model)

    async def run(self, spec: LoadSpec, report: Callable[[Report], None]) -> None:
        """Run ``spec`` until its engine ends; see :class:`hostler.engines.protocol.Runner`."""
        build = await self._builds.get(spec.engine.build)
        folder = private_folder(self._slot_folder(spec))
        try:
            for tries_left in reversed(range(PORT_TRIES)):
                try:
                    launch = self._launch(spec, build, folder)
                    await process.run(launch, self._records, self.spares.seen(launch.argv, report))
                except process.PortTaken:
                    if not tries_left:
                        raise
        except OSError as error:
            raise not_started(spec.profile, error) from error
        finally:
            # Saved prompts are of no use to another process, and are nobody else's to read.
            shutil.rmtree(folder, ignore_errors=True)

    async def slots_busy(self, endpoint: Endpoint) -> int | None:
        """How many slots compute now; bounded by ``connect_s``. None when the engine does not tell."""
        with anyio.move_on_after(self._settings.limits.connect_s):
            return await busy_slots(endpoint)
        return None

    async def answers(self, endpoint: Endpoint) -> None:
        """``/health`` is answered without a look at its slots."""
        await answered(endpoint, "/health")

    async def progress(self, endpoint: Endpoint) -> Progress | None:
        """What its slots have done so far."""
        return await progress(endpoint)

    async def probe(self, endpoint: Endpoint, task: Task) -> float | None:
        """One piece of real work; tokens/s or None. Raises EngineLost. Unbounded: the caller bounds it."""
        try:
            return await work(endpoint, task, SPEED_TOKENS)
        except StillLoading:
            raise EngineLost("The engine says that it is still loading.") from None

    def resident_bytes(self, pid: int, spec: LoadSpec) -> dict[str, int] | None:
        """Host memory of the process (anonymous, shared, and the resident part of the model's files), and what the
        driver says of it on GPUs."""
        projector = (spec.model.projector,) if spec.model.projector else ()
        held = resident(pid, (*spec.model.files, *projector))
        return None if held is None else {**self._on_gpus(pid), "host": held.anonymous + held.shared + held.file_backed}

    async def end_orphans(self) -> list[Record]:
        """End engines that an earlier gateway of this state folder left behind; call once, at start."""
        ended = await self._records.end_orphans()
        shutil.rmtree(self._settings.state / "slots", ignore_errors=True)
        return ended

    def _launch(self, spec: LoadSpec, build: Build, folder: Path) -> process.Launch:
        # The embedded build reports the port that the kernel gave it; a binary is given a free one.
        port = 0 if build.kind == "embedded" else free_port()
        made = command(spec, build, self._place(port, folder))
        key = secrets.token_urlsafe(32)
        return process.Launch(
            spec=spec,
            argv=made.argv,
            env={**made.env, "LLAMA_API_KEY": key},
            build=build.title,
            key=key,
            settings=self._settings,
            log=path_for(self._settings.logs, spec.profile),
            spares=self.spares,
            # It has nothing to save, and takes tens of milliseconds to take its vocabulary apart. Drivers of GPUs are
            # given the chance.
            abrupt=not build.devices,
        )

    def _place(self, port: int, folder: Path) -> Place:
        return Place(port=port, slot_folder=folder)

    def _slot_folder(self, spec: LoadSpec) -> Path:
        return self._settings.state / "slots" / spec.instance


def private_folder(wanted: Path) -> Path:
    """``wanted``, made for its owner alone; another one when the disk is full or may not be written.

    Raises LoadFailed when none can be had.
    """
    try:
        wanted.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        try:
            return Path(tempfile.mkdtemp(prefix="hostler-slots-"))
        except OSError as error:
            raise not_started(wanted.name, error) from error
    return wanted


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def check_files(model: Model) -> None:
    """Raises ModelError, naming the path, when a file of ``model`` cannot be read or is empty."""
    for path in (*model.files, *((model.projector,) if model.projector else ())):
        try:
            with path.open("rb") as file:
                if not file.read(1):
                    raise ModelError(f"{path} is empty.")
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
