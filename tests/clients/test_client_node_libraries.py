"""The official libraries for Node: OpenAI's, Anthropic's and Ollama's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from client_installs import node, node_version
from client_matrix import FEATURES
from gateway_process import RunningGateway

pytestmark = pytest.mark.anyio
SCRIPTS = {
    "openai-node": ("openai_chat.mjs", "openai"),
    "openai-node-responses": ("openai_responses.mjs", "openai"),
    "anthropic-node": ("anthropic.mjs", "@anthropic-ai/sdk"),
    "ollama-node": ("ollama.mjs", "ollama"),
}
Shown = Callable[[str], dict[str, str]]


@pytest.fixture(scope="module")
def libraries() -> Path:
    return node("node")


@pytest.fixture(scope="module")
def shown(libraries: Path, running: RunningGateway, version: Callable[[str, str], None]) -> Shown:
    """What a client's script showed; it runs once."""
    done: dict[str, dict[str, str]] = {}

    def shown(client: str) -> dict[str, str]:
        if client not in done:
            script, package = SCRIPTS[client]
            version(client, node_version(libraries, package))
            done[client] = run(libraries / script, running)
        return done[client]

    return shown


def run(script: Path, running: RunningGateway) -> dict[str, str]:
    program = shutil.which("node")
    assert program is not None
    ended = subprocess.run(
        [program, script], env={**os.environ, "GATEWAY": running.url}, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    showed: dict[str, str] = json.loads(ended.stdout)
    return showed


@pytest.mark.parametrize(
    ("client", "feature"),
    [
        pytest.param(client, feature, marks=pytest.mark.shows(client, feature))
        for client in SCRIPTS
        for feature in FEATURES
    ],
)
async def test_a_feature(client: str, feature: str, shown: Shown, was_cancelled: Callable[[], Awaitable[bool]]) -> None:
    assert shown(client)[feature] == ""
    if feature == "cancel":
        assert await was_cancelled()
