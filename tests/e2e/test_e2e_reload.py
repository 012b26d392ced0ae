"""Settings that are no profile's are changed while the gateway runs: in force at once, or named as waiting."""

from __future__ import annotations

import pytest
from gateway_process import eventually

from hostler.events import ConfigReloaded

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
        top='host = "localhost"\ncors = ["https://chat.example"]',
    )
    done = running.cli("reload")
    assert done.code == 0
    assert "At the next start of the gateway: gateway.host and limits.load_s." in done.out

    assert (await running.event(ConfigReloaded)).waiting == ("gateway.host", "limits.load_s")
    answered = await http.request(running.address, "OPTIONS", "/v1/models", None, PAGE)
    assert answered.headers["access-control-allow-origin"] == PAGE["origin"]
    large = await running.chat("coder", text)
    assert (large.status, large.json()["error"]["code"]) == (413, "body_too_large")
    assert (await running.chat("coder")).status == 200
    assert (await running.instance("coder"))["served"] == 2
    await eventually(lambda: "lease.granted" in running.logged(), "the log says what its new level has it say")
