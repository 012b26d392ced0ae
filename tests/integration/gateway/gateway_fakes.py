"""A fleet, a catalogue, an engine and a client that do exactly what a test says."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

from hostler.accounts.keys import Keyring
from hostler.accounts.rates import Pace, Rates
from hostler.clock import SystemClock
from hostler.config.settings import LimitSettings, Priority, Profile, SamplingSettings, Task
from hostler.engines.protocol import Endpoint
from hostler.errors import EngineLost, HostlerError, QueueFull, UnknownProfile
from hostler.fleet.protocol import (
    Abandoned,
    Conversation,
    Entry,
    Lease,
    Place,
    ProfileStanding,
    Served,
    Standing,
    Ticket,
    Timing,
)
from hostler.gateway.asking.elsewhere import Pictures
from hostler.gateway.door.cors import Origins
from hostler.gateway.door.downstream import ClientLimits
from hostler.gateway.door.front import Front, FrontParts, LateApp
from hostler.gateway.door.guard import Door
from hostler.gateway.door.server import Server, listen
from hostler.gateway.inference import Inference, InferenceParts
from hostler.gateway.ollama.api import OllamaModels
from hostler.gateway.openai import Models
from hostler.gateway.web.page import Page
from hostler.wire.audit import AuditRecord
from hostler.wire.management import Instance, ReadyReport, RequestInFlight, RequestRecord


class FakeLease:
    def __init__(self, fleet: FakeFleet, profile: str, request: str, endpoint: Endpoint) -> None:
        self.request = request
        self.profile = profile
        self.instance = f"{profile}-1"
        self.endpoint = endpoint
        self.queue_ms = 1.5
        self.load_ms = 0.0
        self.place = fleet.place
        self.cancelled = False
        self.lost: EngineLost | None = None
        self.beside = fleet.beside
        self.doubted = False
        self.ends: list[tuple[int, bool]] = []
        self.timings: list[Timing] = []
        self._fleet = fleet
        self._callback: Callable[[], None] = lambda: None

    def on_cancel(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        if self.cancelled:
            callback()

    def timed(self, timing: Timing) -> None:
        self.timings.append(timing)

    def doubt(self) -> None:
        self.doubted = True

    async def why(self, within_s: float) -> EngineLost | None:
        return self._fleet.why

    def end(self, status: int, *, abandoned: Abandoned | None = None) -> None:
        self.ends.append((status, abandoned is not None))
        self._fleet.ended.set()

    def take_back(self, *, cancelled: bool) -> None:
        self.cancelled = cancelled
        self._callback()


class FakeTicket:
    def __init__(self, fleet: FakeFleet, profile: str, request: str) -> None:
        self.left = False
        self.outcome: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        self._fleet, self._profile, self._request = fleet, profile, request
        self.place = 1

    async def wait(self) -> Lease:
        return await self.outcome

    def standing(self) -> Standing:
        return Standing(self.place, "loading tensors", 0.4, 1.0)

    def leave(self) -> None:
        self.left = True
        self._fleet.left.set()

    def grant(self) -> FakeLease:
        lease = self._fleet.make_lease(self._profile, self._request)
        self.outcome.set_result(lease)
        return lease

    def refuse(self, error: HostlerError) -> None:
        self.outcome.set_exception(error)


class FakeFleet:
    """Grants at once while ``ready``; else tickets wait until the test decides (or ``grant_asked``)."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.endpoints: dict[str, Endpoint] = {}  # by profile, where one is not there
        self.ready = self.loaded = True
        self.beside = False
        self.grant_asked = True
        self.full = False
        self.why: EngineLost | None = None  # what its leases say of an engine that is lost
        self.place: Place | None = None
        self.conversation: Conversation | None = None
        self.leases: list[FakeLease] = []
        self.tickets: list[FakeTicket] = []
        self.ended = anyio.Event()
        self.left = anyio.Event()
        self.asked = anyio.Event()

    def make_lease(self, profile: str, request: str) -> FakeLease:
        lease = FakeLease(self, profile, request, self.endpoints.get(profile, self.endpoint))
        self.leases.append(lease)
        return lease

    def lease_now(
        self, profile: str, request: str, principal: str, api: str, *, conversation: Conversation | None = None
    ) -> Lease | None:
        self.conversation = conversation
        return self.make_lease(profile, request) if self.ready else None

    def ask(
        self,
        profile: str,
        request: str,
        principal: str,
        api: str,
        *,
        priority: Priority | None = None,
        conversation: Conversation | None = None,
    ) -> Ticket:
        if self.full:
            raise QueueFull("512 requests wait already.", retry_after_s=3.2)
        ticket = FakeTicket(self, profile, request)
        self.tickets.append(ticket)
        if self.ready and self.grant_asked:
            ticket.grant()
        self.asked.set()
        return ticket

    async def load(self, profile: str) -> None:
        self.loaded = True

    def listens(self, profile: str) -> Endpoint | None:
        return self.endpoints.get(profile, self.endpoint) if self.loaded else None

    async def hold(self, profile: str, seconds: float, hold: str | None = None) -> str:
        await self.load(profile)
        return hold or f"hold-{seconds:g}"

    async def end_hold(self, hold: str) -> str:
        return "coder"

    def pin(self, profile: str, pin: bool) -> None:
        raise NotImplementedError

    async def unload(self, profile: str, *, now: bool = False) -> bool:
        return False

    async def switch(self, profile: str, *, keep: bool = False) -> tuple[str, ...]:
        return ()

    def cancel(self, request: str) -> bool:
        return False

    def instances(self) -> list[Instance]:
        return []

    def requests(self) -> list[RequestInFlight]:
        return []

    def profile(self, name: str) -> ProfileStanding:
        return ProfileStanding(state="ready")

    def recent(self) -> str | None:
        return None


