"""Engines that fail, clients that leave, lines that are long: nobody is forgotten, no lease is lost."""

from __future__ import annotations

import asyncio
import json

import anyio
import msgspec
import pytest
from gateway_fakes import ANSWER, EngineSide, Gateway, Heard, gateway_with

from hostler.accounts.keys import Keyring
from hostler.config.quantities import Bytes, Seconds
from hostler.config.settings import LimitSettings
from hostler.errors import EngineLost, LoadFailed
from hostler.gateway.relay.retrying import PAUSES_S

pytestmark = pytest.mark.anyio

CHAT = {"model": "tiny", "messages": []}
STREAM = CHAT | {"stream": True}
PATH = "/v1/chat/completions"


async def until(event: anyio.Event) -> None:
    with anyio.fail_after(5):
        await event.wait()


async def silent(heard: Heard, side: EngineSide) -> None:
    await side.gone()


async def test_a_stale_pooled_connection_is_replaced_once(gateway: Gateway) -> None:
    client = await gateway.client()
    assert (await client.ask(CHAT)).status == 200
    (side,) = gateway.engine.open

    async def close_then_answer(heard: Heard, again: EngineSide) -> None:
        if again is side:
            again.writer.close()
        else:
            await again.json(ANSWER)

    gateway.engine.script = close_then_answer
    assert (await client.ask(CHAT)).json() == ANSWER
    assert [lease.ends for lease in gateway.fleet.leases] == [[(200, False)], [(200, False)]]


async def test_an_engine_lost_before_its_first_byte_costs_nothing(gateway: Gateway) -> None:
    async def die_once(heard: Heard, side: EngineSide) -> None:
        if len(gateway.engine.heard) == 1:
            side.kill()
        else:
            await side.json(ANSWER)

    gateway.engine.script = die_once
    answer = await gateway.ask(CHAT)
    assert (answer.status, answer.json()) == (200, ANSWER)
    assert [lease.ends for lease in gateway.fleet.leases] == [[(502, False)], [(200, False)]]
    assert gateway.row.status == 200


async def test_an_engine_that_always_dies_is_an_error_in_the_end(gateway: Gateway) -> None:
    async def die(heard: Heard, side: EngineSide) -> None:
        side.kill()

    gateway.engine.script = die
    answer = await gateway.ask(CHAT)
    error = answer.json()["error"]
    assert (answer.status, error["code"], error["source"]) == (502, "engine_lost", "engine")
    assert len(gateway.engine.heard) == 1 + len(PAUSES_S)
    assert all(len(lease.ends) == 1 for lease in gateway.fleet.leases)


async def test_an_engine_that_dies_in_a_stream_ends_it_with_an_error_event(gateway: Gateway) -> None:
    async def die(heard: Heard, side: EngineSide) -> None:
        await side.stream_head()
        await side.event(b"1")
        await side.say(b"ff\r\ndata: half of")
        side.writer.close()

    gateway.engine.script = die
    answer = await gateway.ask(STREAM)
    assert answer.complete
    *_, error, done, _ = answer.body.split(b"\n\n")
    assert json.loads(error.removeprefix(b"data: "))["error"]["code"] == "engine_lost"
    assert done == b"data: [DONE]"
    assert gateway.row.status == 502
    assert (await gateway.ask(CHAT)).status == 502 or len(gateway.fleet.leases) > 1


async def test_an_engine_that_dies_in_a_plain_answer_cuts_it(gateway: Gateway) -> None:
    async def die(heard: Heard, side: EngineSide) -> None:
        await side.say(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        side.writer.close()

    gateway.engine.script = die
    answer = await gateway.ask(CHAT)
    assert not answer.complete
    assert gateway.fleet.leases[0].ends == [(502, False)]


async def test_a_surplus_byte_costs_the_connection_not_the_answer(gateway: Gateway) -> None:
    async def surplus(heard: Heard, side: EngineSide) -> None:
        await side.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}X")

    gateway.engine.script = surplus
    client = await gateway.client()
    assert [(await client.ask(CHAT)).body for _ in range(2)] == [b"{}", b"{}"]
    assert gateway.engine.connections == 2


