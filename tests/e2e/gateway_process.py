"""`hostler up` as a user starts it: a process of its own with a home of its own, and what tests ask of it."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from hostler import events
from hostler.engines.processes.orphans import Record as EngineRecord
from hostler.engines.processes.orphans import is_running
from hostler.hardware.process import process_start_time
from hostler.testing import http
from hostler.testing.builds import write_build
from hostler.testing.gguf_files import write_tiny_gguf

T = TypeVar("T")
HOSTLER = Path(sys.executable).with_name("hostler")
PATIENCE_S = 45.0
POLL_S = 0.02
MARK = "E2E_BASE"


async def eventually(condition: Callable[[], T | Awaitable[T]], what: str, within_s: float = PATIENCE_S) -> T:
    """The condition's first true value; another process gives no other way to wait for it."""
    end = time.monotonic() + within_s
    while True:
        found = condition()
        value = await found if isinstance(found, Awaitable) else found
        if value:
            return value
        assert time.monotonic() < end, f"not within {within_s:g} s: {what}; last: {value!r}"
        await asyncio.sleep(POLL_S)


def processes_of(base: Path) -> dict[int, str]:
    """Every live process whose environment carries this test's mark, with its command line."""
    wanted = f"{MARK}={base}".encode()
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


@dataclass(frozen=True)
class Command:
    """What one run of the CLI left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What ``--json`` printed."""
        return json.loads(self.out)


class Home:
    """A HOSTLER_HOME with helpers that write profiles; ``base`` is the HOME around it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.path = base / "home"
        self.config = self.path / "hostler.toml"
        self.state = self.path / "state"
        self.logs = self.path / "logs"
        self.models = self.path / "models"
        self.models.mkdir(parents=True, exist_ok=True)

    def environment(self) -> dict[str, str]:
        """The environment of a user who has nothing but this home."""
        ours = ("HOSTLER_", "HF_", "LLAMA_", "OLLAMA_", "XDG_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return kept | {"HOME": str(self.base), "HOSTLER_HOME": str(self.path), MARK: str(self.base)}

    def write(self, *sections: str, top: str = "") -> None:
        """Write hostler.toml: a free port, and these sections."""
        text = "\n".join(("[gateway]\nport = 0", top, *sections))
        fresh = self.config.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.config)

    def fake(self, name: str, settings: str = "", *, engine: str = "", **switches: bool | int | float | str) -> str:
        """A profile on the fake engine, misbehaving by ``switches``; further ``settings`` as TOML lines."""
        build = write_build(self.base / "builds" / name, **switches)
        model = self.models / f"{name}.gguf"
        if not model.exists():
            write_tiny_gguf(model)
        return self.profile(name, model, settings, engine=f"build = {json.dumps(str(build))}\n{engine}")

    @staticmethod
    def profile(name: str, model: Path, settings: str = "", *, engine: str = "") -> str:
        """A profile with little context; further ``settings`` and ``engine`` settings as TOML lines.

        One thread: on a machine with other work, two that wait for each other at every layer are far slower.
        """
        context = "" if "context" in settings else "context = 512\n"
        head = f"[profiles.{json.dumps(name)}]\nmodel = {json.dumps(str(model))}\n{context}{settings}\n"
        return f"{head}[profiles.{json.dumps(name)}.engine]\nthreads = 1\n{engine}\n"

    def cli(self, *words: str, input: str = "", within_s: float = PATIENCE_S) -> Command:
        """Run `hostler` with ``words`` to its end."""
        done = subprocess.run(
            [str(HOSTLER), *words],
            env=self.environment(),
            input=input,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        return Command(done.returncode, done.stdout, done.stderr)


def _bound_files(largest: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))


class RunningGateway:
    """One `hostler up`. Leave it by :meth:`close`, which checks how it ended and that nothing is left."""

    def __init__(self, home: Home, *words: str, largest_file: int | None = None) -> None:
        """``largest_file`` bytes: whatever is written beyond fails, as on a disk that is full."""
        self.home = home
        self.output = home.base / "up.out"
        self.expected = 0
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [str(HOSTLER), "up", *words],
                env=home.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=None if largest_file is None else partial(_bound_files, largest_file),
            )
        self.url = ""

    # --- its life -----------------------------------------------------------------------------------------

    def wait_ready(self) -> RunningGateway:
        """Block until it answers; its URL is then known."""
        end = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.printed()}"
            assert time.monotonic() < end, f"did not answer:\n{self.printed()}"
            time.sleep(POLL_S)
        return self

    def _answers(self) -> bool:
        with suppress(OSError, ValueError):
            record = json.loads((self.home.state / "gateway.json").read_bytes())
            if record["pid"] != self.pid or not record["url"]:
                return False
            self.url = record["url"]
            with closing(HTTPConnection(*self.address, timeout=5)) as asked:
                asked.request("GET", "/health")
                return asked.getresponse().status == 200
        return False

    @property
    def pid(self) -> int:
        """Of the gateway."""
        return self.process.pid

    @property
    def address(self) -> http.Address:
        """Host and port; of one that listens everywhere, on this machine."""
        parts = urlsplit(self.url.replace("//0.0.0.0:", "//127.0.0.1:"))
        return parts.hostname or "", parts.port or 0

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal to the gateway alone."""
        self.process.send_signal(number)

    async def ended(self, within_s: float = PATIENCE_S) -> int:
        """Its exit status."""
        return await asyncio.to_thread(self.process.wait, within_s)

    def close(self) -> None:
        """End it as a user does, if it still runs; check its status, and that no process is left."""
        try:
            if self.process.poll() is None:
                self.signal(signal.SIGTERM)
            status = self.process.wait(PATIENCE_S)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            left = self.left_behind()
            print(self.printed())
        assert left == {}
        assert status == self.expected

    def left_behind(self) -> dict[int, str]:
        """Processes that outlive the gateway; they are ended, so that one failure does not cause others."""
        left = processes_of(self.home.base)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left

    def printed(self) -> str:
        """What it wrote to its terminal, and its log."""
        logs = [self.output, *sorted(self.home.logs.rglob("*.log"))]
        return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')}" for file in logs if file.exists())

    # --- requests -----------------------------------------------------------------------------------------

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> http.Response:
        """One GET."""
        return await http.request(self.address, "GET", path, None, headers)

    async def post(self, path: str, body: http.Body = None, headers: Mapping[str, str] | None = None) -> http.Response:
        """One POST."""
        return await http.request(self.address, "POST", path, body if body is not None else {}, headers)

    async def chat(self, model: str, text: str = "Hello", **fields: object) -> http.Response:
        """A chat request, not streamed unless ``fields`` say so."""
        return await self.post("/v1/chat/completions", chat_body(model, text, **fields))

    def streaming(
        self, model: str, text: str = "Hello", headers: Mapping[str, str] | None = None, **fields: object
    ) -> AbstractAsyncContextManager[http.Exchange]:
        """A streamed chat; its head is here when the block is entered, leaving it early is a hang-up."""
        body = chat_body(model, text, stream=True, **fields)
        return http.stream(self.address, "POST", "/v1/chat/completions", body, headers)

    async def api(self, path: str, body: http.Body = None, *, post: bool = False) -> Any:
        """What the management API answers with 200."""
        answer = await (self.post(path, body) if post or body is not None else self.get(path))
        assert answer.status == 200, answer
        return json.loads(answer.body)

    async def profile(self, name: str) -> Any:
        """One profile as the API shows it."""
        return await self.api(f"/api/profiles/{name}")

    async def instances(self) -> list[Any]:
        """The running engines."""
        found: list[Any] = await self.api("/api/instances")
        return found

    async def instance(self, profile: str) -> Any:
        """The engine of a profile that has exactly one."""
        (found,) = [each for each in await self.instances() if each["profile"] == profile]
        return found

    async def idle(self) -> bool:
        """Nothing runs, nothing waits, and no instance has a lease."""
        status = await self.api("/api/gateway")
        return not status["running"] and not status["queued"] and not any(i["leases"] for i in await self.instances())

    @asynccontextmanager
    async def events(self, after: int | None = 0, headers: Mapping[str, str] | None = None) -> AsyncIterator[Events]:
        """The event stream, from the first event that is kept unless told otherwise."""
        query = "" if after is None else f"?after={after}"
        async with http.stream(self.address, "GET", f"/api/events{query}", None, headers) as exchange:
            assert exchange.status == 200
            yield Events(exchange)

    async def event(self, kind: type[E], wanted: Callable[[E], bool] = lambda _: True) -> E:
        """The first event of that kind, past or to come, that is wanted."""
        async with self.events() as stream:
            return await stream.until(kind, wanted)

    def cli(self, *words: str) -> Command:
        """Run `hostler` in this home."""
        return self.home.cli(*words)

    def logged(self) -> str:
        """The gateway's own log."""
        return (self.home.logs / "hostler.log").read_text(encoding="utf-8")


