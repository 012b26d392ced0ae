"""As a new user: fetch the starter models, start, paste what is printed, switch, stop."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from gateway_process import RunningGateway, eventually

pytestmark = pytest.mark.anyio


def _lay_in(place, *models: Path) -> None:
    """Put the models where `starters fetch` would, with its notes that they were verified."""
    for model in models:
        for file in (model, model.with_name(f".{model.name}.verified")):
            shutil.copy2(file, place.models / file.name)


def _pasted(running: RunningGateway) -> list[tuple[str, dict[str, object]]]:
    """The path and body of each curl command that was printed."""
    lines = running.output.read_text(encoding="utf-8").splitlines()
    commands = [shlex.split(line) for line in lines if line.strip().startswith("curl ")]
    return [(urlsplit(words[2]).path, json.loads(words[4])) for words in commands]


async def test_from_an_empty_home_to_answers_and_a_switch(gateway, place, smollm2: Path, gemma: Path) -> None:
    _lay_in(place, smollm2, gemma)
    fetched = place.cli("starters", "fetch", "smollm2", "gemma3-270m")
    assert fetched.code == 0, fetched
    assert place.config.exists()
    running = gateway(up=("--port", "0"))

    commands = await eventually(lambda: len(found := _pasted(running)) == 2 and found, "two commands are printed")
    assert {path for path, _ in commands} == {"/v1/chat/completions", "/v1/completions"}
    for path, body in commands:
        assert body["max_tokens"] == 60
        answer = await running.post(path, body)
        assert answer.status == 200
        assert 0 < answer.json()["usage"]["completion_tokens"] <= 60

    assert running.cli("switch", "smollm2", "--json").json["state"] == "ready"
    assert [each["profile"] for each in await running.instances()] == ["smollm2"]
    assert (await running.api("/api/gateway"))["default"] == "smollm2"
    checked = running.cli("config", "check")
    assert checked.code == 0, checked