@pytest.mark.parametrize("phase", ["prefill", "decode"])
async def test_a_client_that_leaves_is_gone_for_the_engine_too(gateway: Gateway, phase: str) -> None:
    there, noticed = anyio.Event(), anyio.Event()

    async def watch(heard: Heard, side: EngineSide) -> None:
        if phase == "decode":
            await side.stream_head()
            await side.event(b"1")
        there.set()
        await side.gone()
        noticed.set()

    gateway.engine.script = watch
    client = await gateway.client()
    client.send("POST", PATH, json.dumps(STREAM).encode())
    await until(there)
    if phase == "decode":
        await client.head()
    client.leave()
    await until(noticed)
    assert gateway.fleet.leases[0].ends == [(499, True)]
    assert (gateway.row.status, gateway.row.cancelled) == (499, True)
    assert gateway.inference.running == 0


async def test_a_client_that_leaves_after_the_last_event_had_its_answer(gateway: Gateway) -> None:
    noticed = anyio.Event()

    async def all_but_the_end(heard: Heard, side: EngineSide) -> None:
        await side.stream_head()
        await side.event(b"[DONE]")
        await side.gone()
        noticed.set()

    gateway.engine.script = all_but_the_end
    client = await gateway.client()
    client.send("POST", PATH, json.dumps(STREAM).encode())
    await client.head()
    assert await client.chunk() == b"data: [DONE]\n\n"
    client.leave()
    await until(noticed)
    assert gateway.fleet.leases[0].ends == [(200, True)]
    assert (gateway.row.status, gateway.row.cancelled) == (200, False)


async def test_a_client_that_leaves_after_a_large_body_is_noticed(gateway: Gateway) -> None:
    there = anyio.Event()

    async def watch(heard: Heard, side: EngineSide) -> None:
        there.set()
        await side.gone()

    gateway.engine.script = watch
    client = await gateway.client()
    client.send("POST", PATH, json.dumps(CHAT | {"padding": "x" * 2_000_000}).encode())
    await until(there)
    client.leave()
    await until(gateway.fleet.ended)


async def test_a_client_that_leaves_the_line_is_out_of_it(gateway: Gateway) -> None:
    gateway.fleet.ready = False
    client = await gateway.client()
    client.send("POST", PATH, json.dumps(CHAT).encode())
    await until(gateway.fleet.asked)
    client.leave()
    await until(gateway.fleet.left)
    assert gateway.engine.heard == []
    assert gateway.row.status == 499


async def test_a_reader_that_does_not_read_stops_the_engine_and_loses_nothing(gateway: Gateway) -> None:
    block, blocks = b"z" * 65_536, 400
    sent: list[int] = []

    async def flood(heard: Heard, side: EngineSide) -> None:
        await side.stream_head()
        for number in range(blocks):
            await side.event(block)
            sent.append(number)
        await side.stream_end()

    gateway.engine.script = flood
    client = await gateway.client()
    client.send("POST", PATH, json.dumps(STREAM).encode())
    assert (await client.head())[0] == 200
    quiet = -1
    while quiet != len(sent):  # until the engine is held back
        quiet = len(sent)
        await anyio.sleep(0.2)
    assert quiet < blocks
    body = b""
    while piece := await client.chunk():
        body += piece
    assert body.count(block) == blocks
    assert gateway.row.status == 200


async def test_waiting_streams_hear_comments_and_then_the_answer(keys: Keyring) -> None:
    async with gateway_with(keys, LimitSettings(load_grace_s=Seconds(0.05))) as gateway:
        gateway.fleet.ready = False
        client = await gateway.client()
        client.send("POST", PATH, json.dumps(STREAM).encode())
        assert (await client.head())[1]["content-type"] == "text/event-stream"
        comment = await client.chunk()
        assert comment == b': hostler profile="tiny" place=1 stage="loading tensors" fraction=0.40 elapsed=1.0\n\n'
        gateway.fleet.tickets[0].grant()
        assert (await client.chunk()).startswith(b'data: {"a":1}\n\n')


