"""Heads that the gateway writes: of requests to engines, and what it keeps of an engine's answer."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from hostler.engines.protocol import Endpoint
from hostler.fleet.protocol import Lease
from hostler.gateway.relay.http1 import Head

#: Ours to say (framing, date, server), or meant for one hop, or an engine's dangerous default (CORS `*`).
_DROPPED: Final = frozenset({
    b"connection", b"content-length", b"date", b"keep-alive", b"proxy-authenticate", b"proxy-connection", b"server",
    b"te", b"trailer", b"transfer-encoding", b"upgrade", b"x-request-id",
})  # fmt: skip
_CORS: Final = b"access-control-"
JSON: Final = b"application/json"


@lru_cache(maxsize=512)
def _prefix(target: bytes, endpoint: Endpoint) -> bytes:
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return (
        b"POST %b HTTP/1.1\r\nhost: %b:%d\r\nauthorization: Bearer %b\r\n"
        b"accept-encoding: identity\r\nx-request-id: "
        % (target, host.encode(), endpoint.port, endpoint.api_key.encode())
    )


def engine_lines(target: bytes, endpoint: Endpoint, request: str, length: int, kind: bytes = JSON) -> bytes:
    """The head of a request to an engine, whose body has ``length`` bytes and the Content-Type ``kind``.

    The engine gets the body and nothing that would tell it who asks: of the client's own head (keys,
    cookies, user agent) no line is handed on.
    """
    prefix = _prefix(target, endpoint)
    return b"%b%b\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n" % (prefix, request.encode(), kind, length)


def lines_of(head: Head) -> bytes:
    """The header lines of an engine's answer that go to the client; an error is marked as the engine's."""
    if head.kept is None:
        lines = [b"%b: %b\r\n" % field for field in head.fields if _is_kept(field[0])]
        head.kept = b"".join(lines) + (b"x-hostler-source: engine\r\n" if head.status >= 400 else b"")
    return head.kept


def _is_kept(name: bytes) -> bool:
    return name not in _DROPPED and not name.startswith(_CORS)


def own_lines(request: str, profile: str, lease: Lease | None, engine_ms: float, total_ms: float) -> bytes:
    """Our header lines: the request's id, who serves it, where its milliseconds went until this head was written.

    Without a lease all of them went into waiting for one; ``profile`` is empty while there is none.
    """
    asked = request.encode()
    if lease is None:
        spent = b"queue;dur=%.1f, total;dur=%.1f" % (total_ms, total_ms)
        return b"x-request-id: %b\r\n%bserver-timing: %b\r\n" % (asked, _named(profile, ""), spent)
    return (
        b"x-request-id: %b\r\n%bserver-timing: queue;dur=%.1f, load;dur=%.1f, engine;dur=%.1f, total;dur=%.1f\r\n"
        % (asked, _named(lease.profile, lease.instance), lease.queue_ms, lease.load_ms, engine_ms, total_ms)
    )


@lru_cache(maxsize=512)
def _named(profile: str, instance: str) -> bytes:
    """The lines that name them; none for an empty name."""
    lines = f"x-hostler-profile: {profile}\r\n" if profile else ""
    if instance:
        lines += f"x-hostler-instance: {instance}\r\n"
    return lines.encode("latin-1", "replace")
