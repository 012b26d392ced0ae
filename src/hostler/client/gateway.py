"""The client: one method per thing a gateway can be asked."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import Literal
from urllib.parse import quote, urlencode

import anyio
import msgspec

from hostler.client.answers import Delta, Question, answer
from hostler.client.sse import Message, messages
from hostler.client.transport import ConnectionLost, Transport
from hostler.errors import NoGateway
from hostler.events import AnyEvent
from hostler.hardware.facts import Machine
from hostler.wire.caching import CacheCleared, CacheStatus, ClearOptions
from hostler.wire.hardware import Metrics
from hostler.wire.keys import Lending, LentKey, Prolonging
from hostler.wire.loading import CompareOptions, LoadComparison, LoadModeStatus
from hostler.wire.management import (
    Cancelled,
    ConfigValue,
    GatewayStatus,
    HoldInfo,
    HoldOptions,
    Instance,
    Pinned,
    ProfileInfo,
    ReadyReport,
    Reloaded,
    Requests,
    Switched,
    SwitchOptions,
    UnloadOptions,
)
from hostler.wire.plan import PlanReport
from hostler.wire.usage import By, Usage
from hostler.wire.warming import WarmBenchmark, WarmUp

# Pauses between attempts to find a lost gateway again; after the last one it is given up.
RECONNECT_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)

_event: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


class Client:
    """Talks to the gateway at ``url``; use it as ``async with Client(url) as client``.

    ``key`` defaults to ``HOSTLER_KEY``. Every method raises NoGateway when nothing answers, ConnectionLost
    when the gateway goes away in the middle, and otherwise the error that the gateway gave. Cancelling a
    call closes its connection, which reaches the engine at once.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        self._transport = Transport(url, key or os.environ.get("HOSTLER_KEY"))

    @property
    def url(self) -> str:
        """The address, without a trailing slash."""
        return self._transport.url

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._transport.close()

    async def status(self) -> GatewayStatus:
        """The gateway's own state."""
        return await self._transport.get("/api/gateway", GatewayStatus)

    async def reload(self) -> Reloaded:
        """Read the configuration again; ConfigError when it is wrong, and the old one stays."""
        return await self._transport.post("/api/gateway/reload", Reloaded)

    async def config(self) -> list[ConfigValue]:
        """Every setting in force and who set it."""
        return await self._transport.get("/api/config", list[ConfigValue])

    async def profiles(self) -> list[ProfileInfo]:
        """All profiles, hidden ones too."""
        return await self._transport.get("/api/profiles", list[ProfileInfo])

    async def profile(self, name: str) -> ProfileInfo:
        """One profile, by name or alias."""
        return await self._transport.get(_profile(name), ProfileInfo)

    async def plan(self, name: str) -> PlanReport:
        """How a profile would be loaded now; NeverFits when it cannot be."""
        return await self._transport.get(f"{_profile(name)}/plan", PlanReport)

    async def load(self, name: str) -> Switched:
        """Make a profile resident; returns when it is ready."""
        return await self._transport.post(f"{_profile(name)}/load", Switched)

    async def hold(self, profile: str, seconds: float, *, hold: str | None = None) -> HoldInfo:
        """Make a profile resident and keep it so long; with ``hold``, prolong that one. Returns when it is ready."""
        options = HoldOptions(profile=profile, hold=seconds, id=hold)
        return await self._transport.post("/api/load", HoldInfo, options)

    async def end_hold(self, hold: str) -> HoldInfo:
        """End a hold; what was loaded for it is gone when this returns."""
        return await self._transport.delete(f"/api/load/{quote(hold, safe='')}", HoldInfo)

    async def lend_key(self, wanted: Lending) -> LentKey:
        """A key for a program; None in it where the gateway has none. Forbidden for who may only use models."""
        return await self._transport.post("/api/keys", LentKey, wanted)

    async def prolong_key(self, name: str, seconds: float) -> LentKey:
        """A key that is lent ends so long after now; NotFound when it has ended already."""
        return await self._transport.post(
            f"/api/keys/{quote(name, safe='')}/prolong", LentKey, Prolonging(lasts_s=seconds)
        )

    async def take_key_back(self, name: str) -> LentKey:
        """End a key that is lent; NotFound when it has ended already."""
        return await self._transport.delete(f"/api/keys/{quote(name, safe='')}", LentKey)

    async def unload(self, name: str, *, now: bool = False) -> Switched:
        """Drain and stop a profile's instance; ``now`` cuts its requests off."""
        return await self._transport.post(f"{_profile(name)}/unload", Switched, UnloadOptions(now=now))

    async def switch(self, name: str, *, keep: bool = False) -> Switched:
        """Load a profile and, unless ``keep``, unload every other unpinned one."""
        return await self._transport.post(f"{_profile(name)}/switch", Switched, SwitchOptions(keep=keep))

    async def pin(self, name: str) -> Pinned:
        """Let a profile make no room for others, until the gateway ends or it is unloaded; loads nothing."""
        return await self._transport.post(f"{_profile(name)}/pin", Pinned)

    async def unpin(self, name: str) -> Pinned:
        """Let a profile make room like others, even if its configuration pins it."""
        return await self._transport.delete(f"{_profile(name)}/pin", Pinned)

    async def warm(self, name: str, *, behind: bool = False) -> WarmUp:
        """Load a profile if need be and have it generate; ``behind`` returns at once."""
        return await self._transport.post(_warm_up(name), WarmUp, behind=behind)

    async def warm_ups(self) -> list[WarmUp]:
        """The latest warm-up of each profile."""
        return await self._transport.get("/api/models/warmup/status", list[WarmUp])

    async def compare_warm(self, name: str) -> WarmBenchmark:
        """Unload and load a profile twice, cold and warm."""
        return await self._transport.post(f"{_warm_up(name)}/benchmark", WarmBenchmark)

    async def hardware(self) -> Machine:
        """The devices of the gateway's machine."""
        return await self._transport.get("/api/hardware", Machine)

    async def metrics(self, device: str | None = None, *, seconds: int | None = None) -> Metrics:
        """Telemetry of every device, or of one, of the last ``seconds``; NotFound when there is none of that id."""
        return await self._transport.get("/api/hardware/gpu/metrics", Metrics, device=device, seconds=seconds)

    async def cache_status(self) -> CacheStatus:
        """Saved prompts and what they brought."""
        return await self._transport.get("/api/models/cache/status", CacheStatus)

    async def clear_cache(self, profile: str | None = None) -> CacheCleared:
        """Remove saved prompts, all or a profile's."""
        return await self._transport.post("/api/models/cache/clear", CacheCleared, ClearOptions(profile))

    async def load_modes(self) -> LoadModeStatus:
        """Which load modes were chosen, and how comparisons went."""
        return await self._transport.get("/api/models/mmap/status", LoadModeStatus)

    async def compare_load_modes(self, profile: str, *, behind: bool = False) -> LoadComparison:
        """Load a profile in each mode, cold and warm, and choose; ``behind`` returns at once."""
        wanted = CompareOptions(profile=profile)
        return await self._transport.post("/api/models/mmap/benchmark", LoadComparison, wanted, behind=behind)

    async def instances(self) -> list[Instance]:
        """The running engines."""
        return await self._transport.get("/api/instances", list[Instance])

    async def requests(self, limit: int | None = None) -> Requests:
        """Requests in flight and at most ``limit`` finished ones."""
        return await self._transport.get("/api/requests", Requests, limit=limit)

    async def usage(self, by: By, since: float | None = None, until: float | None = None) -> Usage:
        """What was used, added up ``by`` profile, key, day or API; the bounds are Unix seconds."""
        return await self._transport.get("/api/usage", Usage, by=by, since=_bound(since), until=_bound(until))

    async def finished(
        self, form: Literal["jsonl", "csv"], since: float | None = None, until: float | None = None
    ) -> AsyncGenerator[str, None]:
        """Every finished request, a line each, in the order of their end; CSV begins with a head."""
        bounds = {"since": _bound(since), "until": _bound(until)}
        asked = {"format": form} | {name: text for name, text in bounds.items() if text}
        async with self._transport.lines("GET", f"/api/usage/requests?{urlencode(asked)}") as arriving:
            async for line in arriving:
                yield line

    async def cancel(self, request: str) -> Cancelled:
        """Cancel a queued or running request; NotFound when there is none of that id."""
        return await self._transport.post(f"/api/requests/{quote(request, safe='')}/cancel", Cancelled)

    async def healthy(self) -> bool:
        """True when the gateway's loop turns."""
        await self._transport.get_bytes("/health")
        return True

    async def ready(self) -> ReadyReport:
        """Whether the gateway is ready for traffic, and what is missing."""
        return msgspec.json.decode(await self._transport.get_any_status("/ready"), type=ReadyReport)

    async def logs(
        self, profile: str | None = None, *, lines: int = 100, follow: bool = False
    ) -> AsyncGenerator[str, None]:
        """The last ``lines`` log lines of a profile's engine (None: the gateway's own), then new ones."""
        asked = (
            {"lines": str(lines)} | ({"profile": profile} if profile else {}) | ({"follow": "true"} if follow else {})
        )
        async with self._transport.lines("GET", f"/api/logs?{urlencode(asked)}") as arriving:
            async for line in arriving:
                yield line

    async def events(self, after: int | None = None) -> AsyncGenerator[AnyEvent, None]:
        """Events from the one after ``after`` (None: only new ones), without end.

        A lost connection is taken up again after the last event that came. NoGateway is raised when there is
        no gateway to begin with, or it stays away for the sum of :data:`RECONNECT_S`.
        """
        last, attempts = after, 0
        await self.healthy()
        while True:
            try:
                async with aclosing(self._events_once(last)) as arriving:
                    async for event in arriving:
                        last, attempts = event.id, 0
                        yield event
            except (ConnectionLost, NoGateway):
                if attempts >= len(RECONNECT_S):
                    raise
            else:
                if attempts >= len(RECONNECT_S):
                    raise ConnectionLost(f"The gateway at {self.url} keeps ending its event stream.")
            await anyio.sleep(RECONNECT_S[attempts])
            attempts += 1

    async def _events_once(self, after: int | None) -> AsyncGenerator[AnyEvent, None]:
        headers = {"accept": "text/event-stream"} | ({} if after is None else {"last-event-id": str(after)})
        path = "/api/events" if after is None else f"/api/events?after={after}"
        async with self._transport.lines("GET", path, headers=headers) as lines:
            async for message in messages(lines):
                event = _decoded(message.data) if isinstance(message, Message) else None
                if event is not None:
                    yield event

    def ask(self, question: Question) -> AsyncGenerator[Delta, None]:
        """Stream the answer to ``question``; the last delta carries usage and timings.

        Raises the gateway's error, also when it comes in the middle of the stream.
        """
        return answer(self._transport, question)


def _decoded(data: str) -> AnyEvent | None:
    """The event; None for a type that a newer gateway sends and this version does not know."""
    try:
        return _event.decode(data)
    except msgspec.ValidationError:
        return None


def _bound(at: float | None) -> str | None:
    return None if at is None else repr(at)


def _warm_up(name: str) -> str:
    return f"/api/models/warmup/{quote(name, safe='')}"


def _profile(name: str) -> str:
    return f"/api/profiles/{quote(name, safe='')}"
