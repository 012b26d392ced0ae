"""`auto` names: the profile that suits is asked, and another one when it fails before its first byte."""

from __future__ import annotations

import json

import anyio
import msgspec
import pytest
from gateway_fakes import ANSWER, EngineSide, Gateway, Heard, gateway_with, served

from hostler.accounts.keys import Keyring
from hostler.config.quantities import Seconds
from hostler.config.settings import LimitSettings, SamplingSettings
from hostler.errors import Draining, LoadFailed
from hostler.fleet.protocol import Needs, Served
from hostler.gateway.relay.retrying import PAUSES_S

pytestmark = pytest.mark.anyio

CHAT = {"model": "auto", "messages": []}
BIG = served("big", "chat", SamplingSettings(top_k=7))
SPARE = served("spare", "chat")


def offer(gateway: Gateway, *profiles: Served) -> list[Needs]:
    """Let `auto` mean these, in this order; what is asked of it."""
    asked: list[Needs] = []

    def choose(needs: Needs) -> tuple[Served, ...]:
        asked.append(needs)
        return profiles

    gateway.catalogue.served["auto"] = msgspec.structs.replace(profiles[0], choose=choose)
    return asked


async def until(event: anyio.Event) -> None:
    with anyio.fail_after(5):
        await event.wait()


async def test_the_chosen_profile_is_told_and_its_defaults_apply(gateway: Gateway) -> None:
    asked = offer(gateway, BIG, SPARE)
    answer = await gateway.ask(CHAT | {"tools": [{"type": "function", "function": {"name": "f"}}], "max_tokens": 100})
    assert (answer.status, answer.headers["x-hostler-profile"]) == (200, "big")
    assert asked[0].abilities == {"tools"}
    assert asked[0].tokens > 100
    assert json.loads(gateway.engine.heard[0].body)["top_k"] == 7
    assert gateway.row.profile == "big"


async def test_a_load_that_fails_falls_back(gateway: Gateway) -> None:
    """With the defaults of the profile that answers, not those of the one that failed."""
    offer(gateway, BIG, SPARE)
    gateway.fleet.ready = False
    client = await gateway.client()
    client.send("POST", "/v1/chat/completions", json.dumps(CHAT).encode())
    await until(gateway.fleet.asked)
    gateway.fleet.ready = True
    gateway.fleet.tickets[0].refuse(LoadFailed("It is broken."))
    answer = await client.answer()
    assert (answer.status, answer.headers["x-hostler-profile"]) == (200, "spare")
    assert "top_k" not in json.loads(gateway.engine.heard[0].body)
    assert [lease.profile for lease in gateway.fleet.leases] == ["spare"]
    assert gateway.row.profile == "spare"


async def test_a_stream_that_already_waits_goes_on_with_another(keys: Keyring) -> None:
    async with gateway_with(keys, LimitSettings(load_grace_s=Seconds(0))) as gateway:
        offer(gateway, BIG, SPARE)
        gateway.fleet.ready = False
        client = await gateway.client()
        client.send("POST", "/v1/chat/completions", json.dumps(CHAT | {"stream": True}).encode())
        assert (await client.head())[0] == 200
        assert (await client.chunk()).startswith(b":")
        gateway.fleet.ready = True
        gateway.fleet.tickets[0].refuse(LoadFailed("It is broken."))
        seen = b""
        while piece := await client.chunk():
            seen += piece
        assert seen.endswith(b"data: [DONE]\n\n")
        assert b"error" not in seen


async def test_an_engine_that_dies_before_its_first_byte_falls_back(gateway: Gateway) -> None:
    offer(gateway, BIG, SPARE)

    async def die_each_time(heard: Heard, side: EngineSide) -> None:
        if len(gateway.engine.heard) <= 1 + len(PAUSES_S):
            side.kill()
        else:
            await side.json(ANSWER)

    gateway.engine.script = die_each_time
    answer = await gateway.ask(CHAT)
    assert (answer.status, answer.headers["x-hostler-profile"]) == (200, "spare")
    assert all(len(lease.ends) == 1 for lease in gateway.fleet.leases)


async def test_an_engine_that_stays_silent_falls_back_and_is_watched(keys: Keyring) -> None:
    async with gateway_with(keys, LimitSettings(first_byte_s=Seconds(0.05))) as gateway:
        offer(gateway, BIG, SPARE)

        async def silent_once(heard: Heard, side: EngineSide) -> None:
            await (side.gone() if len(gateway.engine.heard) == 1 else side.json(ANSWER))

        gateway.engine.script = silent_once
        assert (await gateway.ask(CHAT)).headers["x-hostler-profile"] == "spare"
        assert [lease.ends for lease in gateway.fleet.leases] == [[(504, True)], [(200, False)]]


async def test_after_the_first_byte_nothing_falls_back(gateway: Gateway) -> None:
    offer(gateway, BIG, SPARE)

    async def die(heard: Heard, side: EngineSide) -> None:
        await side.stream_head()
        await side.event(b"1")
        side.writer.close()

    gateway.engine.script = die
    answer = await gateway.ask(CHAT | {"stream": True})
    assert b"engine_lost" in answer.body
    assert [lease.profile for lease in gateway.fleet.leases] == ["big"]


async def test_when_all_fail_the_last_error_is_the_answer(gateway: Gateway) -> None:
    offer(gateway, BIG, SPARE)
    gateway.fleet.full = True
    gateway.fleet.ready = False
    answer = await gateway.ask(CHAT)
    assert (answer.status, answer.json()["error"]["code"]) == (503, "queue_full")


async def test_the_end_of_the_gateway_is_the_same_for_all(gateway: Gateway) -> None:
    offer(gateway, BIG, SPARE)
    gateway.fleet.ready = False
    client = await gateway.client()
    client.send("POST", "/v1/chat/completions", json.dumps(CHAT).encode())
    await until(gateway.fleet.asked)
    gateway.fleet.tickets[0].refuse(Draining("The gateway is stopping."))
    assert (await client.answer()).status == 503
    assert len(gateway.fleet.tickets) == 1


async def test_a_client_that_left_while_it_fell_back_leaves_no_place_in_line(gateway: Gateway) -> None:
    offer(gateway, BIG, SPARE)
    gateway.fleet.ready = False
    client = await gateway.client()
    client.send("POST", "/v1/chat/completions", json.dumps(CHAT).encode())
    await until(gateway.fleet.asked)
    gateway.fleet.asked = anyio.Event()
    gateway.fleet.tickets[0].refuse(LoadFailed("It is broken."))
    await until(gateway.fleet.asked)
    client.leave()
    await until(gateway.fleet.left)
    assert [ticket.left for ticket in gateway.fleet.tickets] == [False, True]
