"""The `command` driver: runs any program that serves HTTP on a port that it is given.

It is started, drained, ended and classified as llama.cpp is; what Hostler cannot know of it, its settings say: where
it tells that it is ready, what it holds, how it wants to be stopped.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import anyio

from hostler.config.programs import NO_HEALTH
from hostler.config.settings import LimitSettings, Task
from hostler.engines.commands.command import HOST
from hostler.engines.llamacpp import PORT_TRIES, free_port
from hostler.engines.loglines import Listening
from hostler.engines.logs import path_for
from hostler.engines.processes import process
from hostler.engines.processes.group import ask_to_stop
from hostler.engines.processes.leftovers import MARK
from hostler.engines.processes.orphans import Records
from hostler.engines.processes.spares import GUARD, Spares
from hostler.engines.protocol import Endpoint, LoadSpec, Progress, Report, RunnerSettings
from hostler.engines.talking.exchange import Broken, ask
from hostler.engines.talking.readiness import PROOF_TOKENS, SPEED_TOKENS, StillLoading, answered, work
from hostler.errors import BuildUnusable, EngineLost, LoadFailed
from hostler.hardware.process import process_start_time, resident

# How long one question whether it is ready may take.
ANSWER_S = 5.0
GONE_POLL_S = 0.02

_PLACE = re.compile(r"\$\{([A-Z]+)\}")


def filled(words: Iterable[str], values: Mapping[str, str]) -> tuple[str, ...]:
    """``words`` with every ``${NAME}`` of ``values`` put in; others stay, they may be the program's own."""
    return tuple(_PLACE.sub(lambda found: values.get(found[1], found[0]), word) for word in words)


class Program:
    """A :class:`hostler.engines.protocol.Runner` for ``engine.kind = "command"``.

    ``on_gpus`` tells the bytes that a process holds, by device, as far as the drivers do. ``spares`` has a shim that
    waits to become the program.
    """

    def __init__(
        self,
        settings: RunnerSettings,
        on_gpus: Callable[[int], dict[str, int]] = lambda _: {},
        spares: Spares | None = None,
    ) -> None:
        self._settings = settings
        self._on_gpus = on_gpus
        self._spares = spares or Spares(lambda: settings.limits)
        self._records = Records(settings.state)
        self._health: dict[Endpoint, LoadSpec] = {}

    async def preflight(self, spec: LoadSpec) -> None:
        """Raises BuildUnusable when there is no such program."""
        await anyio.to_thread.run_sync(_executable, spec)

    async def run(self, spec: LoadSpec, report: Callable[[Report], None]) -> None:
        """Run ``spec`` until its program ends; see :class:`hostler.engines.protocol.Runner`."""
        for tries_left in reversed(range(PORT_TRIES)):
            launch = self._launch(spec)
            assert launch.address is not None
            endpoint = Endpoint(launch.address.host, launch.address.port, launch.key)
            self._health[endpoint] = spec
            try:
                await process.run(launch, self._records, self._spares.seen(launch.argv, report))
            except process.PortTaken:
                if not tries_left:
                    raise
            except OSError as error:
                raise LoadFailed(f"The program of `{spec.profile}` could not be started: {error}.") from error
            finally:
                del self._health[endpoint]

    def runs(self, endpoint: Endpoint) -> bool:
        """Whether a program of ours is to listen there."""
        return endpoint in self._health

    async def slots_busy(self, endpoint: Endpoint) -> int | None:
        """None: programs do not tell. A hung-up request's slot counts as free when its connection is closed."""
        return None

    async def answers(self, endpoint: Endpoint) -> None:
        """Whatever it says to its ``health``, or to ``/`` where it has none."""
        spec = self._health.get(endpoint)
        path = "/" if spec is None or spec.engine.health == NO_HEALTH else spec.engine.health
        await answered(endpoint, path)

    async def progress(self, endpoint: Endpoint) -> Progress | None:
        """As :meth:`slots_busy`."""
        return None

    async def probe(self, endpoint: Endpoint, task: Task) -> float | None:
        """Ask once more what showed that it was ready; tokens/s or None. Raises EngineLost."""
        spec = self._health.get(endpoint)
        if spec is None:
            raise EngineLost("The program has ended.")
        try:
            return await prove(spec, endpoint, SPEED_TOKENS)
        except StillLoading:
            raise EngineLost("The program says that it is not ready any more.") from None

    def resident_bytes(self, pid: int, spec: LoadSpec) -> dict[str, int] | None:
        """What it and its descendants hold, and at least what its settings declare: a container is nobody's child."""
        held = resident(pid, spec.model.files)
        if held is None:
            return None
        seen = {**self._on_gpus(pid), "host": held.anonymous + held.shared + held.file_backed}
        declared = {device: int(size) for device, size in spec.engine.memory.items()}
        return {device: max(seen.get(device, 0), declared.get(device, 0)) for device in {**seen, **declared}}

    def _launch(self, spec: LoadSpec) -> process.Launch:
        port, key = free_port(), secrets.token_urlsafe(32)
        values = {"PORT": str(port), "MODEL": str(spec.model.path), "PROFILE": spec.profile, "KEY": key}
        engine = spec.engine
        argv = (_executable(spec), *filled(engine.argv[1:], values))
        settings, log = self._settings, path_for(self._settings.logs, spec.profile)
        stop, mark = filled(engine.stop, values), secrets.token_hex(16)
        return process.Launch(
            spec=spec,
            # -P: the working directory must not be able to replace a module.
            argv=(*GUARD, *argv),
            env={**dict(zip(engine.env, filled(engine.env.values(), values), strict=True)), MARK: mark},
            build=f"`{Path(engine.argv[0]).name}`",
            key=key,
            settings=settings,
            log=log,
            spares=self._spares,
            address=Listening(HOST, port),
            prove=lambda endpoint, _: prove(spec, endpoint),
            proving=_proving(spec, port),
            before_end=(lambda pid: _ask_to_end(pid, stop, settings.limits)) if stop else None,
            stop=stop,
            mark=mark,
        )


