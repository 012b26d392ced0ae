"""`/props`, `/slots` and `/lora-adapters` of a profile's engine.

Looking loads nothing and does not count as use, so that programs which look every second keep no model in memory.
`autoload=true` loads, as with llama.cpp's router. Whoever may only use models sees the names of files, not where they
lie, and of slots nothing that anybody asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final
from urllib.parse import parse_qsl, urlencode

import anyio
import msgspec
from msgspec import Raw

from hostler.accounts.keys import Principal
from hostler.engines.protocol import Endpoint
from hostler.errors import Conflict, EngineError, Forbidden, NotFound
from hostler.fleet.protocol import Served
from hostler.gateway.answering.discreet import plain_body
from hostler.gateway.door.asgi import Message, Receive, Send, body_of
from hostler.gateway.door.reach import seen_by
from hostler.gateway.extras.parts import ExtrasParts, adapters_changed, meant, request_lines
from hostler.gateway.relay.fetching import Reply, fetched
from hostler.gateway.relay.http1 import Head

#: Each look at slots puts off the moment in which llama.cpp notices that a client has left.
SLOTS_S: Final = 1.5
#: What of a slot does not tell what somebody asked, or how.
_NEUTRAL: Final = (
    "id", "n_ctx", "speculative", "is_processing", "id_task", "n_prompt_tokens", "n_prompt_tokens_processed",
    "n_prompt_tokens_cache",
)  # fmt: skip

#: Beside `model_path` and the like, what an engine may tell a file by.
_FILES: Final = ("model", "mmproj")
_FULL: Final = b'{"error":{"code":503,"message":"no slot available","type":"unavailable_error"}}'

_slots = msgspec.json.Decoder(list[dict[str, Raw]])


class _Query(msgspec.Struct, frozen=True):
    model: str | None
    autoload: bool
    rest: bytes
    fails_when_full: bool


class Looking:
    """Answers them. One answer about slots serves all who ask within :data:`SLOTS_S`."""

    def __init__(self, parts: ExtrasParts) -> None:
        self._parts = parts
        self._looked: dict[Endpoint, tuple[float, asyncio.Task[Reply]]] = {}

    async def answer(self, principal: Principal, scope: Message, receive: Receive, send: Send) -> None:
        """Raises UnknownProfile, NotFound, Conflict, Forbidden, EngineLost."""
        method, path = str(scope["method"]), str(scope["path"])
        if method == "POST" and principal.scope != "admin":
            raise Forbidden(f"The key {principal.name!r} may not change adapters: they hold for everybody.")
        query = _query(scope["query_string"])
        served = await meant(seen_by(principal, self._parts.catalogue), query.model)
        endpoint = await self._endpoint(served, query, path)
        body = await body_of(receive, self._parts.body()) if method == "POST" else b""
        target = path.encode() + query.rest
        headers = [(b"content-type", b"application/json")] if body else []
        lines = request_lines(b"POST" if body else b"GET", target, endpoint, headers, body)
        if method == "POST":
            reply = await self._changed(principal, scope, served.name, fetched(self._parts.pool, endpoint, lines))
        else:
            reply = await (self._slots(endpoint) if path == "/slots" else fetched(self._parts.pool, endpoint, lines))
        status, said = reply.head.status, reply.body
        if path == "/slots" and status == 200 and query.fails_when_full and _full(said):
            status, said = 503, _FULL
        if principal.scope != "admin":
            said = redacted(said, path) if status == 200 else plain_body(said)
        await _send(send, reply.head, status, said, served.name)

    async def _endpoint(self, served: Served, query: _Query, path: str) -> Endpoint:
        name = served.name
        if served.speaks is not None:
            raise NotFound(f"{name!r} is a remote: it has no {path} here.")
        found = self._parts.endpoint(name)
        if found is None and query.autoload:
            await self._parts.fleet.load(name)
            found = self._parts.endpoint(name)
        if found is None:
            raise Conflict(f"{name!r} is not loaded.", hint="Add `autoload=true` to the address, or load it.")
        return found

    async def _changed(self, principal: Principal, scope: Message, profile: str, asking: Awaitable[Reply]) -> Reply:
        """Change adapters, and have it written down, whatever becomes of it."""
        status: int | None = None
        try:
            reply = await asking
            status = reply.head.status
            return reply
        finally:
            with anyio.CancelScope(shield=True):
                await self._parts.note(adapters_changed(self._parts.clock, principal, scope, profile, status))

    async def _slots(self, endpoint: Endpoint) -> Reply:
        now = self._parts.clock.monotonic()
        known = self._looked.get(endpoint)
        if known is None or now - known[0] > SLOTS_S:
            self._looked = {each: at for each, at in self._looked.items() if now - at[0] <= SLOTS_S}
            lines = request_lines(b"GET", b"/slots", endpoint, (), b"")  # one look for all, whatever each asks of it
            known = now, asyncio.ensure_future(fetched(self._parts.pool, endpoint, lines))
            known[1].add_done_callback(lambda task: task.cancelled() or task.exception())
            self._looked[endpoint] = known
        return await asyncio.shield(known[1])


def _query(query: object) -> _Query:
    assert isinstance(query, bytes)
    fields = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    said = dict(fields)
    rest = urlencode([field for field in fields if field[0] not in ("model", "autoload")]).encode()
    loads, full = said.get("autoload", "") in ("1", "true"), bool(said.get("fail_on_no_slot"))
    return _Query(said.get("model"), loads, b"?" + rest if rest else b"", full)


def _read(slots: bytes) -> list[dict[str, Raw]]:
    try:
        return _slots.decode(slots)
    except msgspec.MsgspecError:
        raise EngineError("The engine's slots cannot be read.") from None


def _full(slots: bytes) -> bool:
    return all(bytes(slot.get("is_processing", Raw(b"false"))) == b"true" for slot in _read(slots))


def redacted(body: bytes, path: str) -> bytes:
    """What ``path`` answers to whoever may only use models: slots without prompts, answers and wishes, files without
    their folders. Raises EngineError for what cannot be read."""
    if path == "/slots":
        return msgspec.json.encode([{name: slot[name] for name in _NEUTRAL if name in slot} for slot in _read(body)])
    try:
        return msgspec.json.encode(_named(msgspec.json.decode(body)))
    except (msgspec.MsgspecError, RecursionError):
        raise EngineError(f"What the engine says of {path} cannot be read.") from None


def _named(value: object, key: str = "") -> object:
    if isinstance(value, dict):
        return {str(name): _named(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [_named(inner, key) for inner in value]
    if isinstance(value, str) and (key.endswith("path") or (value[:1] == "/" and key in _FILES)):
        return value.rpartition("/")[2]
    return value


async def _send(send: Send, head: Head, status: int, body: bytes, profile: str) -> None:
    kind = head.get(b"content-type") or b"application/json"
    headers = [(b"content-type", kind), (b"x-hostler-profile", profile.encode())]
    if status >= 400:
        headers.append((b"x-hostler-source", b"engine"))
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
