"""Conversations and slots with the embedded build: two that begin alike keep what was computed of each."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from hostler.fleet.prompts.slots import Slots
from hostler.gateway.asking.conversations import conversation_of
from hostler.gateway.asking.peek import placed
from hostler.testing import http
from hostler.testing.launch import Running

pytestmark = pytest.mark.anyio

SYSTEM = "You know every boat in the harbour, and the storm that is to come. " * 12


class Talks:
    """Conversations with one engine of two slots, each request sent where it belongs."""

    def __init__(self, engine: Running) -> None:
        self.slots = Slots(2)
        self._engine = engine
        self._turns: dict[str, list[dict[str, str]]] = {}

    async def say(self, name: str, text: str, tenant: str = "alice") -> tuple[int, int]:
        """One turn; tokens of its prompt, and how many of them the engine had already."""
        turns = self._turns.setdefault(name, [{"role": "system", "content": SYSTEM}])
        turns.append({"role": "user", "content": text})
        body = json.dumps({"messages": turns, "max_tokens": 4, "temperature": 0}).encode()
        place = self.slots.enter(tenant, conversation_of({}, body))
        assert place is not None
        headers = http.bearer(self._engine.key)
        answer = await http.request(
            self._engine.address, "POST", "/v1/chat/completions", json.loads(b"".join(placed(body, place))), headers
        )
        told = msgspec.json.decode(answer.body)
        self.slots.finished(tenant, place)
        self.slots.leave(place)
        turns.append({"role": "assistant", "content": told["choices"][0]["message"]["content"]})
        timings = told["timings"]
        return int(timings["prompt_n"]) + int(timings["cache_n"]), int(timings["cache_n"])


@pytest.fixture
async def talks(smollm2: Path, real_engine: Callable[..., Awaitable[Running]]) -> Talks:
    flags = ("--ctx-size", "2048", "--parallel", "2", "--threads", "2", "--slots", "--cache-ram", "0")
    return Talks(await real_engine("--model", str(smollm2), *flags))


async def test_interleaved_conversations_keep_their_prompts(talks: Talks) -> None:
    first, other = "How many boats are there? " * 8, "When does the storm come? " * 8
    read = {"one": (await talks.say("one", first))[0], "other": (await talks.say("other", other))[0]}
    for turn in range(2):
        for name in ("one", "other"):
            prompt, cached = await talks.say(name, f"And then? {turn}")
            assert cached >= read[name] - 8
            read[name] = prompt


async def test_another_tenant_finds_nothing(talks: Talks) -> None:
    await talks.say("one", "How many boats are there?", "alice")
    await talks.say("other", "When does the storm come?", "alice")
    assert (await talks.say("third", "How many boats are there?", "mallory"))[1] == 0
    assert (await talks.say("fourth", "How many boats are there?", "eve"))[1] == 0
