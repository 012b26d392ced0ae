"""The inference side of the gateway: takes calls from client connections and relays each to an engine."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from itertools import count
from typing import Final

import msgspec

from hostler.accounts.keys import Principal
from hostler.clock import Clock
from hostler.config.settings import LimitSettings
from hostler.engines.protocol import Endpoint
from hostler.errors import BodyTooLarge, Draining, HostlerError, InvalidRequest
from hostler.fleet.protocol import Catalogue, Fleet
from hostler.gateway.asking.elsewhere import Pictures
from hostler.gateway.asking.prepared import Preparing
from hostler.gateway.door.call import Call
from hostler.gateway.door.downstream import ClientLimits
from hostler.gateway.door.guard import Door
from hostler.gateway.door.reach import seen_by
from hostler.gateway.extras.desk import Extras
from hostler.gateway.extras.parts import ExtrasParts
from hostler.gateway.ollama.loading import Loading
from hostler.gateway.ollama.opening import opened
from hostler.gateway.relay.exchange import Exchange
from hostler.gateway.relay.heads import own_lines
from hostler.gateway.relay.parts import Recorder, Relay, RelayLimits
from hostler.gateway.relay.queue import priority_of
from hostler.gateway.relay.refusing import refuse
from hostler.gateway.relay.upstream import Pool, UpstreamLimits
from hostler.gateway.routes import INFERENCE
from hostler.ledger.captures import Captures
from hostler.wire.audit import AuditRecord

logger = logging.getLogger(__name__)

_SANE_ID: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")


class InferenceParts(msgspec.Struct, frozen=True, kw_only=True):
    """What :class:`Inference` is built with. ``draining`` is asked once per request."""

    fleet: Fleet
    catalogue: Catalogue
    door: Door
    recorder: Recorder
    clock: Clock
    limits: LimitSettings
    draining: Callable[[], bool]
    captures: Captures | None = None
    pictures: Pictures = msgspec.field(default_factory=Pictures)
    stay: Callable[[str, float], None] = lambda _profile, _seconds: None


class Inference:
    """The desk of the hot path. Owns the engine connections and every exchange in flight."""

    def __init__(self, parts: InferenceParts) -> None:
        self._parts = parts
        self._live: dict[str, Exchange | Loading] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._prefix = f"req-{secrets.token_hex(4)}-"
        self._numbers = count(1)
        self._pool = Pool(_upstream(parts.limits))
        self._relay = Relay(
            fleet=parts.fleet,
            catalogue=parts.catalogue,
            pool=self._pool,
            recorder=parts.recorder,
            clock=parts.clock,
            limits=_waiting(parts.limits),
            draining=parts.draining,
            spawn=self._spawn,
            closed=self._close,
            preparing=Preparing(),
            pictures=parts.pictures,
            captures=parts.captures,
            stay=parts.stay,
        )
        self._discreet = msgspec.structs.replace(self._relay, discreet=True)

    def configure(self, limits: LimitSettings) -> None:
        """Take other limits, for requests that come from now on."""
        self._parts = msgspec.structs.replace(self._parts, limits=limits)
        self._relay = msgspec.structs.replace(self._relay, limits=_waiting(limits))
        self._discreet = msgspec.structs.replace(self._relay, discreet=True)
        self._pool.configure(_upstream(limits))

    @property
    def client_limits(self) -> ClientLimits:
        """The bounds that client connections keep."""
        limits = self._parts.limits
        return ClientLimits(head=limits.head, body=limits.body, connections=limits.connections)

    def extras(
        self, endpoint: Callable[[str], Endpoint | None], note: Callable[[AuditRecord], Awaitable[None]]
    ) -> Extras:
        """What is asked outside the APIs, on the same connections; ``endpoint`` says where a profile listens, ``note``
        writes an act of an operator down."""
        parts = self._parts
        return Extras(
            ExtrasParts(
                fleet=parts.fleet,
                catalogue=parts.catalogue,
                endpoint=endpoint,
                pool=self._pool,
                clock=parts.clock,
                body=lambda: int(self._parts.limits.body),
                origins=lambda: self._parts.door.origins,
                recorder=parts.recorder,
                note=note,
            )
        )

    @property
    def running(self) -> int:
        """Requests in flight, waiting ones included."""
        return len(self._live)

    # What client connections call.

    def takes(self, path: bytes) -> bool:
        return path in INFERENCE

    def open(self, call: Call) -> None:
        """Check what needs no body, so that nobody without a key makes us read one."""
        door = self._parts.door
        if door.origins.some:
            call.extra = door.origins.text(call.headers)
        try:
            call.principal = door.admit(call.headers, call.address)
            priority_of(call.headers)
            length = call.headers.get(b"content-length", b"")
            if length.isdigit() and int(length) > self._parts.limits.body:
                raise self._too_large()
            coding = call.headers.get(b"content-encoding", b"identity")
            if coding != b"identity" and coding.lower() != b"identity":
                raise InvalidRequest(
                    f"The body is encoded with {coding.decode('latin-1')!r}.", hint="Send it without Content-Encoding."
                )
            if self._parts.draining():
                raise Draining("The gateway is stopping.")
        except HostlerError as error:
            self._refuse(call, error)

    def overflow(self, call: Call) -> None:
        self._refuse(call, self._too_large())

    def start(self, call: Call) -> None:
        principal = call.principal
        if principal is None or call.late:
            try:
                principal = self._parts.door.authenticate(call.headers)
            except HostlerError as error:
                self._refuse(call, error)  # the key was removed, or the first one made, while the body came
                return
        request = self._name(call.headers.get(b"x-request-id"))
        route = INFERENCE[call.path]
        make = opened if route.family == "ollama" else Exchange
        exchange = make(self._relay_of(principal), call, route, principal.name, request)
        self._live[request] = exchange
        exchange.begin()

    async def aclose(self) -> None:
        """Cut whatever still runs and close the engine connections; returns when no task is left."""
        for exchange in list(self._live.values()):
            exchange.on_stalled()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._pool.close()

    # Inside.

    def _name(self, wished: bytes | None) -> str:
        """The client's own id if it is sane and not in use, else a new one."""
        if wished is not None and _SANE_ID.fullmatch(wished):
            name = wished.decode()
            if name not in self._live:
                return name
        return f"{self._prefix}{next(self._numbers):x}"

    def _relay_of(self, principal: Principal) -> Relay:
        if principal.scope == "admin":
            return self._relay
        if not principal.profiles:
            return self._discreet
        return msgspec.structs.replace(self._discreet, catalogue=seen_by(principal, self._relay.catalogue))

    def _too_large(self) -> BodyTooLarge:
        limit = self._parts.limits.body
        return BodyTooLarge(f"The body is over the limit of {limit} ({int(limit)} bytes).")

    def _refuse(self, call: Call, error: HostlerError) -> None:
        call.keep_alive = call.keep_alive and not call.more_body
        name = self._name(call.headers.get(b"x-request-id"))
        refuse(call, error, INFERENCE[call.path].family, own_lines(name, "", None, 0.0, 0.0))

    def _spawn(self, work: Coroutine[object, object, None], give_up: Callable[[], None]) -> asyncio.Task[None]:
        """Run ``work``; a bug in it is loud and gives up that request only."""

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (bug := task.exception()) is not None:
                logger.error("gateway.bug", exc_info=bug)
                give_up()

        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(ended)
        return task

    def _close(self, request: str) -> None:
        self._live.pop(request, None)


def _waiting(limits: LimitSettings) -> RelayLimits:
    return RelayLimits(load_grace_s=limits.load_grace_s, queue_timeout_s=limits.queue_timeout_s)


def _upstream(limits: LimitSettings) -> UpstreamLimits:
    return UpstreamLimits(
        head=limits.head,
        connect_s=limits.connect_s,
        first_byte_s=limits.first_byte_s,
        idle_stream_s=limits.idle_stream_s,
    )
