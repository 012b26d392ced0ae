"""Codex, connected by `hostler connect codex`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from agent_runs import NOTE, Agent, lines
from client_installs import node, node_version
from gateway_process import RunningGateway

pytestmark = pytest.mark.anyio
shows = pytest.mark.shows
CLIENT = "codex"
# A folder made for this alone needs no sandbox, and a container seldom has one.
HERE = ("--skip-git-repo-check", "--json")
EXEC = ("codex", "exec", "--profile", "hostler", *HERE)
FREELY = "--dangerously-bypass-approvals-and-sandbox"


@pytest.fixture(scope="module")
def tool(folder: Path) -> str:
    return f"exec_command:{json.dumps({'cmd': f'cat {folder}/notes.txt'})}"


@pytest.fixture(scope="module")
def agent(running: RunningGateway, folder: Path, version: Callable[[str, str], None]) -> Agent:
    packages = node("agents")
    version(CLIENT, node_version(packages, "@openai/codex"))
    return Agent(running, folder, packages / "node_modules" / ".bin")


def items(out: str, kind: str) -> list[dict[str, object]]:
    done = [line["item"] for line in lines(out) if line["type"] == "item.completed"]
    return [item for item in done if item["type"] == kind]


@shows(CLIENT, "answer")
def test_an_answer(agent: Agent) -> None:
    agent.connect(CLIENT, "steady")
    done = agent.run(*EXEC, "--strict-config", "Say hello.")  # it knows every name in its file
    assert done.code == 0, done
    assert lines(done.out)[-1]["usage"]["output_tokens"] > 0


@shows(CLIENT, "stream")
async def test_a_stream(agent: Agent) -> None:
    agent.connect(CLIENT, "steady")
    done = agent.run(*EXEC, "Say hello.")
    (said,) = items(done.out, "agent_message")
    assert said["text"]
    asked = (await agent.running.api("/api/requests"))["recent"][0]
    assert asked["api"] == "responses"
    assert asked["tokens_out"] > 1


@shows(CLIENT, "tool call")
def test_a_tool_call_and_its_result(agent: Agent) -> None:
    agent.connect(CLIENT, "caller")
    done = agent.run(*EXEC, FREELY, "Read the notes.")
    assert done.code == 0, done
    (run,) = items(done.out, "command_execution")
    assert NOTE in str(run["aggregated_output"])
    assert items(done.out, "agent_message")


@shows(CLIENT, "structured output")
def test_an_answer_that_fits_a_schema(agent: Agent) -> None:
    agent.connect(CLIENT, "steady")
    schema = agent.folder / "city.json"
    city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    schema.write_text(json.dumps(city | {"additionalProperties": False}))
    done = agent.run(*EXEC, "--output-schema", str(schema), "Name a city.")
    assert done.code == 0, done
    (said,) = items(done.out, "agent_message")
    assert set(json.loads(str(said["text"]))) == {"city"}


@shows(CLIENT, "error")
def test_a_prompt_that_does_not_fit(agent: Agent) -> None:
    agent.connect(CLIENT, "narrow")
    done = agent.run(*EXEC, "Say hello.")
    assert done.code != 0
    assert "context" in done.out


@shows(CLIENT, "cancel")
async def test_an_agent_that_is_stopped(agent: Agent, was_cancelled: Callable[[], Awaitable[bool]]) -> None:
    agent.connect(CLIENT, "endless")
    assert await agent.left_in_the_middle(was_cancelled, *EXEC, "Go on.")


async def test_its_own_way_to_ollama(agent: Agent) -> None:
    """`codex --oss` takes what `/api/tags` lists, and pulls nothing."""
    ollamas = replace(agent, more={"CODEX_OSS_BASE_URL": f"{agent.running.url}/v1"})
    done = ollamas.run("codex", "exec", "--oss", "--local-provider", "ollama", "--model", "steady", *HERE, "Say hello.")
    assert done.code == 0, done
    assert items(done.out, "agent_message")
    assert (await agent.running.api("/api/requests"))["recent"][0]["profile"] == "steady"
