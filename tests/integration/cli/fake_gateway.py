"""A gateway that answers from the wire structs and remembers what it was asked. Runs in a thread of the test."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote

import anyio
import msgspec
import uvicorn

from hostler.errors import Forbidden, HostlerError, NotFound, UnknownProfile
from hostler.events import AnyEvent, InstanceChanged, LoadProgress
from hostler.wire.hardware import DeviceMetrics, Metrics, Reading
from hostler.wire.keys import LentKey
from hostler.wire.loading import ChosenMode, LoadComparison, LoadModeStatus, ModeFigures, ModeLoad
from hostler.wire.management import (
    Cancelled,
    ConfigValue,
    DeviceMemory,
    GatewayStatus,
    HoldInfo,
    Instance,
    Pinned,
    Problem,
    ProblemBody,
    ProfileInfo,
    ReadyReport,
    Reloaded,
    RequestInFlight,
    RequestRecord,
    Requests,
    Switched,
)
from hostler.wire.usage import Usage, Use
from hostler.wire.warming import LoadFigures, WarmBenchmark, WarmUp

Body = bytes | AsyncIterator[bytes]
GIB, MIB = 2**30, 2**20


def profile(name: str, **changes: Any) -> ProfileInfo:
    """A ready chat profile, with ``changes``."""
    usual = ProfileInfo(
        name=name, description=f"The profile {name}", task="chat", aliases=(), model=f"{name}.gguf", size=98 * MIB,
        context=8192, slots=1, ttl_s=None, pin=False, group="", hidden=False, origin="config", default=False,
        state="unloaded", reason="", waiting=0, load_s=None, tokens_per_s=None, need={"host": 338 * MIB},
    )  # fmt: skip
    return msgspec.structs.replace(usual, **changes)


INSTANCE = Instance(
    id="smollm2-1", profile="smollm2", state="ready", pid=4242, model="smollm2.gguf", context=8192, slots=1,
    bytes={"host": 338 * MIB}, predicted_bytes={"host": 300 * MIB}, leases=1, served=7, tokens_per_s=85.4,
    idle_s=None, ttl_s=600.0, pinned=False, load_s=1.2, started_at=1_700_000_000.0,
)  # fmt: skip
REQUESTS = Requests(
    in_flight=(
        RequestInFlight(
            id="req-9", profile="smollm2", instance="smollm2-1", api="openai.chat", state="running", age_s=1.25,
            principal="local",
        ),
    ),
    recent=(
        RequestRecord(
            id="req-8", at=1_700_000_000.0, principal="local", profile="smollm2", api="openai.chat", status=200,
            tokens_in=12, tokens_cached=0, tokens_out=60, queue_ms=0.2, load_ms=1200.0, first_byte_ms=1300.0,
            total_ms=2400.0, cancelled=False,
        ),
    ),
)  # fmt: skip
STATUS = GatewayStatus(
    version="0.1.0", pid=4711, url="", home="/home", config_file="/home/hostler.toml", config_error="",
    started_at=1_700_000_000.0, draining=False, default="smollm2", running=1, queued=0, last_event=2,
    ledger_dropped=0,
    memory=(DeviceMemory(device="host", total=24 * GIB, free=20 * GIB, budget=18 * GIB, used=338 * MIB),),
)  # fmt: skip
METRICS = Metrics(
    interval_s=1.0, kept_s=900.0,
    devices=(
        DeviceMetrics(
            device="host", kind="host", name="A processor", total=24 * GIB, present=True,
            now=Reading(at=1_700_000_000.0, utilisation=42.0, used=4 * GIB, temperature_c=61.0, power_w=35.0),
        ),
    ),
)  # fmt: skip
WARMED = WarmUp(
    profile="smollm2", state="done", at=1_700_000_000.0, loaded=True, load_s=0.38, first_s=0.05, tokens_per_s=85.4
)
COLD = LoadFigures(load_s=0.84, first_s=0.06, tokens_per_s=81.0)
WARM = LoadFigures(load_s=0.38, first_s=0.05, tokens_per_s=85.4)
EVENTS: tuple[AnyEvent, ...] = (
    InstanceChanged(id=1, at=1.0, instance="smollm2-1", profile="smollm2", state="loading"),
    LoadProgress(id=2, at=2.0, instance="smollm2-1", profile="smollm2", stage="loading tensors", elapsed_s=0.4),
    InstanceChanged(id=3, at=3.0, instance="smollm2-1", profile="smollm2", state="ready"),
)
_LOAD = ModeLoad(load_s=0.5, gb_per_s=0.2, held={"host": 338 * MIB})
LOAD_MODES = LoadModeStatus(
    chosen=(ChosenMode(disk="ext4 /dev/sda1", build="b", size_class="under 1 GiB", mode="read", why="quick", at=1.0),),
    comparisons=(
        LoadComparison(
            profile="smollm2", state="done", at=1.0, bytes=98 * MIB, disk="ext4 /dev/sda1", build="b 1",
            size_class="under 1 GiB", modes=(ModeFigures(mode="mmap", cold=_LOAD, warm=_LOAD),), chosen="read",
            why="quick",
        ),
    ),
)  # fmt: skip
_USE = Use(
    name="smollm2", requests=7, failed=1, cancelled=2, tokens_in=12_345, tokens_cached=10, tokens_out=60,
    wait_ms=1200.4, first_byte_ms=None, prompt_tokens_per_s=1410.2, generated_tokens_per_s=8.25, last_at=1.0,
)  # fmt: skip
USED = Usage(
    by="profile", since=None, until=None, rows=(_USE, msgspec.structs.replace(_USE, name="gemma3-270m")),
    total=msgspec.structs.replace(_USE, name="", requests=14),
)  # fmt: skip
USAGE = {"prompt_n": 12, "predicted_n": 3, "predicted_per_second": 85.4}


class FakeGateway:
    """What it serves can be changed by a test; ``asked`` lists method and path of every request."""

    def __init__(self) -> None:
        self.url = ""
        self.profiles = [
            profile("smollm2", default=True, state="ready", tokens_per_s=85.4, aliases=("tiny",)),
            profile("gemma3-270m", task="completion", context=32768, size=253 * MIB),
            profile("secret", hidden=True),
        ]
        self.instances = [INSTANCE]
        self.requests = REQUESTS
        self.usage = USED
        self.bounds: list[tuple[str | None, str | None]] = []
        self.status = STATUS
        self.warm_ups: list[WarmUp] = []
        self.load_modes = LOAD_MODES
        self.pieces: tuple[str, ...] = ("The sea ", "is wide", ".")
        self.stream_error: dict[str, object] | None = None
        self.truncated = False
        self.refusal: HostlerError | None = None
        self.events_per_connection = len(EVENTS)
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[dict[str, object]] = []
        self.keys: list[str] = []
        self.lends: str | None = None  # the key that it lends
        self.manages = True
        self.last_event_ids: list[str] = []
        self.hung_up = threading.Event()
        self.endless = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        method, path = scope["method"], scope["raw_path"].decode()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode()).items()}
        body = await _read(receive)
        self.asked.append((method, path))
        self.keys.append(headers.get("authorization", ""))
        if body:
            self.bodies.append(json.loads(body))
        try:
            if self.refusal is not None:
                raise self.refusal
            kind, content = self._answer(method, path, query, headers)
        except HostlerError as error:
            await _send(send, 404, "application/json", _problem(error))
            return
        async with anyio.create_task_group() as sides:
            sides.start_soon(self._watch, receive, sides.cancel_scope)
            await _send(send, 200, kind, content)
            sides.cancel_scope.cancel()

    async def _watch(self, receive: Any, scope: anyio.CancelScope) -> None:
        """Stop answering when the client leaves."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self.hung_up.set()
        scope.cancel()

    def _answer(self, method: str, path: str, query: dict[str, str], headers: dict[str, str]) -> tuple[str, Body]:
        parts = [unquote(part) for part in path.strip("/").split("/")]
        match method, *parts:
            case "GET", "api", "events":
                after = headers.get("last-event-id") or query.get("after") or ""
                self.last_event_ids.append(after)
                return "text/event-stream", self._events(int(after or 0))
            case "GET", "api", "logs":
                if "profile" in query:
                    self._known(query["profile"])
                lines = [f"line {number}" for number in range(1, 6)][-int(query["lines"]) :]
                return "text/plain", "".join(f"{line}\n" for line in lines).encode()
            case "GET", "api", "usage", "requests":
                return "application/octet-stream", b"id,at\nreq-8,1.0\n" if query[
                    "format"
                ] == "csv" else b'{"id":"req-8"}\n'
            case "GET", "v1", "models":
                shown = [_offer(each) for each in self.profiles if not each.hidden]
                return "application/json", json.dumps({"object": "list", "data": shown}).encode()
            case "POST", "v1", *_ if not self.bodies[-1].get("stream"):
                usage = {"prompt_tokens": 12, "completion_tokens": 3, "input_tokens": 12, "output_tokens": 3}
                return "application/json", json.dumps({"model": self.bodies[-1]["model"], "usage": usage}).encode()
            case "POST", "v1", "chat", "completions":
                return "text/event-stream", self._chat(lambda text: {"delta": {"content": text}})
            case "POST", "v1", "completions":
                return "text/event-stream", self._chat(lambda text: {"text": text})
        return "application/json", msgspec.json.encode(self._management(method, parts, query))

    def _management(self, method: str, parts: list[str], query: dict[str, str]) -> object:
        match method, *parts:
            case "GET", "api", "gateway":
                return msgspec.structs.replace(self.status, url=self.url)
            case "POST", "api", "gateway", "reload":
                return Reloaded(added=("new",), changed=("smollm2",), removed=())
            case "GET", "api", "config":
                return [ConfigValue(key="gateway.port", value="4785", source="default")]
            case "GET", "api", "profiles":
                return self.profiles
            case "GET", "api", "profiles", name:
                return self._known(name)
            case "POST", "api", "load":
                name = str(self.bodies[-1]["profile"])
                return HoldInfo(profile=self._known(name).name, state="ready", id="hold-1", hold_s=120.0)
            case "POST", "api", "keys":
                if not self.manages:
                    raise Forbidden("The key 'laptop' may only use models.")
                return LentKey(name=str(self.bodies[-1]["name"]), key=self.lends)
            case "DELETE", "api", "keys", name:
                return LentKey(name=name)
            case "DELETE", "api", "load", "hold-1":
                return HoldInfo(profile="smollm2", state="unloaded")
            case "POST", "api", "profiles", name, "load":
                return Switched(profile=self._known(name).name, state="ready")
            case "POST" | "DELETE", "api", "profiles", name, "pin":
                return Pinned(profile=self._known(name).name, state="ready", pinned=method == "POST")
            case "POST", "api", "profiles", name, "unload":
                return Switched(profile=self._known(name).name, state="unloaded", unloaded=(name,))
            case "POST", "api", "profiles", name, "switch":
                return Switched(profile=self._known(name).name, state="ready", unloaded=("old", "older"))
            case "GET", "api", "models", "mmap", "status":
                return self.load_modes
            case "POST", "api", "models", "mmap", "benchmark":
                known = self._known(str(self.bodies[-1]["profile"])).name
                compared = msgspec.structs.replace(self.load_modes.comparisons[0], profile=known)
                return msgspec.structs.replace(compared, state="running") if query.get("async") else compared
            case "GET", "api", "models", "warmup", "status":
                return self.warm_ups
            case "POST", "api", "models", "warmup", name, "benchmark":
                return WarmBenchmark(profile=self._known(name).name, bytes=98 * MIB, dropped=True, cold=COLD, warm=WARM)
            case "POST", "api", "models", "warmup", name:
                return msgspec.structs.replace(
                    WARMED, profile=self._known(name).name, state="running" if query.get("async") else "done"
                )
            case "GET", "api", "instances":
                return self.instances
            case "GET", "api", "hardware", "gpu", "metrics":
                return METRICS
            case "GET", "api", "requests":
                return self.requests
            case "GET", "api", "usage":
                self.bounds.append((query.get("since"), query.get("until")))
                return msgspec.structs.replace(self.usage, by=query["by"])
            case "POST", "api", "requests", "req-9", "cancel":
                return Cancelled(request="req-9")
            case "GET", "health":
                return {"status": "ok"}
            case "GET", "ready":
                return ReadyReport(ready=True, draining=False, config_error="", profiles={"smollm2": "ready"})
        raise NotFound(f"There is nothing at /{'/'.join(parts)}.")

    def _known(self, name: str) -> ProfileInfo:
        for known in self.profiles:
            if name == known.name or name in known.aliases:
                return known
        raise UnknownProfile(f"No profile is called {name}; the nearest is smollm2.")

    async def _events(self, after: int) -> AsyncIterator[bytes]:
        yield b": hello\n\n"
        fresh = [event for event in EVENTS if event.id > after]
        for event in fresh[: self.events_per_connection]:
            yield b"id: %d\ndata: %s\n\n" % (event.id, msgspec.json.encode(event))
        if len(fresh) <= self.events_per_connection:
            await anyio.sleep_forever()

    async def _chat(self, choice: Callable[[str], dict[str, object]]) -> AsyncIterator[bytes]:
        yield b": loading smollm2, 40%\n\n"
        for text in self.pieces:
            yield _data({"choices": [choice(text)]})
        if self.endless:
            await anyio.sleep_forever()
        if self.stream_error:
            yield _data({"error": self.stream_error})
            return
        yield _data({"choices": [{**choice(""), "finish_reason": "stop"}], "timings": USAGE})
        if not self.truncated:
            yield b"data: [DONE]\n\n"


