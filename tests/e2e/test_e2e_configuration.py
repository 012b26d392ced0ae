"""The configuration is edited while the gateway runs."""

from __future__ import annotations

import pytest

from hostler.events import ConfigRejected, ConfigReloaded, InstanceChanged

pytestmark = pytest.mark.anyio


async def test_an_edit_is_taken_without_touching_what_did_not_change(gateway, place) -> None:
    running = gateway(place.fake("kept"), place.fake("changed"))
    for name in ("kept", "changed"):
        assert (await running.chat(name)).status == 200
    before = {each["profile"]: each["pid"] for each in await running.instances()}

    place.write(
        place.fake("kept", 'description = "the same engine"\naliases = ["other-name"]'),
        place.fake("changed", "context = 1024"),
        place.fake("added"),
    )
    told = await running.event(ConfigReloaded)
    assert (set(told.added), set(told.changed), set(told.removed)) == ({"added"}, {"kept", "changed"}, set())
    for name in ("other-name", "changed", "added"):
        assert (await running.chat(name)).status == 200
    assert (await running.profile("kept"))["description"] == "the same engine"

    after = {each["profile"]: each for each in await running.instances()}
    assert after["kept"]["pid"] == before["kept"]
    assert after["changed"]["pid"] != before["changed"]
    assert after["changed"]["context"] == 1024
    assert set(after) == {"kept", "changed", "added"}


async def test_a_running_request_survives_the_removal_of_its_profile(gateway, place) -> None:
    running = gateway(place.fake("leaving", rate=50, tokens=100), place.fake("staying"))
    async with running.streaming("leaving") as stream:
        place.write(place.fake("staying"))
        assert (await running.event(ConfigReloaded)).removed == ("leaving",)
        answer = await stream.read()
    assert answer.events()[-1].data == "[DONE]"
    assert not any('"error"' in event.data for event in answer.events())


async def test_a_broken_edit_keeps_the_old_configuration_and_says_why(gateway, place) -> None:
    running = gateway(place.fake("coder"))
    assert (await running.chat("coder")).status == 200
    pid = (await running.instance("coder"))["pid"]

    good = place.config.read_bytes()
    place.config.write_bytes(good + b'\n[profiles.coder2]\nmodle = "x.gguf"\n')
    rejected = await running.event(ConfigRejected)
    assert "modle" in rejected.reason
    status = await running.api("/api/gateway")
    assert str(place.config) in status["config_error"]
    assert "modle" in status["config_error"]
    ready = await running.get("/ready")
    assert ready.status == 503
    assert "modle" in ready.json()["config_error"]
    assert (await running.chat("coder")).status == 200
    assert (await running.instance("coder"))["pid"] == pid
    refused = running.cli("reload")
    assert refused.code == 1
    assert "modle" in refused.err

    place.config.write_bytes(good)
    await running.event(ConfigReloaded)
    assert (await running.get("/ready")).status == 200
    assert (await running.api("/api/gateway"))["config_error"] == ""
    assert (await running.instance("coder"))["pid"] == pid


async def test_reload_tells_what_differs(gateway, place) -> None:
    running = gateway(place.fake("one"))
    place.write(place.fake("one"), place.fake("two"))
    told = running.cli("reload", "--json")
    assert told.code == 0, told
    seen = await running.event(ConfigReloaded)
    # The watch may have been first; then the command found nothing left to do.
    assert "two" in seen.added
    assert told.json["added"] in (["two"], [])
    assert (await running.chat("two")).status == 200


async def test_what_is_preloaded_decides_readiness(gateway, place) -> None:
    place.write(
        place.fake("slow", slow_start_s=0.3),
        place.fake("broken", exit_at_load=3),
        top='preload = ["slow", "broken"]',
    )
    running = gateway()
    async with running.events() as events:
        seen = set()
        while seen != {("slow", "ready"), ("broken", "failed")}:
            event = await events.until(InstanceChanged, lambda event: event.state in ("ready", "failed"))
            seen.add((event.profile, event.state))
    ready = await running.get("/ready")
    assert ready.status == 200
    assert ready.json()["profiles"] == {"slow": "ready", "broken": "failed"}


async def test_every_setting_is_shown_with_who_set_it(gateway, place) -> None:
    running = gateway(place.fake("coder"), top="[limits]\nqueue = 7", up=("--log-level", "debug"))
    shown = {each["key"]: each for each in await running.api("/api/config")}
    assert str(shown["limits.queue"]["value"]) == "7"
    assert "hostler.toml" in shown["limits.queue"]["source"]
    assert shown["log.level"]["source"].startswith("flag")
    assert shown["limits.drain_s"]["source"] == "default"