PAGE = Page(b"<!doctype html>", ((b"content-type", b"text/html; charset=utf-8"),))


class FakeCatalogue:
    def __init__(self) -> None:
        self.served = {
            "tiny": served("tiny", "chat", SamplingSettings(temperature=0.2)),
            "base": served("base", "completion"),
            "vec": served("vec", "embedding"),
        }
        self.problem: HostlerError | None = None

    def resolve(self, name: str | None) -> Served:
        try:
            return self.served[name or "tiny"]
        except KeyError:
            raise UnknownProfile(f"No profile is named {name!r}. The nearest: tiny.") from None

    async def refresh(self) -> None:
        """There is nothing new."""

    def entries(self) -> list[Entry]:
        return [
            Entry(
                name=name, profile=Profile(model="m.gguf", hidden=name == "vec"), origin="config", model=None,
                facts=None, task=one.task, context=one.context, need={}, problem=self.problem,
            )
            for name, one in self.served.items()
        ]  # fmt: skip

    def default(self) -> str | None:
        return "tiny"


def served(name: str, task: Task, sampling: SamplingSettings | None = None) -> Served:
    return Served(name=name, task=task, embeddings=False, sampling=sampling or SamplingSettings(), context=4096)


class Rows:
    def __init__(self) -> None:
        self.rows: list[RequestRecord] = []

    def record(self, row: RequestRecord) -> None:
        self.rows.append(row)


class Heard:
    """One request as the engine got it."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self.line, _, rest = head.partition(b"\r\n")
        self.headers = dict(line.split(b": ", 1) for line in rest.split(b"\r\n"))
        self.body = body


class EngineSide:
    """One connection as the engine sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def json(self, value: object, status: str = "200 OK", extra: str = "") -> None:
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
        await self.say(head.encode() + body)

    async def stream_head(self) -> None:
        await self.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")

    async def event(self, data: bytes) -> None:
        event = b"data: " + data + b"\n\n"
        await self.say(b"%x\r\n%b\r\n" % (len(event), event))

    async def stream_end(self) -> None:
        await self.event(b"[DONE]")
        await self.say(b"0\r\n\r\n")

    async def gone(self) -> None:
        """Wait until the gateway hangs up."""
        with anyio.fail_after(5):
            assert await self.reader.read() == b""

    def kill(self) -> None:
        self.writer.transport.abort()


Script = Callable[[Heard, EngineSide], Awaitable[None]]


class ScriptedEngine:
    """Listens like an engine; each request is handled by ``script``, which a test replaces."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.heard: list[Heard] = []
        self._tls = tls
        self.connections = 0
        self.script: Script = greet
        self.open: set[EngineSide] = set()
        self.endpoint = Endpoint("127.0.0.1", 0, "engine-key")
        self._server: asyncio.Server | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ScriptedEngine]:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.endpoint = Endpoint("127.0.0.1", self._server.sockets[0].getsockname()[1], "engine-key")
        try:
            yield self
        finally:
            self._server.close()
            for side in list(self.open):
                side.kill()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        side = EngineSide(reader, writer)
        self.open.add(side)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
                told = head.lower().partition(b"content-length: ")[2]
                length = int(told.split(b"\r\n")[0] or 0)
                heard = Heard(head, await reader.readexactly(length))
                self.heard.append(heard)
                await self.script(heard, side)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open.discard(side)
            writer.close()


CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "The sea?"}]}
ANSWER = {
    "choices": [{"message": {"role": "assistant", "content": "The sea."}}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}},
}


async def greet(heard: Heard, side: EngineSide) -> None:
    if not json.loads(heard.body).get("stream"):
        await side.json(ANSWER)
        return
    await side.stream_head()
    for word in (b'{"a":1}', b'{"a":2}', b'{"timings":{"cache_n":5,"prompt_n":7,"predicted_n":2}}'):
        await side.event(word)
    await side.stream_end()


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes, complete: bool) -> None:
        self.status, self.headers, self.body, self.complete = status, headers, body, complete

    def json(self) -> dict:  # type: ignore[type-arg]
        return json.loads(self.body)


class Client:
    """A client connection that shows every byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, method: str, path: str, body: bytes = b"", headers: str = "") -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)

    async def head(self) -> tuple[int, dict[str, str]]:
        with anyio.fail_after(5):
            raw = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = raw.strip().split("\r\n")
        return int(first.split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}

    async def chunk(self) -> bytes:
        """The next chunk; empty at the end."""
        with anyio.fail_after(5):
            size = int((await self.reader.readuntil(b"\r\n"))[:-2], 16)
            return (await self.reader.readexactly(size + 2))[:-2]

    async def answer(self, *, bodiless: bool = False) -> Answer:
        status, headers = await self.head()
        body, complete = b"", True
        try:
            if bodiless or status == 204:
                pass
            elif headers.get("transfer-encoding") == "chunked":
                while piece := await self.chunk():
                    body += piece
            elif "content-length" in headers:
                with anyio.fail_after(5):
                    body = await self.reader.readexactly(int(headers["content-length"]))
            else:
                with anyio.fail_after(5):
                    body = await self.reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            complete = False
        return Answer(status, headers, body, complete)

    async def ask(self, body: object, path: str = "/v1/chat/completions", headers: str = "") -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send("POST", path, raw, headers)
        return await self.answer()

    async def get(self, path: str, headers: str = "", method: str = "GET") -> Answer:
        self.send(method, path, headers=headers)
        return await self.answer(bodiless=method == "HEAD")

    def leave(self) -> None:
        self.writer.transport.abort()


