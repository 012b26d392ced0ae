"""Requests that may not fit: counted by the engine before it is asked, bounded, refused, or sent to more context."""

from __future__ import annotations

import json

import anyio
import msgspec
import pytest
from gateway_fakes import ANSWER, EngineSide, Gateway, Heard, Script, served

from hostler.fleet.protocol import Needs, Served

pytestmark = pytest.mark.anyio

LONG = {"model": "tiny", "messages": [{"role": "user", "content": "sea " * 2000}]}
COUNTERS = {
    "/v1/chat/completions": b"/v1/chat/completions/input_tokens",
    "/v1/messages": b"/v1/messages/count_tokens",
    "/v1/responses": b"/v1/responses/input_tokens",
}
OVERFLOW = {
    "error": {
        "code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 5000, "n_ctx": 4096,
        "message": "request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it",
    }
}  # fmt: skip


def counting(tokens: int) -> Script:
    """An engine that counts so many in every prompt."""

    async def script(heard: Heard, side: EngineSide) -> None:
        path = heard.line.split()[1]
        if path == b"/tokenize":
            await side.json({"tokens": [1] * tokens})
        elif path in COUNTERS.values():
            await side.json({"input_tokens": tokens})
        elif json.loads(heard.body).get("stream"):
            await side.stream_head()
            await side.stream_end()
        else:
            await side.json(ANSWER)

    return script


def asked(path: str, **fields: object) -> dict[str, object]:
    text = "sea " * 2000
    if path == "/v1/responses":
        return {"model": "tiny", "input": text, **fields}
    if path in ("/v1/completions", "/completion"):
        return {"model": "tiny", "prompt": text, **fields}
    return {**LONG, **fields}


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/chat/completions", "max_tokens"), ("/v1/chat/completions", "max_completion_tokens"),
        ("/v1/messages", "max_tokens"), ("/v1/responses", "max_output_tokens"), ("/v1/completions", "max_tokens"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
async def test_a_bound_that_does_not_fit_becomes_what_is_left(
    gateway: Gateway, path: str, field: str, stream: bool
) -> None:
    gateway.engine.script = counting(2100)
    answer = await gateway.ask(asked(path, **{field: 3000}, stream=stream), path)
    assert (answer.status, answer.headers["x-hostler-changed"]) == (200, f"{field}=1996")
    count, real = gateway.engine.heard
    assert count.line.split()[1] == COUNTERS.get(path, b"/tokenize")
    assert json.loads(real.body)[field] == 1996
    assert gateway.engine.connections == 1
    assert len(gateway.fleet.leases) == 1


async def test_a_bound_that_fits_stays(gateway: Gateway) -> None:
    gateway.engine.script = counting(2100)
    answer = await gateway.ask({**LONG, "max_tokens": 1996})
    assert "x-hostler-changed" not in answer.headers
    assert json.loads(gateway.engine.heard[1].body)["max_tokens"] == 1996


async def test_a_prompt_of_tokens_is_counted_here(gateway: Gateway) -> None:
    body = {"model": "tiny", "prompt": [7] * 4000, "max_tokens": 200}
    answer = await gateway.ask(body, "/v1/completions")
    assert answer.headers["x-hostler-changed"] == "max_tokens=96"
    assert len(gateway.engine.heard) == 1
    over = await gateway.ask({**body, "prompt": [7] * 4096}, "/v1/completions")
    assert over.json()["error"]["code"] == "context_length_exceeded"
    assert len(gateway.engine.heard) == 1


async def test_an_agent_that_always_allows_too_much_is_not_counted(gateway: Gateway) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 32000}
    answer = await gateway.ask(body)
    assert answer.headers["x-hostler-changed"] == "max_tokens=4095"
    assert len(gateway.engine.heard) == 1


