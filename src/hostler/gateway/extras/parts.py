"""What the extras work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import msgspec

from hostler.accounts.keys import Principal
from hostler.clock import Clock
from hostler.engines.protocol import Endpoint
from hostler.fleet.protocol import Catalogue, Fleet, Served, found
from hostler.gateway.door.asgi import Message
from hostler.gateway.door.cors import Origins
from hostler.gateway.relay.parts import Recorder
from hostler.gateway.relay.upstream import Pool
from hostler.wire.audit import AuditRecord

#: Meant for one hop, or ours to say: who asks, where, how long the body is.
HOP: Final = frozenset({
    b"connection", b"content-length", b"expect", b"host", b"http2-settings", b"keep-alive", b"proxy-authenticate",
    b"proxy-authorization", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
})  # fmt: skip
#: The client's own credentials; the engine has another key.
SECRETS: Final = frozenset({b"authorization", b"cookie", b"x-api-key"})


class ExtrasParts(msgspec.Struct, frozen=True, kw_only=True):
    """``endpoint`` says where the ready instance of a profile listens, ``body`` bounds one, in bytes, and ``origins``
    are those whose pages may do what pages of ours may. ``recorder`` gets a row of the ledger; ``note`` writes an
    act of an operator down."""

    fleet: Fleet
    catalogue: Catalogue
    endpoint: Callable[[str], Endpoint | None]
    pool: Pool
    clock: Clock
    body: Callable[[], int]
    origins: Callable[[], Origins]
    recorder: Recorder
    note: Callable[[AuditRecord], Awaitable[None]]


def adapters_changed(
    clock: Clock, principal: Principal, scope: Message, profile: str, status: int | None
) -> AuditRecord:
    """What is written down of a change of LoRA adapters, which holds for everybody."""
    client = scope.get("client")
    address = str(client[0]) if isinstance(client, tuple) else ""
    return AuditRecord(
        at=clock.wall(), who=principal.name, via="api", action="change adapters", target=profile, status=status,
        address=address,
    )  # fmt: skip


async def meant(catalogue: Catalogue, name: str | None) -> Served:
    """The profile of that name, or the default one. Raises UnknownProfile."""
    return catalogue.resolve(None) if name is None else await found(catalogue, name)


def request_lines(
    method: bytes, target: bytes, endpoint: Endpoint, headers: Iterable[tuple[bytes, bytes]], body: bytes
) -> bytes:
    """A whole request to an engine."""
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    lines = [
        b"%b %b HTTP/1.1" % (method, target),
        b"host: %b:%d" % (host.encode(), endpoint.port),
        b"authorization: Bearer " + endpoint.api_key.encode(),
        *(b"%b: %b" % header for header in headers if header[0] not in HOP and header[0] not in SECRETS),
    ]
    if body or method not in (b"GET", b"HEAD", b"OPTIONS", b"DELETE"):
        lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join((*lines, b"", body))
