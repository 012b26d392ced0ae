"""`hostler mcp`: the gateway as tools for an agent, by the Model Context Protocol on standard input and output.

The official package is an extra (``hostler[mcp]``) and is imported when the command runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
import typer

from hostler import __version__
from hostler.cli.command import Session, command
from hostler.errors import HostlerError

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from hostler.client.gateway import Client

INSTRUCTIONS = (
    "Hostler runs language models on this machine and moves them in and out of memory. A request to its API loads the "
    "profile that it names by itself; these tools are for looking, and for making room or getting ready beforehand. "
    "Unload what you loaded when your task is done."
)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "mcp", "hostler mcp                     an agent starts this; it speaks on standard output")(mcp)


async def mcp(session: Session) -> None:
    """Offer the gateway to an agent as tools, over MCP.

    They list profiles, show status and plans, load, switch and unload.

    For the configuration of an agent: the command is `hostler`, its only argument `mcp`. It ends with its input.
    """
    await server(session.connect).run_stdio_async()


def server(connect: Callable[[], Client]) -> MCPServer:
    """The tools over a gateway, connected anew for each call, so that a gateway may come and go.

    Raises HostlerError without the package.
    """
    try:
        from mcp.server.mcpserver import MCPServer
        from mcp.types import ToolAnnotations
    except ImportError as error:
        raise HostlerError(
            "The package for the Model Context Protocol is not installed.",
            hint="Install Hostler with it: uv pip install 'hostler[mcp]'",
        ) from error
    tools = Tools(connect)
    made: MCPServer = MCPServer("hostler", version=__version__, instructions=INSTRUCTIONS, log_level="WARNING")
    look = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    add = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
    stop = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)
    for tool, name, kind in (
        (tools.profiles, "list_profiles", look),
        (tools.status, "status", look),
        (tools.plan, "plan", look),
        (tools.load, "load", add),
        (tools.switch, "switch", stop),
        (tools.unload, "unload", stop),
    ):
        made.add_tool(tool, name=name, annotations=kind, structured_output=False)
    return made


class Tools:
    """What an agent may do; answers are JSON. Names and docstrings are what the agent reads."""

    def __init__(self, connect: Callable[[], Client]) -> None:
        self._connect = connect

    async def profiles(self) -> str:
        """List the profiles (models as they can be asked for): name, task, context, state, memory need in bytes."""
        async with self._gateway() as client:
            return _text([profile for profile in await client.profiles() if not profile.hidden])

    async def status(self) -> str:
        """Show what is loaded and what it holds, what is parked (holds nothing, is back soon), the requests that run
        or wait, and the memory of each device."""
        async with self._gateway() as client:
            gateway, requests = await client.status(), await client.requests(1)
            known, instances = await client.profiles(), await client.instances()
        parked = {each.name: each.parked for each in known if each.parked and each.state == "unloaded"}
        return _text({"gateway": gateway, "instances": instances, "parked": parked, "requests": requests.in_flight})

    async def plan(self, profile: str) -> str:
        """Show how a profile would be loaded now: memory and layers on each device, speed, what would have to leave."""
        async with self._gateway() as client:
            return _text(await client.plan(profile))

    async def load(self, profile: str) -> str:
        """Load a profile and wait until it is ready. Idle ones leave if it needs their room; busy ones never do."""
        async with self._gateway() as client:
            return _text(await client.load(profile))

    async def switch(self, profile: str, keep: bool = False) -> str:
        """Load a profile and unload all others that are not pinned, after their requests; `keep` leaves them loaded."""
        async with self._gateway() as client:
            return _text(await client.switch(profile, keep=keep))

    async def unload(self, profile: str, now: bool = False) -> str:
        """Unload a profile when its running requests are done; `now` cuts them off."""
        async with self._gateway() as client:
            return _text(await client.unload(profile, now=now))

    @asynccontextmanager
    async def _gateway(self) -> AsyncIterator[Client]:
        """A connected client; what a user could be told becomes an error that the agent reads."""
        from mcp.server.mcpserver.exceptions import ToolError

        try:
            async with self._connect() as client:
                yield client
        except HostlerError as error:
            raise ToolError(str(error)) from error


def _text(value: object) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()
