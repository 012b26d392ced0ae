"""`/upstream/PROFILE/...`: anything else that an engine has, for admins.

Any method, path and query. The profile is loaded and holds a lease until the last byte. A body is read whole before an
engine's connection is taken, as everywhere (a slow client must not hold one), answers are sent on as they come.
"""

from __future__ import annotations

import secrets
from typing import Final
from urllib.parse import unquote

import anyio

from hostler.accounts.keys import Principal
from hostler.errors import EngineLost, HostlerError, NotFound, UnknownProfile
from hostler.fleet.protocol import Lease, Served
from hostler.gateway.answering.tail import NO_TOKENS
from hostler.gateway.door.asgi import ClientGone, Message, Receive, Send, body_of, headers_of
from hostler.gateway.errors import status_of
from hostler.gateway.extras.flow import Flow
from hostler.gateway.extras.parts import HOP, ExtrasParts, adapters_changed, meant, request_lines
from hostler.gateway.relay.http1 import Head
from hostler.gateway.relay.queue import CLIENT_LEFT
from hostler.gateway.relay.retrying import WHY_S
from hostler.gateway.relay.rows import Account
from hostler.gateway.relay.upstream import Connection

PREFIX: Final = "/upstream/"
_API: Final = "upstream"
_CORS: Final = b"access-control-"


class Passing:
    """Passes requests through."""

    def __init__(self, parts: ExtrasParts) -> None:
        self._parts = parts

    async def answer(self, principal: Principal, scope: Message, receive: Receive, send: Send) -> None:
        """Raises UnknownProfile, NotFound, BodyTooLarge, and whatever keeps a profile from being loaded."""
        served, target = await self._meant(scope)
        if served.speaks is not None:
            raise NotFound(f"{served.name!r} is a remote, to which nothing is passed through.")
        try:
            body = await body_of(receive, self._parts.body())
        except ClientGone:
            return
        failure: HostlerError | None = None  # of a client that is gone too: nothing is told to it
        async with anyio.create_task_group() as group:

            async def listen() -> None:
                """The client's last word is that it is gone."""
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(listen)
            failure = await self._leased(served, principal, _Asked(scope, target, body), send)
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _meant(self, scope: Message) -> tuple[Served, bytes]:
        """The profile, whose name may have slashes in it, and what is asked of its engine."""
        raw = scope.get("raw_path")
        path = raw.decode("latin-1") if isinstance(raw, bytes) else str(scope["path"])
        segments = path.partition("?")[0].removeprefix(PREFIX).split("/")
        unknown: UnknownProfile | None = None
        for count in range(1, len(segments) + 1):
            try:
                served = await meant(self._parts.catalogue, unquote("/".join(segments[:count])))
            except UnknownProfile as error:
                unknown = unknown or error
                continue
            query = scope["query_string"]
            assert isinstance(query, bytes)
            return served, ("/" + "/".join(segments[count:])).encode("latin-1") + (b"?" + query if query else b"")
        assert unknown is not None
        raise unknown

    async def _leased(self, served: Served, principal: Principal, asked: _Asked, send: Send) -> HostlerError | None:
        """Pass ``asked`` on with a lease; what to tell the client if nothing was answered."""
        request, fleet, clock = f"up-{secrets.token_hex(6)}", self._parts.fleet, self._parts.clock
        started, status = clock.monotonic(), CLIENT_LEFT
        lease: Lease | None = None
        try:
            lease = fleet.lease_now(served.name, request, principal.name, _API)
            lease = lease or await fleet.ask(served.name, request, principal.name, _API).wait()
            status = await self._pass(lease, asked, send)
        except HostlerError as error:
            status = status_of(error)
            if asked.first is not None:
                return None
            why = await lease.why(WHY_S) if lease is not None and isinstance(error, EngineLost) else None
            return why or error
        finally:
            if lease is not None:
                lease.end(status, abandoned="silent" if status == CLIENT_LEFT else None)
            account = Account(
                request=request, principal=principal.name, profile=served.name, api=_API, status=status, lease=lease,
                tokens=NO_TOKENS, started=started, first=asked.first, streamed=False, cancelled=status == CLIENT_LEFT,
            )  # fmt: skip
            self._parts.recorder.record(account.row(clock))
            if asked.changes_adapters:
                with anyio.CancelScope(shield=True):
                    await self._parts.note(adapters_changed(clock, principal, asked.scope, served.name, status))
        return None

    async def _pass(self, lease: Lease, asked: _Asked, send: Send) -> int:
        with anyio.CancelScope() as taken:
            lease.on_cancel(taken.cancel)
            flow = await self._begun(lease, asked)
            try:
                head = await flow.begun()
                asked.first = self._parts.clock.monotonic()
                await send({"type": "http.response.start", "status": head.status, "headers": _kept(head, lease)})
                async for piece in flow.pieces():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
                return head.status
            finally:
                flow.close()
        raise lease.lost or EngineLost("The request was taken back before its answer was complete.")

    async def _begun(self, lease: Lease, asked: _Asked) -> Flow:
        """An answer that has begun, on an idle connection unless that has been closed meanwhile. Raises EngineLost."""
        pool, endpoint = self._parts.pool, lease.endpoint
        idle = pool.take(endpoint)
        if idle is not None:
            flow = asked.sent(idle, lease)
            if await flow.fresh():
                return flow
        return asked.sent(await pool.connect(endpoint), lease)


class _Asked:
    """What is passed on."""

    def __init__(self, scope: Message, target: bytes, body: bytes) -> None:
        self.method = str(scope["method"]).encode()
        self.scope = scope
        self.first: float | None = None  # when its answer began, in monotonic seconds
        path = unquote(target.decode("latin-1"))  # as the engine reads it
        self.changes_adapters = self.method == b"POST" and path.startswith("/lora-adapters")
        self._target = target
        self._headers = headers_of(scope)
        self._body = body

    def sent(self, connection: Connection, lease: Lease) -> Flow:
        """Send it; the answer."""
        flow = Flow(connection)
        lines = request_lines(self.method, self._target, lease.endpoint, self._headers, self._body)
        connection.send(lines, flow, bodiless=self.method == b"HEAD")
        return flow


def _kept(head: Head, lease: Lease) -> list[tuple[bytes, bytes]]:
    """The engine's header lines that go to the client: not its CORS, which lets every page in."""
    ours = HOP | {b"date", b"server"}
    kept = [field for field in head.fields if field[0] not in ours and not field[0].startswith(_CORS)]
    if head.length is not None:
        kept.append((b"content-length", b"%d" % head.length))
    return [*kept, (b"x-hostler-profile", lease.profile.encode()), (b"x-hostler-instance", lease.instance.encode())]
