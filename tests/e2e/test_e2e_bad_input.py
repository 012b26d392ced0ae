"""Bad input gets a clear error that says what to do, and nothing else suffers from it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_process import Home, RunningGateway

from hostler.testing import http
from hostler.testing.gguf_files import write_tiny_gguf

pytestmark = pytest.mark.anyio


def _error(answer: http.Response) -> dict[str, object]:
    error = answer.json()["error"]
    assert isinstance(error, dict)
    return error


def _broken_files(place: Home, whole: bytes) -> list[str]:
    """Names of model files in the library, each damaged in another way."""
    files = {
        "cut-header": whole[:5000],
        "cut-weights": whole[: len(whole) // 2],
        "not-gguf": b"PK\x03\x04" + b"\0" * 5000,
        "corrupt": whole[:24] + b"\xff" * 64 + whole[88:2_000_000],
    }
    for name, data in files.items():
        (place.models / f"{name}.gguf").write_bytes(data)
    return [*files, "missing"]


BROKEN = ("cut-header", "cut-weights", "not-gguf", "corrupt", "missing")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, smollm2: Path, gemma: Path) -> Iterator[RunningGateway]:
    """One gateway with everything that can be wrong with a profile, and one that is good: it must not suffer."""
    place = Home(tmp_path_factory.mktemp("bad-input"))
    assert _broken_files(place, smollm2.read_bytes()) == list(BROKEN)
    write_tiny_gguf(place.models / "huge.gguf", fill_mib=3000)
    place.write(
        *(place.profile(name, place.models / f"{name}.gguf") for name in BROKEN),
        *(place.fake(name) for name in ("good", "coder", "huge", "odd", "big")),
        place.fake("alien", die_at_load="SIGILL"),
        place.fake("contrary", engine='extra_args = ["-c", "99"]'),
        place.profile("base", gemma),
        top='[limits]\nbody = "64 KiB"\n[memory]\nbudget = { host = "1 GiB" }',
    )
    running = RunningGateway(place)
    try:
        yield running.wait_ready()
    finally:
        running.close()


async def _loaded(running: RunningGateway) -> set[str]:
    return {each["profile"] for each in await running.instances()}


async def test_requests_that_are_wrong_are_told_what_is_wrong(shared: RunningGateway) -> None:
    running = shared
    malformed = await running.post("/v1/chat/completions", b'{"model": "coder", "messages": [}')
    assert malformed.status == 400
    assert "not JSON" in str(_error(malformed)["message"])

    for body in (b"", b"[]", b'"text"', b'{"model": 7}', b'{"model": "\xff"}'):
        answer = await running.post("/v1/chat/completions", body)
        assert answer.status == 400, body
        assert _error(answer)["source"] == "gateway"

    large = await running.chat("coder", "x" * 100_000)
    assert large.status == 413
    assert "65536 bytes" in str(_error(large)["message"])

    unknown = await running.chat("codr")
    assert unknown.status == 404
    assert "coder" in str(_error(unknown))

    nowhere = await running.get("/v1/nowhere")
    assert nowhere.status == 404
    wrong = await running.get("/v1/chat/completions")
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST, OPTIONS")

    assert (await running.chat("coder")).status == 200
    assert await running.idle()


async def test_broken_model_files_fail_their_profile_alone(shared: RunningGateway) -> None:
    running = shared
    for name in BROKEN:
        answer = await running.chat(name)
        assert answer.status >= 400, name
        assert f"{name}.gguf" in str(_error(answer)["message"])
        shown = await running.profile(name)
        assert shown["state"] == "failed", shown
        assert f"{name}.gguf" in shown["reason"]
        assert (await running.chat("good")).status == 200

    for name in ("cut-header", "corrupt"):
        assert any(word.strip(".,").isdigit() for word in (await running.profile(name))["reason"].split()), name
    listed = {each["name"]: each for each in await running.api("/api/profiles")}
    assert listed["cut-header"]["problem"]["code"]
    assert listed["good"]["state"] == "ready"
    assert await running.idle()


async def test_a_mended_file_is_taken_as_soon_as_it_is_asked_for_by_an_operator(gateway, place) -> None:
    model = place.models / "coder.gguf"
    model.write_bytes(b"nothing like it")
    running = gateway(place.fake("coder"))
    assert (await running.chat("coder")).status >= 400
    write_tiny_gguf(model)
    assert (await running.api("/api/profiles/coder/load", post=True))["state"] == "ready"
    assert (await running.chat("coder")).status == 200


async def test_a_build_for_another_cpu_says_so(shared: RunningGateway) -> None:
    running = shared
    answer = await running.chat("alien")
    assert answer.status == 502
    assert "SIGILL" in str(_error(answer)["message"])
    assert "another CPU" in str(_error(answer)["hint"])
    shown = await running.profile("alien")
    assert shown["state"] == "failed"
    assert "SIGILL" in shown["reason"]
    assert (await running.chat("good")).status == 200


async def test_what_can_never_fit_is_refused_before_loading(shared: RunningGateway) -> None:
    running = shared
    assert (await running.chat("good")).status == 200
    answer = await running.chat("huge")
    assert answer.status == 503
    message = str(_error(answer)["message"])
    assert "needs about 3.0 GiB" in message
    assert "1.0 GiB on host (" in message
    assert "`memory.budget`" in message
    assert answer.headers["x-should-retry"] == "false"
    loaded = await _loaded(running)
    assert "good" in loaded
    assert "huge" not in loaded
    assert not (running.home.logs / "engines" / "huge.log").exists()


async def test_a_port_in_use_says_by_what(gateway, place) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        place.write(place.fake("coder"))
        refused = place.cli("up", "--port", str(port))
    assert refused.code == 2
    assert str(port) in refused.err
    assert f"pid {os.getpid()}" in refused.err
    assert "Traceback" not in refused.err


async def test_a_full_queue_asks_to_come_back_later(gateway, place) -> None:
    running = gateway(place.fake("busy", rate=20, tokens=2000), top="[limits]\nqueue = 1\nload_grace_s = 0.1")
    assert (await running.chat("busy", max_tokens=2)).status == 200  # from here on it is loaded
    async with running.streaming("busy") as holding:
        assert holding.status == 200
        async with running.streaming("busy") as waiting:
            assert waiting.status == 200  # it waits: only a comment has come
            refused = await running.chat("busy")
    assert refused.status == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert _error(refused)["code"] == "queue_full"


async def test_a_wait_beyond_its_bound_asks_to_come_back_later(gateway, place) -> None:
    running = gateway(place.fake("busy", rate=20, tokens=2000), top="[limits]\nqueue_timeout_s = 1")
    await running.api("/api/profiles/busy/load", post=True)  # the first one must not wait for the load
    async with running.streaming("busy"):
        refused = await running.chat("busy")
    assert refused.status == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert _error(refused)["code"] == "queue_timeout"


async def test_chat_to_a_base_model_names_the_way_out(shared: RunningGateway) -> None:
    running = shared
    answer = await running.chat("base")
    assert answer.status == 400
    assert "/v1/completions" in str(_error(answer))
    assert "base" not in await _loaded(running)
    done = await running.post("/v1/completions", {"model": "base", "prompt": "The sea", "max_tokens": 4})
    assert done.status == 200


async def test_extra_arguments_that_contradict_are_named_with_what_they_contradict(shared: RunningGateway) -> None:
    running = shared
    answer = await running.chat("contrary")
    assert answer.status == 500
    message = str(_error(answer))
    assert "-c" in message
    assert "context" in message
    assert (await running.chat("good")).status == 200


async def test_a_wrong_configuration_is_told_at_start_with_file_line_and_key(place) -> None:
    place.config.write_text('[gateway]\nport = 0\n\n[profiles.a]\nmodle = "x.gguf"\n', encoding="utf-8")
    refused = place.cli("up")
    assert refused.code == 1
    assert f"{place.config}:5" in refused.err
    assert "modle" in refused.err
    assert "model" in refused.err
    assert "Traceback" not in refused.err


async def test_an_engine_that_answers_no_http_is_the_engines_fault(shared: RunningGateway) -> None:
    running = shared
    odd = await running.chat("odd", fake={"garbage_head": True})
    assert (odd.status, _error(odd)["source"]) == (502, "engine")
    scripted = await running.chat("big", fake={"error": 500, "error_mib": 0.5})
    assert scripted.status == 500
    assert len(scripted.body) > 2**19
    assert "scripted error" in json.loads(scripted.body)["error"]["message"]
    assert (await running.chat("odd")).status == 200
    assert await running.idle()