async def prove(spec: LoadSpec, endpoint: Endpoint, tokens: int = PROOF_TOKENS) -> float | None:
    """Its health, then real work when the profile names its task; tokens/s or None.

    Raises StillLoading while nothing or 503 answers, EngineLost when the work fails. Bounded to :data:`ANSWER_S`
    until it is healthy.
    """
    path = spec.engine.health
    try:
        with anyio.fail_after(ANSWER_S):
            if path == NO_HEALTH:
                await (await anyio.connect_tcp(endpoint.host, endpoint.port)).aclose()
            elif not 200 <= (await ask(endpoint, "GET", path)).status < 300:
                raise StillLoading
    except (TimeoutError, OSError, Broken):
        raise StillLoading from None
    return await work(endpoint, spec.task, tokens, model=spec.engine.model_name or None) if spec.proves else None


def _proving(spec: LoadSpec, port: int) -> str:
    if spec.engine.health == NO_HEALTH:
        return f"waiting for it to listen on port {port}"
    return f"waiting for {spec.engine.health} on port {port} to answer with 2xx"


async def _ask_to_end(pid: int | None, stop: tuple[str, ...], limits: LimitSettings) -> None:
    """Run the profile's own way to stop it and give it ``grace_s``. Whatever comes of it, the process is ended then.

    A process that has ended by itself (None) may have left a container behind.
    """
    with anyio.move_on_after(limits.grace_s):
        if not await ask_to_stop(stop, pid) or pid is None:
            return
        while process_start_time(pid) is not None:  # noqa: ASYNC110 - who asked is told nothing of its end
            await anyio.sleep(GONE_POLL_S)


def _executable(spec: LoadSpec) -> str:
    """The program's absolute path. Raises BuildUnusable."""
    name = spec.engine.argv[0]
    found = shutil.which(str(Path(name).expanduser()) if name.startswith("~") else name)
    if found is None:
        raise BuildUnusable(
            f"`{name}`, which runs `{spec.profile}`, is not there or cannot be executed.",
            hint="Correct the first word of `argv` in the profile, or install the program.",
        )
    return str(Path(found).absolute())
