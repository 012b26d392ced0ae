"""Real engines and models: answering, switching, hang-ups, and models that need no configuration."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from pathlib import Path

import pytest
from gateway_process import RunningGateway, chat_body, eventually

from hostler.events import ConfigReloaded, InstanceChanged, Swap
from hostler.testing import http

pytestmark = pytest.mark.anyio

SWAPPING = """
[memory]
budget = { host = "480 MiB" }
"""


def _starters(place, smollm2: Path, gemma: Path) -> list[str]:
    """Both starter models as profiles whose needs exceed SWAPPING's budget together, not alone."""
    return [
        place.profile("smollm2", smollm2, 'aliases = ["tiny"]\ncontext = 2048\nslots = 2'),
        place.profile("gemma3-270m", gemma, "slots = 2"),
    ]


async def test_the_starter_models_answer_and_switch(gateway, place, smollm2: Path, gemma: Path) -> None:
    running = gateway(*_starters(place, smollm2, gemma), top=SWAPPING, up=("smollm2",))
    needs = [(await running.profile(name))["need"]["host"] for name in ("smollm2", "gemma3-270m")]
    assert max(needs) < 480 * 2**20 < sum(needs)

    whole = await running.chat("tiny", max_tokens=12, ignore_eos=True)  # enough to tell a speed
    assert whole.status == 200
    assert whole.json()["usage"]["completion_tokens"] == 12
    async with running.streaming("smollm2", max_tokens=8) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        events = (await stream.read()).events()
        assert events[-1].data == "[DONE]"
        assert len(events) > 3

    base = await running.post("/v1/completions", {"model": "gemma3-270m", "prompt": "The sea is", "max_tokens": 8})
    assert base.status == 200
    assert base.json()["choices"][0]["text"]
    assert [each["profile"] for each in await running.instances()] == ["gemma3-270m"]
    swap = await running.event(Swap)
    assert (swap.profile, swap.evicted) == ("gemma3-270m", ("smollm2",))

    shown = running.cli("ps", "--json").json
    assert [(each["profile"], each["state"]) for each in shown] == [("gemma3-270m", "ready")]
    assert shown[0]["bytes"]["host"] > 2**27
    listed = {each["name"]: each for each in running.cli("ls", "--json").json}
    assert listed["smollm2"]["tokens_per_s"] > 0
    assert listed["smollm2"]["state"] == "unloaded"


def _random_request(dice: random.Random) -> tuple[str, dict[str, object]]:
    stream = dice.random() < 0.5
    common = {"max_tokens": dice.randint(4, 8), "stream": stream}
    if dice.random() < 0.5:
        return "/v1/chat/completions", chat_body("smollm2", f"Say {dice.randint(0, 9)}", **common)
    return "/v1/completions", {"model": "gemma3-270m", "prompt": f"The number {dice.randint(0, 9)} is", **common}


async def _ask(running: RunningGateway, dice: random.Random) -> None:
    path, body = _random_request(dice)
    answer = await http.request(running.address, "POST", path, body, timeout_s=120)
    assert answer.status == 200, answer
    assert answer.complete
    assert b'"error"' not in answer.body
    assert not body["stream"] or answer.events()[-1].data == "[DONE]"


async def _hang_up(running: RunningGateway, dice: random.Random) -> None:
    """Leave before the answer, or in the middle of it."""
    path, body = _random_request(dice)
    body |= {"max_tokens": 300, "ignore_eos": True, "stream": True}
    async with http.connected(running.address) as exchange:
        exchange.writer.write(http.encode("POST", path, running.address, body, None))
        await exchange.writer.drain()
        if dice.random() < 0.7:
            await exchange.read_head()
            async for _ in exchange.chunks():
                break


async def _crowd(running: RunningGateway, clients: int, each: int, leaving: float) -> int:
    """How many requests were answered whole; fails when one was answered with anything else."""
    answered = 0

    async def client(seed: int) -> None:
        nonlocal answered
        dice = random.Random(seed)
        for _ in range(each):
            if dice.random() < leaving:
                await _hang_up(running, dice)
            else:
                await _ask(running, dice)
                answered += 1

    async with asyncio.timeout(300), asyncio.TaskGroup() as group:
        for seed in range(clients):
            group.create_task(client(seed))
    return answered


async def test_200_requests_from_8_clients_over_two_models_that_do_not_fit_together(
    gateway, place, smollm2: Path, gemma: Path
) -> None:
    running = gateway(*_starters(place, smollm2, gemma), top=SWAPPING)
    assert await _crowd(running, clients=8, each=25, leaving=0.0) == 200
    assert len(await running.instances()) == 1
    assert await running.idle()
    kept = await running.api("/api/requests?limit=500")
    assert len(kept["recent"]) == 200
    assert {row["status"] for row in kept["recent"]} == {200}
    assert not any(row["cancelled"] for row in kept["recent"])


async def test_clients_that_hang_up_cost_the_others_nothing(gateway, place, smollm2: Path, gemma: Path) -> None:
    running = gateway(*_starters(place, smollm2, gemma), top=SWAPPING)
    assert await _crowd(running, clients=8, each=6, leaving=0.2) > 30
    await eventually(running.idle, "every lease ended")
    for path, body in (
        ("/v1/chat/completions", chat_body("smollm2", max_tokens=4)),
        ("/v1/completions", {"model": "gemma3-270m", "prompt": "One", "max_tokens": 4}),
    ):
        assert (await running.post(path, body)).status == 200
    assert await running.idle()


async def test_a_model_dropped_into_a_root_is_callable_by_its_name_at_once(gateway, place, smollm2: Path) -> None:
    root = place.base / "models-of-mine"
    root.mkdir()
    running = gateway(place.fake("other"), top=f'[library]\nroots = ["{root}"]')
    unknown = await running.chat("Newcomer-Q4_1")
    assert unknown.status == 404

    shutil.copy(smollm2, root / "Newcomer-Q4_1.gguf.part")
    os.replace(root / "Newcomer-Q4_1.gguf.part", root / "Newcomer-Q4_1.gguf")
    answer = await running.chat("Newcomer-Q4_1", max_tokens=4)
    assert answer.status == 200
    listed = {each["id"]: each for each in (await running.get("/v1/models")).json()["data"]}
    assert listed["Newcomer-Q4_1"]["hostler"]["state"] == "ready"
    assert "Newcomer-Q4_1" in {each["name"] for each in running.cli("ls", "--json").json}

    written = place.cli("profile", "new", "mine", "--from", "Newcomer-Q4_1")
    assert written.code == 0, written
    assert (await running.event(ConfigReloaded)).added == ("mine",)
    assert (await running.chat("mine", max_tokens=4)).status == 200


async def test_a_dropped_model_can_be_loaded_by_an_operator_at_once(gateway, place, smollm2: Path) -> None:
    running = gateway(place.fake("other"))
    shutil.copy(smollm2, place.models / "Second-Q4_1.gguf")
    assert running.cli("load", "Second-Q4_1", "--json").json["state"] == "ready"


async def test_a_model_that_is_idle_for_its_ttl_leaves(gateway, place, smollm2: Path) -> None:
    running = gateway(place.profile("smollm2", smollm2, 'ttl = "1s"'))
    assert (await running.chat("smollm2", max_tokens=4)).status == 200
    stopped = await running.event(InstanceChanged, lambda event: event.state == "stopping")
    assert "TTL" in stopped.reason
    await eventually(lambda: _none(running), "no instance")
    assert (await running.chat("smollm2", max_tokens=4)).status == 200


async def _none(running: RunningGateway) -> bool:
    return await running.instances() == []
