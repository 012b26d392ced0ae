"""A program of the user's own behind a profile: asked, switched away, killed, and gone with the gateway."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from gateway_process import Home, eventually, processes_of

from hostler.testing.gguf_files import write_tiny_gguf

pytestmark = pytest.mark.anyio


def program(place: Home, name: str, *words: str, engine: str = "", settings: str = "") -> str:
    """A profile run by the fake engine as if it were any program; further words for its command line."""
    model = place.models / "tiny.gguf"
    if not model.exists():
        write_tiny_gguf(model)
    argv = [sys.executable, "-m", "hostler.testing.fake_engine", "--port", "${PORT}", "-m", "${MODEL}", *words]
    return (
        f"[profiles.{name}]\nmodel = {json.dumps(str(model))}\n{settings}\n"
        f'[profiles.{name}.engine]\nkind = "command"\nargv = {json.dumps(argv)}\n{engine}\n'
    )


async def test_a_program_answers_is_recovered_and_leaves_no_process(gateway, place: Home) -> None:
    running = gateway(program(place, "mine"), place.fake("other"))
    assert (await running.chat("mine", max_tokens=2)).status == 200
    instance = await running.instance("mine")
    assert instance["bytes"]["host"] > 2**20  # seen, not declared

    os.kill(instance["pid"], signal.SIGKILL)
    await eventually(lambda: _gone(instance["pid"]), "the program is gone")
    assert (await running.chat("mine", max_tokens=2)).status == 200

    done = place.cli("switch", "other")
    assert done.code == 0, done.err
    assert [each["profile"] for each in await running.instances()] == ["other"]
    assert not [line for line in processes_of(place.base).values() if str(place.models / "tiny.gguf") in line]


async def test_what_a_program_keeps_of_prompts_is_its_own_affair(gateway, place: Home) -> None:
    """However long its prompts are: nobody knows where it would write them, or what else could read them."""
    running = gateway(program(place, "mine", "-c", "8192"))
    assert (await running.chat("mine", "word " * 4000, max_tokens=20)).status == 200
    assert place.cli("unload", "mine").code == 0
    kept = (await running.get("/api/models/cache/status")).json()
    assert (kept["saved"], kept["abandoned"]) == (0, {})


async def test_a_program_that_never_listens_is_a_clear_error(gateway, place: Home) -> None:
    """It is refused with what was waited for, and its process is gone."""
    silent = json.dumps([sys.executable, "-c", "import time; time.sleep(600)", "${PORT}"])
    section = f'[profiles.deaf]\nmodel = "x"\n[profiles.deaf.engine]\nkind = "command"\nargv = {silent}\n'
    running = gateway(section, top="[limits]\nload_s = 1\nload_tries = 1")
    refused = await running.chat("deaf")
    error = json.loads(refused.body)["error"]
    assert error["code"] == "load_timeout"
    assert "waiting for /health on port" in error["message"]
    assert await running.instances() == []


async def test_a_program_that_holds_less_than_it_declares(gateway, place: Home) -> None:
    """What was measured of it could once not be written down, and the gateway ended."""
    running = gateway(program(place, "modest", engine='memory = { host = "300 MiB" }'))
    assert (await running.chat("modest", max_tokens=2)).status == 200
    assert (await running.instance("modest"))["bytes"] == {"host": 300 * 2**20}
    await eventually((place.state / "measurements.json").exists, "what was measured is written")
    assert (await running.chat("modest", max_tokens=2)).status == 200


async def test_what_a_program_declares_can_never_fit(gateway, place: Home) -> None:
    running = gateway(program(place, "huge", engine='memory = { host = "900 TiB" }'))
    refused = await running.chat("huge")
    assert refused.status == 503
    assert "900" in json.loads(refused.body)["error"]["message"]


def _gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()
