"""LangChain's client of the OpenAI API, in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from client_installs import python, python_version
from client_matrix import FEATURES
from gateway_process import RunningGateway

pytestmark = pytest.mark.anyio
CLIENT = "langchain"


@pytest.fixture(scope="module")
def tool() -> str:
    return 'weather:{"city": "Oslo"}'


@pytest.fixture(scope="module")
def shown(running: RunningGateway, version: Callable[[str, str], None]) -> dict[str, str]:
    interpreter = python("langchain")
    version(CLIENT, python_version(interpreter, "langchain-openai"))
    ended = subprocess.run(
        [interpreter, Path(__file__).with_name("langchain_features.py")],
        env={**os.environ, "GATEWAY": running.url}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    showed: dict[str, str] = json.loads(ended.stdout)
    return showed


@pytest.mark.parametrize("feature", [pytest.param(each, marks=pytest.mark.shows(CLIENT, each)) for each in FEATURES])
async def test_a_feature(feature: str, shown: dict[str, str], was_cancelled: Callable[[], Awaitable[bool]]) -> None:
    assert shown[feature] == ""
    if feature == "cancel":
        assert await was_cancelled()
