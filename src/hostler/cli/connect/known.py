"""The clients that can be connected, by name."""

from __future__ import annotations

from typing import Final

from hostler.cli.connect import aider, claude_code, codex, continue_dev, llm, open_webui, opencode
from hostler.cli.connect.client import Client
from hostler.errors import NotFound

CLIENTS: Final[dict[str, Client]] = {
    module.CLIENT.name: module.CLIENT for module in (claude_code, codex, opencode, aider, continue_dev, open_webui, llm)
}


def named(name: str) -> Client:
    """The client of that name; raises NotFound."""
    if name not in CLIENTS:
        raise NotFound(f"No client is named {name!r}.", hint=f"There are: {', '.join(CLIENTS)}.")
    return CLIENTS[name]


def complete(incomplete: str) -> list[str]:
    """Names that begin with ``incomplete``, for the shell."""
    return [name for name in CLIENTS if name.startswith(incomplete)]
