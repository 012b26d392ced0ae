"""Every management request that changes something becomes a row of the audit, with how it was answered."""

from __future__ import annotations

import re
import time
from typing import Final

import anyio
import msgspec
from litestar.types import ASGIApp, Message, Receive, ReceiveMessage, Scope, Send

from hostler.accounts.audit import Audit
from hostler.wire.audit import AuditRecord

LONGEST_BODY: Final = 64 * 1024

#: Path and what it does; the group is what it is done to, "" that the body says it. The first that fits counts.
_ACTS: Final = tuple(
    (method, re.compile(pattern), action)
    for method, pattern, action in (
        ("POST", r"/api/profiles/(.+)/(?:load)", "load"),
        ("POST", r"/api/profiles/(.+)/(?:unload)", "unload"),
        ("POST", r"/api/profiles/(.+)/(?:switch)", "switch"),
        ("POST", r"/api/profiles/(.+)/(?:pin)", "pin"),
        ("DELETE", r"/api/profiles/(.+)/(?:pin)", "unpin"),
        ("POST", r"/api/load()", "load"),
        ("DELETE", r"/api/load/(.+)", "end hold"),
        ("POST", r"/api/keys()", "lend key"),
        ("POST", r"/api/keys/(.+)/prolong", "prolong key"),
        ("DELETE", r"/api/keys/(.+)", "take key back"),
        ("POST", r"/api/gateway/reload()", "reload"),
        ("POST", r"/api/requests/(.+)/cancel", "cancel"),
        ("POST", r"/api/models/cache/clear()", "clear prompts"),
        ("POST", r"/api/models/warmup/(.+)/benchmark", "benchmark"),
        ("POST", r"/api/models/warmup/(.+)", "warm up"),
        ("POST", r"/api/models/mmap/benchmark()", "compare load modes"),
    )
)


class _Named(msgspec.Struct):
    profile: str = ""
    name: str = ""


async def noted(audit: Audit, who: str, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Let ``app`` answer, and write who asked for what before the answer goes out.

    A request that is cut off before is written too, without a status.
    """
    began, body, written = time.time(), b"", False

    async def hearing() -> ReceiveMessage:
        nonlocal body
        message = await receive()
        if message["type"] == "http.request" and len(body) < LONGEST_BODY:
            body += message.get("body", b"")
        return message

    async def telling(message: Message) -> None:
        nonlocal written
        if message["type"] == "http.response.start" and not written:
            written = True
            await audit.note(_record(began, who, scope, body, message["status"]))
        await send(message)

    try:
        await app(scope, hearing, telling)
    finally:
        if not written:
            with anyio.CancelScope(shield=True):
                await audit.note(_record(began, who, scope, body, None))


def _record(at: float, who: str, scope: Scope, body: bytes, status: int | None) -> AuditRecord:
    action, target = act(str(scope.get("method")), str(scope["path"]), body)
    client = scope.get("client")
    address = str(client[0]) if client else ""
    return AuditRecord(at=at, who=who, via="api", action=action, target=target, status=status, address=address)


def act(method: str, path: str, body: bytes) -> tuple[str, str]:
    """What a request does, and to what; a path that has no word of its own is told as it is."""
    for wanted, pattern, action in _ACTS:
        if wanted == method and (found := pattern.fullmatch(path)):
            return action, found[1] or _named(body)
    return f"{method} {path}", ""


def _named(body: bytes) -> str:
    try:
        named = msgspec.json.decode(body, type=_Named)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return named.profile or named.name
