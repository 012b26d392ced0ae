"""Claude Code with a key that is lent for as long as it runs."""

from __future__ import annotations

import msgspec

from hostler.cli.connect.claude_code import started_with
from hostler.cli.connect.client import Places, Target
from hostler.cli.following import followed
from hostler.cli.lending import lent


async def run_lent(words: list[str], target: Target, places: Places) -> int | None:
    """Run it to its end; its exit code. None where there is nothing to lend, and nothing was run."""
    from hostler.client.gateway import Client

    async with Client(target.url) as client, lent(client, ("claude",), (target.model, target.small)) as loan:
        if loan.key is None:
            return None
        holder = msgspec.structs.replace(target, key=loan.key)
        here = msgspec.structs.replace(places, environ=loan.environ(places.environ))
        return await followed(words, started_with(holder, here), loan.beside)
