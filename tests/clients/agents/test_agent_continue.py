"""Continue's command line, started by the line that `hostler connect continue` prints."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from agent_runs import NOTE, Agent
from client_installs import node, node_version
from gateway_process import Command, RunningGateway

pytestmark = pytest.mark.anyio
shows = pytest.mark.shows
CLIENT = "continue"


@pytest.fixture(scope="module")
def tool(folder: Path) -> str:
    return f"Read:{json.dumps({'filepath': str(folder / 'notes.txt')})}"


@pytest.fixture(scope="module")
def agent(running: RunningGateway, folder: Path, version: Callable[[str, str], None]) -> Agent:
    packages = node("agents")
    version(CLIENT, node_version(packages, "@continuedev/cli"))
    return Agent(running, folder, packages / "node_modules" / ".bin")


def words(agent: Agent, model: str, text: str) -> tuple[str, ...]:
    return ("bash", "-c", f"{agent.connect(CLIENT, model)} -p {text!r}")


def ask(agent: Agent, model: str, text: str) -> Command:
    return agent.run(*words(agent, model, text))


@shows(CLIENT, "answer")
def test_an_answer(agent: Agent) -> None:
    done = ask(agent, "steady", "Say hello.")
    assert done.code == 0, done
    assert "wind" in done.out  # what the scripted engine says, not a message of the client's


@shows(CLIENT, "stream")
async def test_a_stream(agent: Agent) -> None:
    done = ask(agent, "steady", "Say hello.")
    assert done.code == 0, done
    asked = (await agent.running.api("/api/requests"))["recent"][0]
    assert asked["api"] == "chat"
    assert asked["tokens_out"] > 1
    assert asked["first_byte_ms"] < asked["total_ms"]


@shows(CLIENT, "tool call")
def test_a_tool_call_and_its_result(agent: Agent) -> None:
    done = ask(agent, "caller", "Read the notes.")
    assert done.code == 0, done
    assert "wind" in done.out
    sessions = (agent.running.home.base / ".continue" / "sessions").glob("*.json")
    assert any(NOTE in session.read_text() for session in sessions)


@shows(CLIENT, "error")
def test_a_prompt_that_does_not_fit(agent: Agent) -> None:
    done = ask(agent, "narrow", "Say hello.")
    assert "context" in done.out + done.err


@shows(CLIENT, "cancel")
async def test_an_agent_that_is_stopped(agent: Agent, was_cancelled: Callable[[], Awaitable[bool]]) -> None:
    assert await agent.left_in_the_middle(was_cancelled, *words(agent, "endless", "Go on."))