E = TypeVar("E", bound=events.Event)


class Events:
    """Typed events from a server-sent stream."""

    def __init__(self, exchange: http.Exchange) -> None:
        self.exchange = exchange
        self.seen: list[events.AnyEvent] = []
        self._arriving = exchange.events()

    async def __aiter__(self) -> AsyncIterator[events.AnyEvent]:
        async for event in self._arriving:
            if event.data:
                typed = decode_event(event.data)
                self.seen.append(typed)
                yield typed

    async def until(self, kind: type[E], wanted: Callable[[E], bool] = lambda _: True) -> E:
        """Read on until the first event of that kind that is wanted."""
        async with asyncio.timeout(PATIENCE_S):
            async for event in self:
                if isinstance(event, kind) and wanted(event):
                    return event
        raise AssertionError(f"the stream ended without {kind.__name__}; seen: {self.seen}")


def decode_event(text: str) -> events.AnyEvent:
    """An event of the API's union."""
    return msgspec.json.decode(text, type=events.AnyEvent)


def chat_body(model: str, text: str = "Hello", **fields: object) -> dict[str, object]:
    """A chat request."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


def engine_process(pid: int) -> EngineRecord:
    """The process that has this pid now, to be recognised when another gets the number."""
    started = process_start_time(pid)
    assert started is not None, f"no process {pid}"
    return EngineRecord(pid=pid, started=started, instance="", profile="", argv0="")


def runs(process: EngineRecord) -> bool:
    """Whether that very process still runs."""
    return is_running(process)