class Gateway:
    """A running gateway with everything a test may want to look at."""

    def __init__(
        self, engine: ScriptedEngine, keys: Keyring, limits: LimitSettings, cors: tuple[str, ...] = ()
    ) -> None:
        self.engine = engine
        self.fleet = FakeFleet(engine.endpoint)
        self.catalogue = FakeCatalogue()
        self.recorder = Rows()
        self.management = LateApp()
        self.draining = False
        self.stays: list[tuple[str, float]] = []
        self.audit: list[AuditRecord] = []
        self.config_error = ""
        self.names: dict[str, list[str]] = {}  # addresses, of the names that pictures are at
        pace = Pace(Rates(key=limits.key_rate, address=limits.address_rate))
        door = Door(keys, pace, SystemClock(), Origins(cors))
        self.inference = Inference(
            InferenceParts(
                fleet=self.fleet, catalogue=self.catalogue, door=door, recorder=self.recorder, clock=SystemClock(),
                limits=limits, draining=lambda: self.draining, stay=lambda *stay: self.stays.append(stay),
                pictures=Pictures(self._resolve, lambda address: address == "127.0.0.1"),
            )
        )  # fmt: skip
        self.front = Front(
            FrontParts(
                door=door, models=Models(self.catalogue, self.fleet), management=self.management,
                extras=self.inference.extras(self.fleet.listens, self._note),
                web=lambda: PAGE, ready=self._ready, metrics=lambda: b"hostler_info 1\n",
                ollama=OllamaModels(self.catalogue, self.fleet, SystemClock()),
            )
        )  # fmt: skip
        self.listener = listen("127.0.0.1", 0)
        self.clients: list[Client] = []

    async def _note(self, record: AuditRecord) -> None:
        self.audit.append(record)

    async def _resolve(self, host: str, port: int) -> list[str]:
        return self.names.get(host, [])

    def _ready(self) -> ReadyReport:
        return ReadyReport(
            ready=not self.draining, draining=self.draining, config_error=self.config_error, profiles={"tiny": "ready"}
        )

    async def client(self) -> Client:
        host, port = self.listener.getsockname()
        client = Client(*await asyncio.open_connection(host, port))
        self.clients.append(client)
        return client

    async def ask(self, body: object, path: str = "/v1/chat/completions", headers: str = "") -> Answer:
        return await (await self.client()).ask(body, path, headers)

    @property
    def row(self) -> RequestRecord:
        assert len(self.recorder.rows) == 1
        return self.recorder.rows[0]

    @asynccontextmanager
    async def running(self, clients: ClientLimits | None = None) -> AsyncIterator[Gateway]:
        bounds = clients or self.inference.client_limits
        server = Server(self.front, self.inference, self.listener, bounds, shutdown_s=1)
        started = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, lambda _: started.set())
            await started.wait()
            try:
                yield self
            finally:
                for client in self.clients:
                    client.leave()
                await self.inference.aclose()
                server.stop_now()


@asynccontextmanager
async def gateway_with(
    keys: Keyring,
    limits: LimitSettings | None = None,
    cors: tuple[str, ...] = (),
    clients: ClientLimits | None = None,
) -> AsyncIterator[Gateway]:
    bounds = limits or LimitSettings()
    async with ScriptedEngine().running() as engine, Gateway(engine, keys, bounds, cors).running(clients) as one:
        yield one
