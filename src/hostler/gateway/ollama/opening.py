"""How a request of Ollama's API begins: read, and either asked of an engine or only a matter of loading."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, cast

import msgspec

from hostler.errors import HostlerError, InvalidRequest, UnknownProfile
from hostler.fleet.protocol import Catalogue, Served
from hostler.gateway.door.call import Asker
from hostler.gateway.ollama.loading import Loading, Visit
from hostler.gateway.ollama.talk import Spoken, Talk
from hostler.gateway.relay.exchange import Exchange
from hostler.gateway.relay.parts import Relay
from hostler.gateway.routes import INFERENCE, Route
from hostler.gateway.translate.ollama import shapes as o
from hostler.gateway.translate.ollama.asked import AnyRequest, Asking, Kind, Target, Wishes, asked, read, wishes_of

_PATHS: Final[dict[Target, bytes]] = {
    "chat": b"/v1/chat/completions",
    "completions": b"/v1/completions",
    "infill": b"/infill",
    "embeddings": b"/v1/embeddings",
}
_NOTHING: Final = Spoken("chat", Wishes(None, False, False, None, 0, (), False), Asking("chat", b""))


def opened(relay: Relay, call: Asker, route: Route, principal: str, request: str) -> Exchange | Loading:
    """The request on ``call``, ready to begin; what is wrong with it, it tells itself."""
    kind = cast(Kind, route.named.removeprefix("ollama_"))
    try:
        said = read(kind, call.body())
        wishes = wishes_of(said)
        if wishes.empty:
            return Loading(relay, call, Visit(kind, wishes, route, principal, request))
        spoken = _spoken(kind, said, wishes, _known(relay.catalogue, wishes.model))
    except HostlerError as error:
        talk = Talk(call, relay, _NOTHING._replace(kind=kind), error)
        return Exchange(relay, talk, asked_on(kind, "chat"), principal, request)
    talk = Talk(call, relay, spoken)
    return Exchange(relay, talk, asked_on(kind, spoken.asking.target), principal, request)


@lru_cache(maxsize=32)
def asked_on(kind: Kind, target: Target) -> Route:
    """The route on which an engine is asked, under the name that such requests have in the ledger."""
    return msgspec.structs.replace(INFERENCE[_PATHS[target]], named=f"ollama_{kind}")


def _known(catalogue: Catalogue, name: str | None) -> Served | None:
    """The profile, as far as it is known now; the relay looks again for one that is not."""
    try:
        return catalogue.resolve(name)
    except UnknownProfile:
        return None


def _spoken(kind: Kind, said: AnyRequest, wishes: Wishes, served: Served | None) -> Spoken:
    _check_thinking(wishes, served)
    asking = asked(said, chats=served is None or served.task == "chat")
    return Spoken(kind, wishes, asking, said.dimensions if isinstance(said, o.EmbedRequest) else None)


def _check_thinking(wishes: Wishes, served: Served | None) -> None:
    """Raise InvalidRequest, in Ollama's words, where thinking is asked of a model that cannot."""
    if not wishes.thinks or served is None or served.choose is not None or "reasoning" in served.abilities:
        return
    if served.thinking is not None and not served.thinking.any:
        raise InvalidRequest(f'"{wishes.model or served.name}" does not support thinking', hint="")
