"""A program of the user's own behind a profile: asked, switched away, killed, and gone with the gateway."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_process import Home, RunningGateway, eventually, processes_of

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


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One gateway for those that need none of their own."""
    place = Home(tmp_path_factory.mktemp("programs"))
    place.write(
        program(place, "reads", "-c", "8192"),
        program(place, "modest", engine='memory = { host = "300 MiB" }'),
        program(place, "huge", engine='memory = { host = "900 TiB" }'),
        program(place, "ear", settings='task = "transcription"', engine='model_name = "whisper-1"'),
    )
    running = RunningGateway(place)
    try:
        yield running.wait_ready()
    finally:
        running.close()


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


async def test_what_a_program_keeps_of_prompts_is_its_own_affair(shared: RunningGateway) -> None:
    """However long its prompts are: nobody knows where it would write them, or what else could read them."""
    running = shared
    assert (await running.chat("reads", "word " * 4000, max_tokens=20)).status == 200
    assert running.cli("unload", "reads").code == 0
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


async def test_a_program_that_holds_less_than_it_declares(shared: RunningGateway) -> None:
    """What was measured of it could once not be written down, and the gateway ended."""
    running = shared
    assert (await running.chat("modest", max_tokens=2)).status == 200
    assert (await running.instance("modest"))["bytes"] == {"host": 300 * 2**20}
    await eventually((running.home.state / "measurements.json").exists, "what was measured is written")
    assert (await running.chat("modest", max_tokens=2)).status == 200


async def test_sound_reaches_a_program_by_its_task(shared: RunningGateway) -> None:
    """The fake has no such path, and says so itself; chat is refused by the gateway."""
    form = b'--xYz\r\nContent-Disposition: form-data; name="model"\r\n\r\near\r\n--xYz--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=xYz"}
    heard = await shared.post("/v1/audio/transcriptions", form, headers)
    assert (heard.status, heard.headers["x-hostler-source"]) == (404, "engine")
    assert heard.headers["x-hostler-profile"] == "ear"
    refused = await shared.chat("ear")
    assert refused.status == 400
    assert "does transcription, not chat" in refused.json()["error"]["message"]


async def test_what_a_program_declares_can_never_fit(shared: RunningGateway) -> None:
    refused = await shared.chat("huge")
    assert refused.status == 503
    assert "900" in json.loads(refused.body)["error"]["message"]


def _gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()
