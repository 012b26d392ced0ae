"""Who answers at an address, and what of it is asked."""

from __future__ import annotations

import msgspec

from hostler.client.gateway import Client
from hostler.client.problems import Refused
from hostler.client.transport import ConnectionLost
from hostler.conformance.asks import Subject
from hostler.conformance.server import Server
from hostler.errors import Forbidden, HostlerError, NoGateway, NotFound, Unauthorized, UnknownProfile
from hostler.testing import http
from hostler.wire.management import ProfileInfo


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The server that was found: ``client`` is None when it tells nothing of itself, for the reason in ``why``."""

    server: Server
    subjects: tuple[Subject, ...]
    client: Client | None = None
    version: str = ""
    why: str = ""

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{'https' if self.server.secure else 'http'}://{self.server.host}:{self.server.port}"


async def find(client: Client, key: str, wanted: tuple[str, ...]) -> Found:
    """Who answers there, and what is asked of it.

    A gateway of ours: the profiles ``wanted``, else what is loaded, else the default. Another server: the models
    ``wanted``, else its first. Raises NoGateway when nothing answers, UnknownProfile when there is nothing to ask.
    """
    server = Server.at(client.url, key)
    try:
        status = await client.status()
    except (NotFound, Refused, Unauthorized, Forbidden, ConnectionLost) as error:
        return Found(server=server, subjects=await _models(server, wanted), why=error.message)
    except HostlerError as error:
        if error.code != "error":
            raise
        return Found(server=server, subjects=await _models(server, wanted), why="it is no gateway of this kind")
    profiles = [await client.profile(name) for name in wanted] if wanted else await client.profiles()
    return Found(
        server=server, subjects=_subjects(profiles, bool(wanted), status.default), client=client, version=status.version
    )


def _subjects(profiles: list[ProfileInfo], wanted: bool, default: str | None) -> tuple[Subject, ...]:
    able = [each for each in profiles if each.task in ("chat", "completion") and each.problem is None]
    loaded = [each for each in able if each.state in ("ready", "loading", "starting")]
    first = [each for each in able if each.name == default] or [each for each in able if not each.hidden][:1]
    chosen = able if wanted else loaded or first
    if not chosen:
        raise UnknownProfile("No profile here can be asked.", hint="Name one that does chat or completion.")
    return tuple(Subject(each.name, "chat" if each.task == "chat" else "completions") for each in chosen)


class _Listed(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Listed]


async def _models(server: Server, wanted: tuple[str, ...]) -> tuple[Subject, ...]:
    if wanted:
        return tuple(Subject(name) for name in wanted)
    try:
        answer = await server.request("GET", "/v1/models")
    except http.Broken as error:
        raise NoGateway(f"What listens there speaks no HTTP: {error}.", hint="Look at the address.") from error
    try:
        names = [each.id for each in msgspec.json.decode(answer.body, type=_Models).data]
    except msgspec.DecodeError:
        names = []
    if not names:
        raise UnknownProfile(f"/v1/models lists nothing ({answer.status}).", hint="Name a model to ask.")
    return (Subject(names[0]),)
