"""Claude Code, started by `hostler claude`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from agent_runs import NOTE, Agent, lines
from client_installs import node, node_version
from gateway_process import RunningGateway

from hostler.cli.connect import claude_code
from hostler.cli.connect.client import Places, Target

pytestmark = pytest.mark.anyio
shows = pytest.mark.shows
CLIENT = "claude-code"
STREAMED = ("--output-format", "stream-json", "--verbose")


@pytest.fixture(scope="module")
def tool(folder: Path) -> str:
    return f"Read:{json.dumps({'file_path': str(folder / 'notes.txt')})}"


@pytest.fixture(scope="module")
def agent(running: RunningGateway, folder: Path, version: Callable[[str, str], None]) -> Agent:
    packages = node("agents")
    version(CLIENT, node_version(packages, "@anthropic-ai/claude-code"))
    return Agent(running, folder, packages / "node_modules" / ".bin")


@shows(CLIENT, "answer")
def test_an_answer(agent: Agent) -> None:
    done = agent.run("hostler", "claude", "--model", "steady", "-p", "Say hello.", "--output-format", "json")
    assert done.code == 0, done
    assert done.json["is_error"] is False
    assert done.json["result"]
    assert done.json["usage"]["output_tokens"] > 0


@shows(CLIENT, "stream")
def test_a_stream(agent: Agent) -> None:
    words = ("-p", "Say hello.", *STREAMED, "--include-partial-messages")
    done = agent.run("hostler", "claude", "--model", "steady", *words)
    assert done.code == 0, done
    events = [line["event"]["type"] for line in lines(done.out) if line["type"] == "stream_event"]
    assert events[0] == "message_start"
    assert events.count("content_block_delta") > 1


@shows(CLIENT, "tool call")
def test_a_tool_call_and_its_result(agent: Agent) -> None:
    done = agent.run("hostler", "claude", "--model", "caller", "-p", "Read the notes.", *STREAMED)
    assert done.code == 0, done
    results = [line for line in lines(done.out) if line["type"] == "user"]
    assert NOTE in json.dumps(results)
    assert lines(done.out)[-1]["is_error"] is False


@shows(CLIENT, "structured output")
def test_an_answer_that_fits_a_schema(agent: Agent) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    words = ("-p", "Name a city.", "--output-format", "json", "--json-schema", json.dumps(schema))
    done = agent.run("hostler", "claude", "--model", "shaper", *words)
    assert done.code == 0, done
    assert done.json["structured_output"] == {"city": "Oslo"}


@shows(CLIENT, "error")
def test_a_prompt_that_does_not_fit(agent: Agent) -> None:
    done = agent.run("hostler", "claude", "--model", "narrow", "-p", "Say hello.", "--output-format", "json")
    assert done.code != 0
    assert done.json["is_error"] is True
    assert "long" in done.json["result"] or "context" in done.json["result"]


@shows(CLIENT, "cancel")
async def test_an_agent_that_is_stopped(agent: Agent, was_cancelled: Callable[[], Awaitable[bool]]) -> None:
    assert await agent.left_in_the_middle(was_cancelled, "hostler", "claude", "--model", "endless", "-p", "Go on.")


def test_it_knows_every_variable_that_it_is_given(agent: Agent) -> None:
    places = Places(home=agent.folder, own=agent.folder, environ={})
    target = Target(url="http://127.0.0.1:1", model="a", small="b", context=1024)
    wanted = {*claude_code.environment(target, places), *claude_code.LEAD_ELSEWHERE, "ANTHROPIC_AUTH_TOKEN"}
    program = (agent.programs / "claude").resolve().read_bytes()
    assert sorted(name for name in wanted if name.encode() not in program) == []
