"""aider, connected by `hostler connect aider`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from agent_runs import Agent
from client_installs import python, python_version
from gateway_process import RunningGateway

pytestmark = pytest.mark.anyio
shows = pytest.mark.shows
CLIENT = "aider"
MODES = ("--no-git", "--yes-always", "--map-tokens", "0", "--no-auto-lint", "--no-pretty", "--no-detect-urls")


@pytest.fixture(scope="module")
def agent(running: RunningGateway, folder: Path, version: Callable[[str, str], None]) -> Agent:
    interpreter = python("aider")
    version(CLIENT, python_version(interpreter, "aider-chat"))
    return Agent(running, folder, interpreter.parent)


def words(agent: Agent, *more: str) -> tuple[str, ...]:
    return ("aider", "--config", str(agent.running.home.base / ".aider.hostler.conf.yml"), *MODES, *more)


@shows(CLIENT, "answer")
def test_an_answer(agent: Agent) -> None:
    agent.connect(CLIENT, "steady")
    done = agent.run(*words(agent, "--no-stream", "--message", "Say hello."))
    assert done.code == 0, done
    assert "Tokens:" in done.out


@shows(CLIENT, "stream")
def test_a_stream(agent: Agent) -> None:
    agent.connect(CLIENT, "steady")
    done = agent.run(*words(agent, "--message", "Say hello."))
    assert done.code == 0, done
    assert "received" in done.out


@shows(CLIENT, "error")
def test_a_prompt_that_does_not_fit(agent: Agent) -> None:
    agent.connect(CLIENT, "narrow")
    done = agent.run(*words(agent, "--message", "Say hello. " + "sea " * 1000))
    assert "context" in done.out + done.err


@shows(CLIENT, "cancel")
async def test_a_command_that_is_stopped(agent: Agent, was_cancelled: Callable[[], Awaitable[bool]]) -> None:
    agent.connect(CLIENT, "endless")
    assert await agent.left_in_the_middle(was_cancelled, *words(agent, "--message", "Go on."))
