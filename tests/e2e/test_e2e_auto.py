"""One name for several profiles: by what is loaded, by what is asked, and when one of them is broken."""

from __future__ import annotations

import pytest
from gateway_process import Home

pytestmark = pytest.mark.anyio


async def test_a_request_goes_to_the_profile_that_suits(gateway, place: Home) -> None:
    running = gateway(
        place.fake("small", "context = 256"),
        place.fake("big", 'context = 2048\nabilities = ["tools"]'),
        '[auto.any]\nprofiles = ["small", "big"]',
    )

    async def served(**fields: object) -> str:
        answer = await running.chat("any", max_tokens=2, **fields)
        assert answer.status == 200, answer.body
        return str(answer.headers["x-hostler-profile"])

    assert await served() == "small"
    long = [{"role": "user", "content": "word " * 300}]
    assert await served(messages=long) == "big"
    pids = {each["profile"]: each["pid"] for each in await running.instances()}
    for path in ("/api/chat", "/api/generate"):  # the second has no prompt: it only loads
        said = {"model": "any", "messages": [{"role": "user", "content": "Hi"}], "options": {"num_ctx": 2048}}
        asked = await running.post(path, said)
        assert (asked.status, asked.headers["x-hostler-profile"]) == (200, "big")
        assert "x-hostler-changed" not in asked.headers
    assert {each["profile"]: each["pid"] for each in await running.instances()} == pids
    done = place.cli("unload", "small")
    assert done.code == 0, done.err
    assert await served() == "big"  # because it is loaded
    listed = (await running.get("/v1/models")).json()["data"]
    (entry,) = [each for each in listed if each["id"] == "any"]
    assert entry["context_length"] == 2048
    assert "small, big" in entry["hostler"]["description"]
    assert "any" in place.cli("ls").out


async def test_what_cannot_be_loaded_falls_back(gateway, place: Home) -> None:
    running = gateway(
        place.fake("broken", exit_at_load=3),
        place.fake("sound"),
        '[auto.any]\nprofiles = ["broken"]\nfallback = ["sound"]',
    )
    answer = await running.chat("any", max_tokens=2)
    assert (answer.status, answer.headers["x-hostler-profile"]) == (200, "sound")
    assert (await running.chat("broken", max_tokens=2)).status != 200
