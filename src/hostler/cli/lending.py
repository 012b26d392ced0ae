"""A key for a command that is started on the gateway: it may use that command's profiles, and nothing else."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from hostler.cli.connect.client import VARIABLE
from hostler.errors import Forbidden, HostlerError, NotFound

if TYPE_CHECKING:
    from hostler.client.gateway import Client

#: So long it outlives a command whose starter was killed.
LASTS_S: Final = 3600.0
LOOK_S: Final = 20.0  # a machine that slept past the end is soon heard to be awake
_STRANGE: Final = re.compile(r"[^A-Za-z0-9._-]+")


class Loan(NamedTuple):
    """The key that a command gets, None where it can have the user's own, and what has to run beside it."""

    key: str | None
    beside: Callable[[], Coroutine[object, object, None]]

    def environ(self, environ: Mapping[str, str]) -> dict[str, str]:
        """``environ`` with that key wherever the user's own stands."""
        own, key = environ.get(VARIABLE), self.key
        return {name: key if key and value == own else value for name, value in environ.items()}


@asynccontextmanager
async def lent(client: Client, words: Sequence[str], profiles: Sequence[str]) -> AsyncIterator[Loan]:
    """A key for the command that ``words`` name, which ends with the block.

    There is none where the user's own may only use models already, or where the gateway has no keys. Raises what the
    gateway refuses with.
    """
    from hostler.wire.keys import Lending

    wanted = Lending(name=_name(words), profiles=list(dict.fromkeys(profiles)), lasts_s=LASTS_S)
    try:
        key = (await client.lend_key(wanted)).key
    except Forbidden:
        key = None
    if key is None:
        yield Loan(None, _nothing)
        return
    import anyio

    try:
        yield Loan(key, lambda: _prolong(client, wanted.name))
    finally:
        with anyio.CancelScope(shield=True), suppress(HostlerError):
            await client.take_key_back(wanted.name)


def _name(words: Sequence[str]) -> str:
    """Which command it is, for whoever lists keys or reads the audit: ``run-aider-4711-9f2c``."""
    said = "-".join(_STRANGE.sub("-", Path(word).name) for word in words)
    return f"{said[:40]}-{os.getpid()}-{secrets.token_hex(2)}".lstrip("-._")


async def _nothing() -> None:
    return


async def _prolong(client: Client, name: str) -> None:
    """Until cancelled, or until somebody took it back; a gateway that is away for a moment is no reason to stop."""
    import anyio

    due = time.time() + LASTS_S / 2
    while True:
        await anyio.sleep(LOOK_S)
        if time.time() < due:
            continue
        try:
            await client.prolong_key(name, LASTS_S)
            due = time.time() + LASTS_S / 2
        except NotFound:
            return
        except HostlerError:
            continue
