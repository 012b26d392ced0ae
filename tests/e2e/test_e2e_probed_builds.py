"""A build is asked which defects it has, once; nobody sees that but who asks for it."""

from __future__ import annotations

import json

import pytest
from gateway_process import eventually

from hostler.events import InstanceChanged, LeaseGranted
from hostler.testing.builds import write_build
from hostler.testing.gguf_files import write_tiny_gguf

pytestmark = pytest.mark.anyio


async def test_a_build_without_defects_is_found_out_behind_its_first_load(gateway, place) -> None:
    build = write_build(place.base / "builds", sound=True)
    write_tiny_gguf(place.models / "a.gguf")
    profile = place.profile("a", place.models / "a.gguf", "embeddings = true")
    running = gateway(profile, top=f"[engines]\ndefault_build = {json.dumps(str(build))}")
    assert running.cli("load", "a").code == 0
    await eventually(lambda: json.loads((place.state / "defects.json").read_bytes()), "the build was asked")

    (used,) = [each for each in running.cli("engine", "ls", "--json").json if each["active"]]
    assert len(used["defects"]) == 10
    assert set(used["defects"].values()) == {False}
    assert running.cli("usage", "--rows", "--json").out == ""

    answer = await running.post("/v1/responses", {"model": "a", "input": "The sea", "stream": True})
    events = [json.loads(event.partition(b"\ndata: ")[2]) for event in answer.body.split(b"\n\n") if event]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    async with running.events() as stream:
        await stream.until(LeaseGranted)  # the first one is that of the request
        assert {each.state for each in stream.seen if isinstance(each, InstanceChanged)} == {
            "starting",
            "loading",
            "ready",
        }
