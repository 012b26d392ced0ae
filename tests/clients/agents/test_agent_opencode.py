"""opencode, connected by `hostler connect opencode`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from agent_runs import NOTE, Agent, lines
from client_installs import node, node_version
from gateway_process import RunningGateway

pytestmark = pytest.mark.anyio
shows = pytest.mark.shows
CLIENT = "opencode"
RUN = ("opencode", "run", "--format", "json")


@pytest.fixture(scope="module")
def tool() -> str:
    return f"bash:{json.dumps({'command': 'cat notes.txt', 'description': 'Read the notes'})}"


@pytest.fixture(scope="module")
def agent(running: RunningGateway, folder: Path, version: Callable[[str, str], None]) -> Agent:
    packages = node("agents")
    version(CLIENT, node_version(packages, "opencode-ai"))
    config = running.home.base / ".config" / "opencode" / "hostler.json"
    return Agent(running, folder, packages / "node_modules" / ".bin", {"OPENCODE_CONFIG": str(config)})


def parts(out: str, kind: str) -> list[dict[str, object]]:
    return [line["part"] for line in lines(out) if line["type"] == kind]


@shows(CLIENT, "answer")
def test_an_answer(agent: Agent) -> None:
    agent.connect(CLIENT, "steady")
    done = agent.run(*RUN, "Say hello.")
    assert done.code == 0, done
    assert any(part["text"] for part in parts(done.out, "text"))


@shows(CLIENT, "stream")
async def test_a_stream(agent: Agent) -> None:
    agent.connect(CLIENT, "steady")
    done = agent.run(*RUN, "Say hello.")
    (end,) = parts(done.out, "step_finish")
    assert end["tokens"]["output"] > 1
    asked = (await agent.running.api("/api/requests"))["recent"]
    assert {each["api"] for each in asked} == {"chat"}


@shows(CLIENT, "tool call")
def test_a_tool_call_and_its_result(agent: Agent) -> None:
    agent.connect(CLIENT, "caller")
    done = agent.run(*RUN, "Read the notes.")
    assert done.code == 0, done
    assert NOTE in json.dumps(parts(done.out, "tool_use"))
    assert parts(done.out, "text")


@shows(CLIENT, "error")
def test_a_prompt_that_does_not_fit(agent: Agent) -> None:
    agent.connect(CLIENT, "narrow")
    done = agent.run(*RUN, "Say hello.")
    assert "context" in done.out + done.err


@shows(CLIENT, "cancel")
async def test_an_agent_that_is_stopped(agent: Agent, was_cancelled: Callable[[], Awaitable[bool]]) -> None:
    agent.connect(CLIENT, "endless")
    assert await agent.left_in_the_middle(was_cancelled, *RUN, "Go on.")