async def test_people_who_wait_read_it_in_the_reasoning_field_if_that_is_wanted(keys: Keyring) -> None:
    async with gateway_with(keys, LimitSettings(load_grace_s=Seconds(0))) as gateway:
        tiny = gateway.catalogue.served["tiny"]
        gateway.catalogue.served["tiny"] = msgspec.structs.replace(tiny, notes=True)
        gateway.fleet.ready = False
        client = await gateway.client()
        client.send("POST", PATH, json.dumps(STREAM).encode())
        await client.head()
        said = await client.chunk()
        comment, note = said.split(b"\n\n", 1)
        assert comment.startswith(b": hostler ")
        chunk = json.loads(note.removeprefix(b"data: "))
        assert chunk["object"] == "chat.completion.chunk"
        assert chunk["choices"][0]["delta"] == {
            "role": "assistant",
            "reasoning_content": "Loading tiny: loading tensors, 40%.\n",
        }
        gateway.fleet.tickets[0].grant()
        assert (await client.chunk()).startswith(b'data: {"a":1}\n\n')


async def test_an_answer_whose_request_waited_says_so(gateway: Gateway) -> None:
    at_once = await gateway.ask(CHAT)
    assert not [name for name in at_once.headers if name.startswith("x-hostler-queue")]
    gateway.fleet.ready = False
    client = await gateway.client()
    client.send("POST", PATH, json.dumps(CHAT).encode())
    await until(gateway.fleet.asked)
    gateway.fleet.tickets[0].grant().queue_ms = 2345.0
    answer = await client.answer()
    assert answer.headers["x-hostler-queue-place"] == "1"
    assert answer.headers["x-hostler-queue-waited"] == "2.3"


async def test_a_load_that_fails_quickly_keeps_its_status(gateway: Gateway) -> None:
    gateway.fleet.ready = False
    client = await gateway.client()
    client.send("POST", PATH, json.dumps(STREAM).encode())
    await until(gateway.fleet.asked)
    gateway.fleet.tickets[0].refuse(LoadFailed("The model file is broken."))
    answer = await client.answer()
    assert (answer.status, answer.json()["error"]["code"]) == (502, "load_failed")


async def test_a_load_that_fails_late_is_an_error_event(keys: Keyring) -> None:
    async with gateway_with(keys, LimitSettings(load_grace_s=Seconds(0))) as gateway:
        gateway.fleet.ready = False
        client = await gateway.client()
        client.send("POST", PATH, json.dumps(STREAM).encode())
        await client.head()
        gateway.fleet.tickets[0].refuse(LoadFailed("The model file is broken."))
        body = b""
        while piece := await client.chunk():
            body += piece
        assert b'"code":"load_failed"' in body
        assert body.endswith(b"data: [DONE]\n\n")


async def test_an_engines_error_after_comments_is_an_error_event(keys: Keyring) -> None:
    async def refuse(heard: Heard, side: EngineSide) -> None:
        await side.json({"error": {"message": "exceeds"}}, status="400 Bad Request")

    async with gateway_with(keys, LimitSettings(load_grace_s=Seconds(0))) as gateway:
        gateway.engine.script = refuse
        gateway.fleet.ready = False
        client = await gateway.client()
        client.send("POST", PATH, json.dumps(STREAM).encode())
        await client.head()
        gateway.fleet.tickets[0].grant()
        body = b""
        while piece := await client.chunk():
            body += piece
        assert body.endswith(b'data: {"error":{"message":"exceeds"}}\n\ndata: [DONE]\n\n')
        assert gateway.row.status == 400


async def test_a_full_queue_says_when_to_come_back(gateway: Gateway) -> None:
    gateway.fleet.ready, gateway.fleet.full = False, True
    answer = await gateway.ask(CHAT)
    assert (answer.status, answer.headers["retry-after"]) == (503, "4")


async def test_waiting_ends_at_its_bound(keys: Keyring) -> None:
    async with gateway_with(keys, LimitSettings(queue_timeout_s=Seconds(0.05))) as gateway:
        gateway.fleet.ready = False
        answer = await gateway.ask(CHAT)
        assert (answer.status, answer.json()["error"]["code"]) == (503, "queue_timeout")
        assert "retry-after" in answer.headers
        assert gateway.fleet.tickets[0].left


async def test_an_operators_cancel_reaches_client_and_engine(gateway: Gateway) -> None:
    there, noticed = anyio.Event(), anyio.Event()

    async def watch(heard: Heard, side: EngineSide) -> None:
        there.set()
        await side.gone()
        noticed.set()

    gateway.engine.script = watch
    client = await gateway.client()
    client.send("POST", PATH, json.dumps(CHAT).encode())
    await until(there)
    gateway.fleet.leases[0].take_back(cancelled=True)
    answer = await client.answer()
    assert (answer.status, answer.json()["error"]["code"]) == (499, "cancelled")
    await until(noticed)
    assert gateway.fleet.leases[0].ends == [(499, True)]


