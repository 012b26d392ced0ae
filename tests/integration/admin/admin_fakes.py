"""Fakes of what the management API works with; they implement the real protocols."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import msgspec
from litestar.types import ASGIApp

from hostler.accounts.keys import Keyring
from hostler.config.settings import Priority, Profile, SamplingSettings
from hostler.errors import ConfigError, ModelError, OutOfMemory, UnknownProfile
from hostler.events import Bus
from hostler.fleet.protocol import Conversation, Entry, Lease, ProfileStanding, Served, Ticket
from hostler.gateway.admin.examples import EXAMPLES
from hostler.hardware.facts import Machine
from hostler.models.facts import Model
from hostler.wire.hardware import Metrics
from hostler.wire.management import ConfigValue, GatewayStatus, Instance, Reloaded, RequestInFlight, RequestRecord
from hostler.wire.plan import PlanReport
from hostler.wire.usage import By, Usage

NAMES = ("coder", "hf.co/owner/Tiny-GGUF:Q4_K_M", "broken")


class FakeFleet:
    """Loads at once; keeps what it was asked."""

    def __init__(self) -> None:
        self.resident: set[str] = set()
        self.asked: list[tuple[str, str, bool]] = []
        self.in_flight = ["req-1"]

    def lease_now(
        self, profile: str, request: str, principal: str, api: str, *, conversation: Conversation | None = None
    ) -> Lease | None:
        raise NotImplementedError

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
        raise NotImplementedError

    async def load(self, profile: str) -> None:
        self.asked.append(("load", profile, False))
        if profile == "broken":
            raise OutOfMemory("The engine could not get 2 GiB on host.", retry_after_s=2.5)
        self.resident.add(profile)

    async def hold(self, profile: str, seconds: float, hold: str | None = None) -> str:
        await self.load(profile)
        return hold or f"hold-{seconds:g}"

    async def end_hold(self, hold: str) -> str:
        return "coder"

    def pin(self, profile: str, pin: bool) -> None:
        self.asked.append(("pin", profile, pin))

    async def unload(self, profile: str, *, now: bool = False) -> bool:
        self.asked.append(("unload", profile, now))
        was = profile in self.resident
        self.resident.discard(profile)
        return was

    async def switch(self, profile: str, *, keep: bool = False) -> tuple[str, ...]:
        self.asked.append(("switch", profile, keep))
        left = () if keep else tuple(sorted(self.resident - {profile}))
        self.resident = (self.resident - set(left)) | {profile}
        return left

    def cancel(self, request: str) -> bool:
        if request not in self.in_flight:
            return False
        self.in_flight.remove(request)
        return True

    def instances(self) -> list[Instance]:
        return [
            Instance(
                id=f"{name}-1",
                profile=name,
                state="ready",
                pid=42,
                model="m.gguf",
                context=4096,
                slots=1,
                bytes={"host": 1},
                predicted_bytes={"host": 2},
                leases=0,
                served=3,
                tokens_per_s=10.0,
                idle_s=1.0,
                ttl_s=None,
                pinned=False,
                load_s=0.5,
                started_at=1.0,
                argv=("llama-server",),
            )
            for name in sorted(self.resident)
        ]

    def requests(self) -> list[RequestInFlight]:
        return [
            RequestInFlight(
                id=each,
                profile="coder",
                instance=None,
                api="openai.chat",
                state="queued",
                age_s=1.0,
                principal="local",
            )
            for each in self.in_flight
        ]

    def profile(self, name: str) -> ProfileStanding:
        return ProfileStanding(state="ready" if name in self.resident else "unloaded")

    def recent(self) -> str | None:
        return None


class FakeCatalogue:
    """Three profiles: one from the config, one found, one whose model is broken; and `auto` names, as they are set."""

    def __init__(self) -> None:
        self.autos: dict[str | None, str] = {}

    def resolve(self, name: str | None) -> Served:
        known = {"fast": "coder", None: "coder"} | {each: each for each in NAMES} | self.autos
        if name not in known:
            raise UnknownProfile(f"There is no profile {name!r}.", hint="The nearest are coder.")
        return Served(name=known[name], task="chat", embeddings=False, sampling=SamplingSettings(), context=4096)

    async def refresh(self) -> None:
        """There is nothing new."""

    def entries(self) -> list[Entry]:
        autos = [msgspec.structs.replace(_entry(name), origin="auto") for name in self.autos if name]
        return [*(_entry(name) for name in NAMES), *autos]

    def default(self) -> str | None:
        return "coder"


def _entry(name: str) -> Entry:
    broken = name == "broken"
    return Entry(
        name=name,
        profile=Profile(model="m.gguf", aliases=("fast",) if name == "coder" else ()),
        origin="config",
        model=None if broken else Model(name=name, files=(Path("m.gguf"),), size=10, origin="root"),
        facts=None,
        task=None if broken else "chat",
        context=None if broken else 4096,
        need={} if broken else {"host": 5},
        problem=ModelError("m.gguf ends at offset 12.") if broken else None,
    )


class FakeHistory:
    """One finished request per profile; an export that never ends, when it is told so."""

    def __init__(self) -> None:
        self.endless = False
        self.pages = 0
        self.closed = anyio.Event()

    async def recent(
        self, limit: int = 50, profile: str | None = None, until: float | None = None
    ) -> tuple[RequestRecord, ...]:
        example = msgspec.to_builtins(EXAMPLES["get", "/api/requests"])["recent"][0]
        rows = [msgspec.convert(example | {"profile": name}, RequestRecord) for name in NAMES]
        return tuple(row for row in rows if profile in (None, row.profile) and row.at < (until or row.at + 1))[:limit]

    async def usage(self, by: By, since: float | None = None, until: float | None = None) -> Usage:
        example = msgspec.convert(msgspec.to_builtins(EXAMPLES["get", "/api/usage"]), Usage)
        return msgspec.structs.replace(example, by=by, since=since, until=until)

    async def export(
        self, since: float | None = None, until: float | None = None
    ) -> AsyncGenerator[list[RequestRecord], None]:
        try:
            for row in await self.recent():
                yield [row]
            while self.endless:
                self.pages += 1
                yield [row]
        finally:
            self.closed.set()


class FakeHardware:
    """The machine of the documentation, with one GPU."""

    async def machine(self) -> Machine:
        return msgspec.convert(msgspec.to_builtins(EXAMPLES["get", "/api/hardware"]), Machine)

    def metrics(self, device: str | None = None, seconds: float = 900) -> Metrics:
        return msgspec.convert(msgspec.to_builtins(EXAMPLES["get", "/api/hardware/gpu/metrics"]), Metrics)

    def knows(self, device: str) -> bool:
        return device in ("gpu0", "host")


class FakeLogs:
    """Every log has three lines; a followed one waits after them for ever."""

    async def tail(self, path: Path, lines: int) -> list[str]:
        return [f"{path.name} {number}" for number in range(3)][-lines:] if lines else []

    async def follow(self, path: Path, lines: int) -> AsyncGenerator[str, None]:
        for line in await self.tail(path, lines):
            yield line
        await anyio.sleep_forever()


@dataclass
class World:
    """Everything behind the application under test, and the application."""

    fleet: FakeFleet
    catalogue: FakeCatalogue
    history: FakeHistory
    logs: FakeLogs
    bus: Bus
    closing: anyio.Event
    keys: Keyring
    app: ASGIApp | None = None
    config_broken: bool = False
    statuses: list[GatewayStatus] = field(default_factory=list)

    def status(self) -> GatewayStatus:
        return msgspec.convert(msgspec.to_builtins(EXAMPLES["get", "/api/gateway"]), GatewayStatus)

    async def reload(self) -> Reloaded:
        if self.config_broken:
            raise ConfigError("hostler.toml line 3: unknown key `prot`; did you mean `port`?")
        return Reloaded(added=("new",), changed=(), removed=())

    async def plan(self, profile: str) -> PlanReport:
        if profile == "broken":
            raise ModelError("m.gguf ends at offset 12.")
        example = msgspec.convert(msgspec.to_builtins(EXAMPLES["get", "/api/profiles/{name}/plan"]), PlanReport)
        return msgspec.structs.replace(example, profile=profile)

    def config(self) -> list[ConfigValue]:
        return [ConfigValue(key="gateway.port", value=4785, source="default")]
