"""Settings that are no profile's are changed while the gateway runs: in force at once, or named as waiting."""

from __future__ import annotations

import json
import sys

import pytest
from gateway_process import eventually

from hostler.events import ConfigReloaded
from hostler.testing.gguf_files import write_tiny_gguf

pytestmark = pytest.mark.anyio

PAGE = {"origin": "https://chat.example", "access-control-request-method": "POST"}


async def test_settings_are_in_force_at_once_or_named(gateway, place) -> None:
    from hostler.testing import http

    running = gateway(place.fake("coder"))
    text = "x" * 2000
    assert (await running.chat("coder", text)).status == 200
    refused = await http.request(running.address, "OPTIONS", "/v1/models", None, PAGE)
    assert "access-control-allow-origin" not in refused.headers
    assert "lease.granted" not in running.logged()

    place.write(
        place.fake("coder"),
        "[limits]\nbody = 1024\nload_s = 99",
        '[log]\nlevel = "debug"',
        top='host = "localhost"\npreload = ["coder"]\ncors = ["https://chat.example"]',
    )
    done = running.cli("reload")
    assert done.code == 0
    assert "At the next start of the gateway: gateway.host and gateway.preload." in done.out

    assert (await running.event(ConfigReloaded)).waiting == ("gateway.host", "gateway.preload")
    answered = await http.request(running.address, "OPTIONS", "/v1/models", None, PAGE)
    assert answered.headers["access-control-allow-origin"] == PAGE["origin"]
    large = await running.chat("coder", text)
    assert (large.status, large.json()["error"]["code"]) == (413, "body_too_large")
    assert (await running.chat("coder")).status == 200
    assert (await running.instance("coder"))["served"] == 2
    await eventually(lambda: "lease.granted" in running.logged(), "the log says what its new level has it say")


async def test_bounds_of_engines_hold_for_those_that_run_too(gateway, place) -> None:
    """One that ignores SIGTERM is killed after the new time, one that never gets ready given up after it."""
    argv = [sys.executable, "-m", "hostler.testing.fake_engine", "--port", "${PORT}", "-m", "${MODEL}"]
    kind = f'kind = "command"\nargv = {json.dumps([*argv, "--fake-ignore-term"])}'
    write_tiny_gguf(place.models / "deaf.gguf")
    deaf = f"[profiles.deaf]\nmodel = {json.dumps(str(place.models / 'deaf.gguf'))}\n[profiles.deaf.engine]\n{kind}\n"
    stuck = place.fake("stuck", never_ready=True)
    running = gateway(deaf, stuck, "[limits]\ngrace_s = 3000\nload_s = 3000")
    assert (await running.chat("deaf")).status == 200
    place.write(deaf, stuck, "[limits]\ngrace_s = 0.1\nload_s = 0.2")
    assert running.cli("reload").code == 0
    assert running.cli("unload", "deaf").code == 0
    answer = await running.chat("stuck")
    assert (answer.status, answer.json()["error"]["code"]) == (504, "load_timeout")
