"""A home that cannot be written: said clearly, and requests are served where that is possible."""

from __future__ import annotations

import pytest
from gateway_process import eventually

from hostler.events import StateUnwritable

pytestmark = pytest.mark.anyio


async def test_a_state_folder_that_is_a_file_is_said_clearly(place) -> None:
    place.write(place.fake("coder"))
    place.state.write_text("not a folder")
    refused = place.cli("up")
    assert refused.code != 0
    assert str(place.state) in refused.err
    assert "HOSTLER_HOME" in refused.err
    assert "Traceback" not in refused.err


async def test_requests_are_served_without_a_ledger_and_losses_are_counted(gateway, place) -> None:
    (place.state / "hostler.db").mkdir(parents=True)
    running = gateway(place.fake("coder"))
    for _ in range(3):
        assert (await running.chat("coder")).status == 200
    kept = await running.api("/api/requests")
    assert len(kept["recent"]) == 3  # those that could not be written yet
    await eventually(lambda: "hostler.db" in running.logged(), "the log says that the ledger cannot be written")
    running.signal()
    assert await running.ended() == 0


async def test_requests_are_served_without_logs_records_and_measurements(gateway, place) -> None:
    place.state.mkdir()
    for blocked in (place.logs, place.state / "engines", place.state / "slots", place.state / "measurements.json"):
        if blocked.suffix:
            blocked.mkdir()
        else:
            blocked.write_text("in the way")
    running = gateway(place.fake("coder"))
    assert (await running.chat("coder")).status == 200
    async with running.streaming("coder") as stream:
        assert (await stream.read()).events()[-1].data == "[DONE]"


async def test_a_disk_that_is_full_costs_no_request(gateway, place) -> None:
    place.write(place.fake("coder"), place.fake("other"))
    running = gateway(largest_file=8192)
    for count in range(100):
        assert (await running.chat("coder" if count % 10 else "other")).status == 200
    assert (await running.api("/api/requests?limit=200"))["recent"]
    assert (await running.get("/health")).status == 200
    assert running.cli("ps", "--json").code == 0


async def test_what_cannot_be_written_is_told_until_it_can_be(gateway, place) -> None:
    """The ledger's file has no room for another page; the audit's folder entry is no file."""
    place.write(place.fake("coder"))
    (place.state / "audit.jsonl").mkdir(parents=True)
    running = gateway(largest_file=8192)
    for _ in range(20):
        assert (await running.chat("coder")).status == 200
    assert (await running.post("/api/profiles/coder/pin")).status == 200
    told = {
        part: await running.event(StateUnwritable, lambda e, part=part: e.part == part) for part in ("ledger", "audit")
    }
    assert all(event.active and event.reason for event in told.values())
    ready = await running.get("/ready")
    assert ready.status == 200
    assert {"ledger", "audit"} <= set(ready.json()["unwritable"])
    found = running.cli("doctor", "--json").json
    assert {"recording"} <= {each["check"] for each in found if each["level"] == "problem"}
    (place.state / "audit.jsonl").rmdir()
    assert (await running.post("/api/profiles/coder/pin")).status == 200
    await running.event(StateUnwritable, lambda e: e.part == "audit" and not e.active)
    assert "audit" not in (await running.api("/api/gateway"))["unwritable"]