@pytest.mark.parametrize(
    ("path", "kind", "bounded"),
    [
        ("/v1/chat/completions", "openai", False),
        ("/v1/chat/completions", "openai", True),
        ("/v1/messages", "anthropic", True),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_does_not_fit_is_refused(
    gateway: Gateway, path: str, kind: str, stream: bool, bounded: bool
) -> None:
    """Counted before it is sent, or by the engine as it reads: the client hears the same."""

    async def refuse(heard: Heard, side: EngineSide) -> None:
        await side.json(OVERFLOW, "400 Bad Request")

    gateway.engine.script = counting(5000) if bounded else refuse
    answer = await gateway.ask({**LONG, "stream": stream} | ({"max_tokens": 100} if bounded else {}), path)
    error = answer.json()["error"]
    assert (answer.status, error["code"]) == (400, "context_length_exceeded")
    assert (error["n_prompt_tokens"], error["n_ctx"]) == (5000, 4096)
    assert "exceeds the available context size (4096 tokens)" in error["message"]
    assert error["type"] == "invalid_request_error"
    assert ("type" in answer.json()) == (kind == "anthropic")
    assert [lease.ends for lease in gateway.fleet.leases] == [[(400, False)]]
    assert gateway.row.status == 400


async def test_an_engine_that_cannot_count_is_asked_all_the_same(gateway: Gateway) -> None:
    async def script(heard: Heard, side: EngineSide) -> None:
        if heard.line.split()[1].endswith(b"/input_tokens"):
            await side.json({"error": {"code": 404, "message": "File Not Found"}}, "404 Not Found")
        else:
            await side.json(ANSWER)

    gateway.engine.script = script
    answer = await gateway.ask({**LONG, "max_tokens": 5000})
    assert (answer.status, answer.headers["x-hostler-changed"]) == (200, "max_tokens=4095")


async def test_an_engine_lost_while_it_counts_is_replaced(gateway: Gateway) -> None:
    async def script(heard: Heard, side: EngineSide) -> None:
        if len(gateway.engine.heard) == 1:
            side.kill()
        else:
            await side.json(ANSWER)

    gateway.engine.script = script
    assert (await gateway.ask({**LONG, "max_tokens": 3000})).status == 200


async def test_a_client_that_leaves_while_it_counts(gateway: Gateway) -> None:
    counting_now = anyio.Event()

    async def script(heard: Heard, side: EngineSide) -> None:
        counting_now.set()
        await side.gone()

    gateway.engine.script = script
    client = await gateway.client()
    client.send("POST", "/v1/chat/completions", json.dumps({**LONG, "max_tokens": 3000}).encode())
    await counting_now.wait()
    client.leave()
    with anyio.fail_after(5):
        await gateway.fleet.ended.wait()
    assert [lease.ends for lease in gateway.fleet.leases] == [[(499, False)]]
    assert len(gateway.engine.heard) == 1


@pytest.mark.parametrize("bounded", [False, True])
async def test_an_auto_name_turns_to_more_context(gateway: Gateway, bounded: bool) -> None:
    small, large = served("small", "chat"), msgspec.structs.replace(served("large", "chat"), context=8192)

    def choose(needs: Needs) -> tuple[Served, ...]:
        return ([one for one in (small, large) if needs.suits(one)] or [small])[0], small

    gateway.catalogue.served["auto"] = msgspec.structs.replace(small, choose=choose)

    async def script(heard: Heard, side: EngineSide) -> None:
        if heard.line.split()[1].endswith(b"/input_tokens"):
            await side.json({"input_tokens": 5000})
        elif len(gateway.fleet.leases) == 1:
            await side.json(OVERFLOW, "400 Bad Request")
        else:
            await side.json(ANSWER)

    gateway.engine.script = script
    answer = await gateway.ask({**LONG, "model": "auto"} | ({"max_tokens": 2000} if bounded else {}))
    assert (answer.status, answer.headers["x-hostler-profile"]) == (200, "large")
    assert [lease.profile for lease in gateway.fleet.leases] == ["small", "large"]


async def test_none_has_enough_context(gateway: Gateway) -> None:
    small = served("small", "chat")
    gateway.catalogue.served["auto"] = msgspec.structs.replace(small, choose=lambda _: (small, small))
    gateway.engine.script = counting(5000)
    answer = await gateway.ask({**LONG, "model": "auto", "max_tokens": 9})
    assert (answer.status, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert len(gateway.fleet.leases) == 1


async def test_a_programs_own_refusal_becomes_ours(gateway: Gateway) -> None:
    program = msgspec.structs.replace(served("vllm", "chat"), counts=False)
    gateway.catalogue.served["vllm"] = program

    async def refuse(heard: Heard, side: EngineSide) -> None:
        said = "This model's maximum context length is 900 tokens. However, you requested 2010 tokens."
        await side.json({"object": "error", "message": said, "code": 400}, "400 Bad Request")

    gateway.engine.script = refuse
    error = (await gateway.ask({**LONG, "model": "vllm", "max_tokens": 10**6})).json()["error"]
    assert (error["code"], error["n_prompt_tokens"], error["n_ctx"]) == ("context_length_exceeded", 2010, 900)
    assert len(gateway.engine.heard) == 1


async def test_ollamas_clients_hear_the_same(gateway: Gateway) -> None:
    body = {**LONG, "stream": False, "options": {"num_predict": 3000}}
    gateway.engine.script = counting(2100)
    answer = await gateway.ask(body, "/api/chat")
    assert (answer.status, answer.headers["x-hostler-changed"]) == (200, "options.num_predict=1996")
    assert gateway.engine.heard[0].line.split()[1] == COUNTERS["/v1/chat/completions"]
    gateway.engine.script = counting(5000)
    refused = await gateway.ask(body, "/api/chat")
    assert (refused.status, refused.json()["code"]) == (400, "context_length_exceeded")
    assert "exceeds the available context size (4096 tokens)" in refused.json()["error"]