def _data(value: object) -> bytes:
    return b"data: %s\n\n" % json.dumps(value).encode()


def _offer(known: ProfileInfo) -> dict[str, object]:
    about = {"task": known.task, "aliases": known.aliases, "default": known.default, "remote": None, "problem": None}
    return {"id": known.name, "object": "model", "context_length": known.context, "hostler": about}


def _problem(error: HostlerError) -> bytes:
    return msgspec.json.encode(ProblemBody(Problem(code=error.code, message=error.message, hint=error.hint)))


async def _read(receive: Callable[[], Awaitable[Any]]) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _send(send: Callable[[Any], Awaitable[None]], status: int, kind: str, content: Body) -> None:
    headers = [(b"content-type", kind.encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if isinstance(content, bytes):
        await send({"type": "http.response.body", "body": content})
        return
    async for piece in content:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


class _Server(uvicorn.Server):
    def __init__(self, app: FakeGateway) -> None:
        super().__init__(
            uvicorn.Config(app, port=0, log_level="error", lifespan="off", ws="none", timeout_graceful_shutdown=0)
        )
        self.listening = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @property
    def port(self) -> int:
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return port


@contextmanager
def serving() -> Iterator[FakeGateway]:
    """A fake gateway that listens on a free port until the block ends."""
    gateway = FakeGateway()
    server = _Server(gateway)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert server.listening.wait(10)
        gateway.url = f"http://127.0.0.1:{server.port}"
        yield gateway
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()
