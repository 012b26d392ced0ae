"""What Ollama's API tells of models: lists, one model, and as much of pull and delete as a library of files has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import anyio
import msgspec

from hostler.accounts.keys import Principal
from hostler.clock import Clock
from hostler.errors import InvalidRequest, ModelError, UnknownProfile
from hostler.fleet.protocol import Catalogue, Entry, Fleet, found
from hostler.gateway.door.reach import seen_by
from hostler.gateway.ollama import listing
from hostler.gateway.ollama.removal import Removal
from hostler.models.header import Header, read_header

JSON: Final = b"application/json; charset=utf-8"
NDJSON: Final = b"application/x-ndjson"

_REFUSED: Final = {
    "create": "Models are not made here: a profile in hostler.toml says how to run one (`hostler profile new`).",
    "copy": "Models are not copied here: give a profile `aliases` in hostler.toml.",
    "push": "Models are not published from here.",
    "blobs": "Files do not come this way: put a GGUF file into the library, or fetch one with `hostler pull`.",
}
_NO_ACCOUNT: Final = "There is no account at ollama.com behind this gateway: nothing leaves this machine."


class _Asked(msgspec.Struct):
    """``name`` is what older clients call ``model``."""

    model: str | None = None
    name: str | None = None
    verbose: bool | None = None
    stream: bool | None = None


_asked = msgspec.json.Decoder(_Asked)


class Answer(NamedTuple):
    """The Content-Type and the body of a 200."""

    kind: bytes
    body: bytes


class OllamaModels:
    """Answers the paths in :mod:`hostler.gateway.ollama.paths`."""

    def __init__(self, catalogue: Catalogue, fleet: Fleet, clock: Clock, removal: Removal | None = None) -> None:
        self._catalogue = catalogue
        self._fleet = fleet
        self._clock = clock
        self._removal = removal

    def seen_by(self, principal: Principal) -> OllamaModels:
        """The same, of what that key may use."""
        return OllamaModels(seen_by(principal, self._catalogue), self._fleet, self._clock, self._removal)

    async def answer(self, path: str, principal: Principal, body: bytes) -> Answer:
        """What ``path`` answers. Raises InvalidRequest, UnknownProfile, Conflict."""
        name = path.removeprefix("/api/").partition("/")[0]
        act = _ACTS.get(name)
        if act is None:
            raise InvalidRequest(_REFUSED.get(name, _NO_ACCOUNT), hint="")
        return await act(self, principal, body)

    async def _version(self, _principal: Principal, _body: bytes) -> Answer:
        return _json({"version": listing.VERSION})

    async def _tags(self, _principal: Principal, _body: bytes) -> Answer:
        await self._catalogue.refresh()
        shown = [entry for entry in self._catalogue.entries() if not entry.profile.hidden]
        entries = [(entry, self._abilities(entry)) for entry in shown]
        tags = await anyio.to_thread.run_sync(lambda: [listing.tag_of(*each) for each in entries])
        return _json({"models": sorted(tags, key=lambda tag: tag.modified_at, reverse=True)})

    async def _ps(self, _principal: Principal, _body: bytes) -> Answer:
        entries = {entry.name: entry for entry in self._catalogue.entries()}
        loaded = [one for one in self._fleet.instances() if one.state == "ready" and one.profile in entries]
        now = self._clock.wall()
        return _json({"models": [listing.running(entries[one.profile], one, now) for one in loaded]})

    async def _show(self, _principal: Principal, body: bytes) -> Answer:
        asked = _read(body)
        entry = await self._meant(asked)
        abilities, verbose = self._abilities(entry), asked.verbose is True
        return _json(
            await anyio.to_thread.run_sync(lambda: listing.shown(entry, abilities, _header(entry), verbose=verbose))
        )

    async def _pull(self, _principal: Principal, body: bytes) -> Answer:
        """What is here already is pulled at once; nothing is fetched for a client that asks for it."""
        asked = _read(body)
        try:
            entry = await self._meant(asked)
        except UnknownProfile as error:
            raise UnknownProfile(
                f"{error.message}: nothing is fetched at a client's word",
                hint="Fetch it with `hostler pull ORG/REPO:QUANT`, or name another model (/api/tags lists them).",
            ) from None
        if asked.stream is False:
            return _json({"status": "success"})
        return Answer(NDJSON, b"".join(msgspec.json.encode(stage) + b"\n" for stage in _stages(entry)))

    async def _delete(self, principal: Principal, body: bytes) -> Answer:
        entry = await self._meant(_read(body))
        if self._removal is None:
            raise InvalidRequest("There is no library here to remove models from.", hint="")
        await self._removal.remove(entry, principal.name)
        await self._catalogue.refresh()
        return Answer(JSON, b"")

    async def _meant(self, asked: _Asked) -> Entry:
        """The profile of a name, in any form of it. Raises InvalidRequest, or UnknownProfile in Ollama's words."""
        name = asked.model or asked.name
        if not name:
            raise InvalidRequest("model is required", hint="")
        try:
            meant = (await found(self._catalogue, name)).name
        except UnknownProfile:
            raise UnknownProfile(f"model '{name}' not found", hint="") from None
        return next(entry for entry in self._catalogue.entries() if entry.name == meant)

    def _abilities(self, entry: Entry) -> frozenset[str]:
        try:
            return self._catalogue.resolve(entry.name).abilities
        except UnknownProfile:  # an `auto` name without profiles
            return frozenset()


_ACTS: Final[dict[str, Callable[[OllamaModels, Principal, bytes], Awaitable[Answer]]]] = {
    "version": OllamaModels._version,
    "tags": OllamaModels._tags,
    "ps": OllamaModels._ps,
    "show": OllamaModels._show,
    "pull": OllamaModels._pull,
    "delete": OllamaModels._delete,
}


def _read(body: bytes) -> _Asked:
    if not body.strip():
        raise InvalidRequest("missing request body", hint="")
    try:
        return _asked.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"The body is not what this endpoint takes: {error}.") from None


def _json(told: object) -> Answer:
    return Answer(JSON, msgspec.json.encode(told))


def _header(entry: Entry) -> Header | None:
    try:
        return None if entry.model is None or entry.facts is None else read_header(entry.model.path)
    except ModelError:
        return None


def _stages(entry: Entry) -> list[dict[str, object]]:
    """What clients read while a model comes: all of it is there."""
    size = 0 if entry.model is None else entry.model.size
    digest = listing.digest_of(entry)
    layer = {"digest": f"sha256:{digest}", "total": size, "completed": size} if size else {}
    return [
        {"status": "pulling manifest"},
        {"status": f"pulling {digest[:12]}", **layer},
        {"status": "verifying sha256 digest"},
        {"status": "writing manifest"},
        {"status": "success"},
    ]