async def test_a_cancel_between_grant_and_use_is_not_lost(gateway: Gateway) -> None:
    """The operator was told that the request was cancelled, and it ran all the same."""
    gateway.fleet.ready = False
    client = await gateway.client()
    client.send("POST", PATH, json.dumps(CHAT).encode())
    await until(gateway.fleet.asked)
    gateway.fleet.tickets[0].grant().take_back(cancelled=True)
    assert (await client.answer()).json()["error"]["code"] == "cancelled"
    assert gateway.engine.heard == []
    assert gateway.fleet.leases[0].ends == [(499, False)]
    assert (gateway.row.status, gateway.row.cancelled) == (499, True)


async def test_a_lease_whose_engine_is_lost_is_replaced(gateway: Gateway) -> None:
    there = anyio.Event()

    async def hang_once(heard: Heard, side: EngineSide) -> None:
        if len(gateway.engine.heard) == 1:
            there.set()
            await side.gone()
        else:
            await side.json(ANSWER)

    gateway.engine.script = hang_once
    client = await gateway.client()
    client.send("POST", PATH, json.dumps(CHAT).encode())
    await until(there)
    gateway.fleet.leases[0].take_back(cancelled=False)
    assert (await client.answer()).json() == ANSWER


async def test_an_engine_that_dies_while_it_is_called_is_lost_once(gateway: Gateway) -> None:
    """The fleet and the broken connection both said so; the request was asked twice, and one lease never ended."""
    there, dead = gateway.fleet.endpoint, await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    gateway.fleet.endpoint = type(there)("127.0.0.1", dead.sockets[0].getsockname()[1], "k")
    dead.close()
    client = await gateway.client()
    client.send("POST", PATH, json.dumps(CHAT).encode())
    with anyio.fail_after(5):
        while not gateway.fleet.leases:
            await anyio.lowlevel.checkpoint()
    gateway.fleet.endpoint = there
    gateway.fleet.leases[0].take_back(cancelled=False)
    assert (await client.answer()).json() == ANSWER
    assert [lease.ends for lease in gateway.fleet.leases] == [[(502, False)], [(200, False)]]
    # Nothing is left that would ask once more after its pause.
    assert [task for task in asyncio.all_tasks() if "Exchange" in repr(task.get_coro())] == []


async def test_a_stream_ends_with_why_its_engine_was_lost(gateway: Gateway) -> None:
    async def hang(heard: Heard, side: EngineSide) -> None:
        await side.stream_head()
        await side.event(b'{"n": 1}')
        await side.gone()

    gateway.engine.script = hang
    client = await gateway.client()
    client.send("POST", PATH, json.dumps(STREAM).encode())
    await client.head()
    await client.chunk()
    error = EngineLost("The engine of `coder` hangs.")
    error.cause = "hang"
    gateway.fleet.leases[0].lost = error
    gateway.fleet.leases[0].take_back(cancelled=False)
    told = await client.chunk()
    assert b"The engine of `coder` hangs." in told
    assert b'"cause":"hang"' in told


@pytest.mark.parametrize(
    ("limits", "speaks"),
    [
        (LimitSettings(first_byte_s=Seconds(0.05)), False),
        (LimitSettings(idle_stream_s=Seconds(0.05)), True),
    ],
)
async def test_a_silent_engine_is_given_up(keys: Keyring, limits: LimitSettings, speaks: bool) -> None:
    async def fall_silent(heard: Heard, side: EngineSide) -> None:
        if speaks:
            await side.stream_head()
            await side.event(b"1")
        await side.gone()

    async with gateway_with(keys, limits) as gateway:
        gateway.engine.script = fall_silent
        answer = await gateway.ask(STREAM)
        assert b'"code":"engine_silent"' in answer.body
        assert answer.status == (200 if speaks else 504)
        assert gateway.fleet.leases[0].ends == [(504, True)]


