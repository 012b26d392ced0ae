"""Prompts that survive a switch, as clients meet them: the next turn goes on, and nobody gets another one's."""

from __future__ import annotations

import asyncio
import json

import pytest
from gateway_process import Home, RunningGateway, chat_body, eventually

from hostler.events import PromptCache
from hostler.testing import http

pytestmark = pytest.mark.anyio

TALK = "the harbour master wrote down every boat " * 60
#: Reading takes long enough that restoring pays.
SLOW = {"first_token_ms": 600}


async def ask(up: RunningGateway, profile: str, text: str = TALK, key: str = "") -> int:
    """One chat; the tokens that its engine had already."""
    headers = http.bearer(key) if key else None
    answer = await up.post("/v1/chat/completions", chat_body(profile, text, max_tokens=1), headers)
    assert answer.status == 200, answer
    return int(json.loads(answer.body)["timings"]["cache_n"])


async def test_a_conversation_goes_on_after_a_switch_away_and_back(place: Home, gateway) -> None:
    up = gateway(place.fake("a", "context = 4096", **SLOW), place.fake("b"))
    assert await ask(up, "a") == 0
    await up.api("/api/profiles/b/switch", post=True)
    await up.event(PromptCache, lambda event: event.action == "saved")
    assert await ask(up, "a", TALK + "and then?") > 256
    await up.event(PromptCache, lambda event: event.action == "used")
    status = await eventually(lambda: used_once(up), "the use is counted")
    assert status["prompts"][0]["profile"] == "a"
    listed = await asyncio.to_thread(up.cli, "cache", "ls")
    assert listed.code == 0
    assert "1 used" in listed.out
    cleared = await asyncio.to_thread(up.cli, "cache", "clear", "--json")
    assert cleared.json["prompts"] == 1
    assert list((place.state / "prompts").glob("*.bin")) == []


async def test_a_conversation_goes_on_after_the_gateway_was_stopped(place: Home, gateway) -> None:
    up = gateway(place.fake("a", "context = 4096", **SLOW))
    assert await ask(up, "a") == 0
    up.signal()
    assert await up.ended() == 0
    assert len(list((place.state / "prompts").glob("*.bin"))) == 1
    assert await ask(gateway(), "a", TALK + "and then?") > 256


async def used_once(up: RunningGateway) -> dict[str, list[dict[str, object]]] | None:
    status: dict[str, list[dict[str, object]]] = await up.api("/api/models/cache/status")
    return status if [each["hits"] for each in status["prompts"]] == [1] else None


async def test_another_key_gets_nothing_of_it(place: Home, gateway) -> None:
    boss = place.cli("key", "new", "boss", "--scope", "admin").out.strip()
    alice, mallory = (place.cli("key", "new", name).out.strip() for name in ("alice", "mallory"))
    up = gateway(place.fake("a", "context = 4096", **SLOW), place.fake("b"))

    async def away() -> None:
        answer = await up.post("/api/profiles/b/switch", {}, http.bearer(boss))
        assert answer.status == 200, answer

    assert await ask(up, "a", key=alice) == 0
    await away()
    assert await ask(up, "a", key=mallory) == 0
    await away()
    assert await ask(up, "a", TALK + "and then?", key=alice) > 256
    answer = await up.get("/api/models/cache/status", http.bearer(boss))
    assert {each["tenant"] for each in json.loads(answer.body)["prompts"]} == {"alice", "mallory"}


async def test_switched_off_nothing_is_written(place: Home, gateway) -> None:
    up = gateway(place.fake("a", "context = 4096", **SLOW), place.fake("b"), top="[kv]\npersist = false")
    await ask(up, "a")
    await up.api("/api/profiles/b/switch", post=True)
    assert await ask(up, "a") == 0
    assert list((place.state / "prompts").glob("*.bin")) == []
