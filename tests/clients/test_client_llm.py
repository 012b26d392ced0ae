"""The llm command, connected by `hostler connect llm`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from agent_runs import Agent
from client_installs import python, python_version
from gateway_process import RunningGateway

pytestmark = pytest.mark.anyio
shows = pytest.mark.shows
CLIENT = "llm"


@pytest.fixture(scope="module")
def tool() -> str:
    return "llm_version:{}"


@pytest.fixture(scope="module")
def agent(running: RunningGateway, folder: Path, version: Callable[[str, str], None]) -> Agent:
    interpreter = python("llm")
    version(CLIENT, python_version(interpreter, "llm"))
    return Agent(running, folder, interpreter.parent)


@shows(CLIENT, "answer")
def test_an_answer(agent: Agent) -> None:
    agent.connect(CLIENT, "smollm2")
    done = agent.run("llm", "-m", "hostler/smollm2", "--no-stream", "-o", "max_tokens", "8", "-u", "Say hello.")
    assert done.code == 0, done
    assert done.out.strip()
    assert "output" in done.err


@shows(CLIENT, "stream")
def test_a_stream(agent: Agent) -> None:
    agent.connect(CLIENT, "smollm2")
    done = agent.run("llm", "-m", "hostler/smollm2", "-o", "max_tokens", "8", "Say hello.")
    assert done.code == 0, done
    assert done.out.strip()


@shows(CLIENT, "tool call")
def test_a_tool_call_and_its_result(agent: Agent) -> None:
    agent.connect(CLIENT, "caller")
    done = agent.run("llm", "-m", "hostler/caller", "-T", "llm_version", "--td", "Which version is this?")
    assert done.code == 0, done
    assert "Tool call: llm_version" in done.err
    assert done.out.strip()


@shows(CLIENT, "structured output")
def test_an_answer_that_fits_a_schema(agent: Agent) -> None:
    agent.connect(CLIENT, "smollm2")
    schema = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]}
    done = agent.run("llm", "-m", "hostler/smollm2", "--schema", json.dumps(schema), "Name a city.")
    assert done.code == 0, done
    assert set(done.json) == {"city"}


@shows(CLIENT, "error")
def test_a_prompt_that_does_not_fit(agent: Agent) -> None:
    agent.connect(CLIENT, "narrow")
    done = agent.run("llm", "-m", "hostler/narrow", "sea " * 1000)
    assert done.code != 0
    assert "context" in done.err


@shows(CLIENT, "cancel")
async def test_a_command_that_is_stopped(agent: Agent, was_cancelled: Callable[[], Awaitable[bool]]) -> None:
    agent.connect(CLIENT, "endless")
    assert await agent.left_in_the_middle(was_cancelled, "llm", "-m", "hostler/endless", "Go on.")
