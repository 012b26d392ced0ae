"""`hostler mcp` as an agent uses it: by the protocol's own client, in this process and over standard input."""

from __future__ import annotations

import builtins
import json
import os

import msgspec
import pytest
from cli_run import HOSTLER
from fake_gateway import FakeGateway
from mcp import StdioServerParameters
from mcp.client import Client as Agent
from mcp.client.stdio import stdio_client
from mcp.types import TextContent

from hostler.cli.mcp import server
from hostler.client.gateway import Client
from hostler.errors import HostlerError
from hostler.wire.management import Parked

pytestmark = pytest.mark.anyio


async def called(agent: Agent, tool: str, **arguments: object) -> tuple[bool, str]:
    """Whether it is an error, and the text."""
    result = await agent.call_tool(tool, arguments)
    (content,) = result.content
    assert isinstance(content, TextContent)
    return bool(result.is_error), content.text


def agent_of(gateway: FakeGateway) -> Agent:
    return Agent(server(lambda: Client(gateway.url)))


async def test_what_an_agent_is_offered(gateway: FakeGateway) -> None:
    async with agent_of(gateway) as agent:
        tools = {tool.name: tool for tool in (await agent.list_tools()).tools}
    assert list(tools) == ["list_profiles", "status", "plan", "load", "switch", "unload"]
    assert all(tool.description for tool in tools.values())
    assert {name for name, tool in tools.items() if tool.annotations and tool.annotations.read_only_hint} == {
        "list_profiles", "status", "plan",
    }  # fmt: skip
    assert tools["switch"].input_schema["required"] == ["profile"]


async def test_looking(gateway: FakeGateway) -> None:
    left = Parked(parked_s=40.0, cached=0.98, prompts=2, load_s=0.42)
    gateway.profiles[1] = msgspec.structs.replace(gateway.profiles[1], state="unloaded", parked=left)
    async with agent_of(gateway) as agent:
        _, profiles = await called(agent, "list_profiles")
        _, status = await called(agent, "status")
    assert [each["name"] for each in json.loads(profiles)] == ["smollm2", "gemma3-270m"]  # not the hidden one
    told = json.loads(status)
    assert told["gateway"]["url"] == gateway.url
    assert [each["id"] for each in told["instances"]] == ["smollm2-1"]
    assert told["parked"]["gemma3-270m"]["load_s"] == 0.42
    assert [each["id"] for each in told["requests"]] == ["req-9"]


async def test_doing(gateway: FakeGateway) -> None:
    async with agent_of(gateway) as agent:
        assert json.loads((await called(agent, "load", profile="tiny"))[1])["profile"] == "smollm2"
        assert json.loads((await called(agent, "switch", profile="tiny", keep=True))[1])["unloaded"] == ["old", "older"]
        assert json.loads((await called(agent, "unload", profile="tiny"))[1])["state"] == "unloaded"
    assert [path.rpartition("/")[2] for method, path in gateway.asked if method == "POST"] == [
        "load", "switch", "unload",
    ]  # fmt: skip
    assert gateway.bodies == [{"keep": True}, {"now": False}]


async def test_what_is_wrong_is_told_to_the_agent_with_the_way_out(gateway: FakeGateway, free_port: int) -> None:
    async with agent_of(gateway) as agent:
        wrong, said = await called(agent, "load", profile="smolm")
        assert wrong
        assert "the nearest is smollm2" in said
    async with Agent(server(lambda: Client(f"http://127.0.0.1:{free_port}"))) as agent:
        wrong, said = await called(agent, "status")
    assert wrong
    assert "hostler up" in said


async def test_over_standard_input(gateway: FakeGateway) -> None:
    """Nothing but the protocol may be on standard output."""
    environment = os.environ | {"HOSTLER_URL": gateway.url}
    process = StdioServerParameters(command=str(HOSTLER), args=["mcp"], env=dict(environment))
    async with Agent(stdio_client(process)) as agent:
        wrong, profiles = await called(agent, "list_profiles")
    assert not wrong
    assert json.loads(profiles)[0]["name"] == "smollm2"


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def lacking(name: str, *rest: object) -> object:
        if name.startswith("mcp"):
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(HostlerError, match="not installed") as refused:
        server(lambda: Client("http://127.0.0.1:1"))
    assert "hostler[mcp]" in refused.value.hint
