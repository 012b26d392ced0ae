"""Which profile a client gets, from what the gateway lists to whoever may use models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from hostler.errors import HostlerError, UnknownProfile, WrongTask

#: Agents send that much before the first word of the user: their instructions and their tools.
AGENTS_NEED: Final = 32_768


class About(msgspec.Struct, frozen=True):
    """What Hostler adds to an entry of ``/v1/models``."""

    task: str | None = None
    aliases: tuple[str, ...] = ()
    default: bool = False
    remote: str | None = None
    problem: str | None = None


class Offer(msgspec.Struct, frozen=True):
    """One entry of ``/v1/models``."""

    id: str
    context_length: int | None = None
    hostler: About = About()

    def is_called(self, name: str) -> bool:
        """Whether ``name`` means it."""
        return name == self.id or name in self.hostler.aliases


class Offers(msgspec.Struct, frozen=True):
    """``GET /v1/models``."""

    data: tuple[Offer, ...]


def chosen(offers: Sequence[Offer], asked: str | None) -> Offer:
    """The profile asked for, else the local chat profile with the largest context; the default one of equals.

    Raises UnknownProfile, WrongTask, and HostlerError when there is no chat profile at all.
    """
    if asked is not None:
        return _asked(offers, asked)
    able = [offer for offer in offers if offer.hostler.task == "chat" and offer.hostler.problem is None]
    if not able:
        raise HostlerError(
            "No profile can chat.", hint="`hostler ls` shows what there is; `hostler pull` fetches more."
        )
    return max(able, key=lambda o: (o.hostler.remote is None, o.context_length or 0, o.hostler.default))


def _asked(offers: Sequence[Offer], name: str) -> Offer:
    found = next((offer for offer in offers if offer.is_called(name)), None)
    if found is None:
        raise UnknownProfile(f"No profile is named {name!r}.", hint=f"There are: {', '.join(o.id for o in offers)}.")
    if found.hostler.task not in ("chat", None):
        raise WrongTask(f"The profile {found.id!r} does {found.hostler.task}, not chat.", hint="Name a chat profile.")
    return found
