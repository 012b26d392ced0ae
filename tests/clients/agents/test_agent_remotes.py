"""Claude Code on a model elsewhere that speaks OpenAI's API: a second gateway with the engine, behind the first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_runs import NOTE, Agent, lines
from client_installs import node
from gateway_process import Home, RunningGateway

pytestmark = pytest.mark.anyio
STREAMED = ("--output-format", "stream-json", "--verbose")


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[RunningGateway]:
    home = Home(tmp_path_factory.mktemp("far"))
    tool = f"Read:{json.dumps({'file_path': str(folder / 'notes.txt')})}"
    home.write(home.fake("caller", "context = 65536", tool=tool), home.fake("narrow", "context = 512"))
    gateway = RunningGateway(home)
    try:
        yield gateway.wait_ready()
    finally:
        gateway.close()


@pytest.fixture(scope="module")
def near(far: RunningGateway, place: Home) -> Iterator[RunningGateway]:
    place.write(*(remote(name, far.url) for name in ("caller", "narrow")))
    gateway = RunningGateway(place)
    try:
        yield gateway.wait_ready()
    finally:
        gateway.close()


def remote(name: str, url: str) -> str:
    engine = f'[profiles.{name}.engine]\nkind = "remote"\nurl = "{url}"\nkey_env = "none"\n'
    return f'[profiles.{name}]\nmodel = "{name}"\ncontext = 65536\n{engine}'


async def test_claude_code_calls_a_tool_for_a_model_that_speaks_openais_api(
    near: RunningGateway, far: RunningGateway, folder: Path
) -> None:
    agent = Agent(near, folder, node("agents") / "node_modules" / ".bin")
    done = agent.run("hostler", "claude", "--model", "caller", "-p", "Read the notes.", *STREAMED)
    assert done.code == 0, done
    said = lines(done.out)
    assert NOTE in json.dumps([line for line in said if line["type"] == "user"])
    assert "wind" in said[-1]["result"]
    assert said[-1]["usage"]["output_tokens"] > 0
    assert {each["api"] for each in (await near.api("/api/requests"))["recent"]} >= {"messages"}
    assert {each["api"] for each in (await far.api("/api/requests"))["recent"]} == {"chat"}


def test_what_the_remote_refuses_is_told(near: RunningGateway, folder: Path) -> None:
    agent = Agent(near, folder, node("agents") / "node_modules" / ".bin")
    done = agent.run("hostler", "claude", "--model", "narrow", "-p", "Say hello.", "--output-format", "json")
    assert done.code != 0
    assert "long" in done.json["result"] or "context" in done.json["result"]