async def test_an_engine_that_takes_no_connection_is_an_error(gateway: Gateway) -> None:
    free = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = free.sockets[0].getsockname()[1]
    free.close()
    gateway.fleet.endpoint = type(gateway.fleet.endpoint)("127.0.0.1", port, "k")
    answer = await gateway.ask(CHAT)
    assert (answer.status, answer.json()["error"]["code"]) == (502, "engine_lost")


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_over_the_limit_is_refused_without_reading_it(keys: Keyring, announced: bool) -> None:
    async with gateway_with(keys, LimitSettings(body=Bytes(1000))) as gateway:
        client = await gateway.client()
        framing = "Content-Length: 500000000" if announced else "Transfer-Encoding: chunked"
        client.writer.write(f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
        if not announced:
            client.writer.write(b"800\r\n" + b"x" * 2048 + b"\r\n")
        answer = await client.answer()
        assert answer.status == 413
        assert "1000 bytes" in answer.json()["error"]["message"]
        assert await client.reader.read() == b""
        assert gateway.engine.heard == []


async def test_heads_are_bounded_in_size(keys: Keyring) -> None:
    async with gateway_with(keys, LimitSettings(head=Bytes(4096))) as gateway:
        client = await gateway.client()
        client.writer.write(b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 10_000)
        assert (await client.answer()).status == 431


async def test_a_draining_gateway_takes_nothing_new_and_still_listens(gateway: Gateway) -> None:
    gateway.draining = True
    answer = await gateway.ask(CHAT)
    assert (answer.status, answer.json()["error"]["code"]) == (503, "draining")
    client = await gateway.client()
    assert (await client.get("/ready")).status == 503
    assert (await client.get("/health")).status == 200


@pytest.mark.parametrize(
    ("body", "path", "status", "code"),
    [
        (b"", PATH, 400, "invalid_request"),
        (b'{"a": 1', PATH, 400, "invalid_request"),
        (b'{"a": NaN}', PATH, 400, "invalid_request"),
        (b"[]", PATH, 400, "invalid_request"),
        (b'{"a": "\xff"}', PATH, 400, "invalid_request"),
        (b'\xef\xbb\xbf{"a": 1}', PATH, 400, "invalid_request"),
        (b'{"model": 5}', PATH, 400, "invalid_request"),
        (b'{"stream": "yes"}', PATH, 400, "invalid_request"),
        (b'{"a":' + b"[" * 100_000, PATH, 400, "invalid_request"),
        (b'{"model": "nope"}', PATH, 404, "model_not_found"),
        (b'{"model": "base"}', PATH, 400, "wrong_task"),
        (b'{"model": "tiny"}', "/v1/embeddings", 400, "wrong_task"),
    ],
)
async def test_bad_input_is_ours_to_refuse(gateway: Gateway, body: bytes, path: str, status: int, code: str) -> None:
    client = await gateway.client()
    answer = await client.ask(body, path)
    error = answer.json()["error"]
    assert (answer.status, error["code"], error["source"]) == (status, code, "gateway")
    assert gateway.engine.heard == []
    assert bool(gateway.row.profile) == (code == "wrong_task"), "what a profile refuses is counted as its own"
    assert (await client.ask(CHAT)).status == 200


async def test_keys(gateway: Gateway, keys: Keyring) -> None:
    key = keys.add("me")
    assert (await gateway.ask(CHAT)).status == 401
    assert (await gateway.ask(CHAT, headers="Authorization: Bearer wrong\r\n")).status == 401
    assert (await gateway.ask(CHAT, headers=f"Authorization: Bearer {key}\r\n")).status == 200
    assert (await gateway.ask(CHAT, headers=f"x-api-key: {key}\r\n")).status == 200
    assert {row.principal for row in gateway.recorder.rows} == {"me"}


async def test_errors_carry_the_request_its_profile_and_its_times(gateway: Gateway) -> None:
    named = "X-Request-Id: mine-1\r\n"
    unknown = await gateway.ask({"model": "nobody"}, headers=named)
    assert (unknown.status, unknown.headers["x-request-id"]) == (404, "mine-1")
    assert "x-hostler-profile" not in unknown.headers
    compressed = await gateway.ask(b"x", headers=named + "Content-Encoding: gzip\r\n")
    assert (compressed.status, compressed.headers["x-request-id"]) == (400, "mine-1")
    gateway.fleet.ready, gateway.fleet.full = False, True
    full = await gateway.ask(CHAT, headers=named)
    assert (full.status, full.headers["x-hostler-profile"]) == (503, "tiny")
    assert all("total;dur=" in each.headers["server-timing"] for each in (unknown, compressed, full))
