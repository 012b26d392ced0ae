"""The exact edges of a context of 256 tokens, with the embedded engine and a real tokenizer, in every API.

What the engine puts around the words is told by its own refusal of too many.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from gateway_fakes import Gateway

from hostler.engines.protocol import Endpoint
from hostler.testing import http
from hostler.testing.launch import Running

pytestmark = pytest.mark.anyio

CONTEXT = 256
APIS = ("/v1/chat/completions", "/v1/messages", "schema", "/v1/responses", "/v1/completions", "tokens", "/completion")
FORMAT = {"type": "json_schema", "schema": {"type": "object"}}


def body(api: str, words: int, **fields: object) -> dict[str, object]:
    """A request with a prompt that grows by one token with each word."""
    text = " sea" * words
    if api == "tokens":
        return {"model": "tiny", "prompt": [5] * words, **fields}
    if api in ("/v1/completions", "/completion"):
        return {"model": "tiny", "prompt": text, **fields}
    if api == "/v1/responses":
        return {"model": "tiny", "input": text, **fields}
    always = {"max_tokens": 1} if api in ("/v1/messages", "schema") else {}
    if api == "schema":
        fields = {"output_config": {"format": FORMAT}, **fields}
    return {"model": "tiny", "messages": [{"role": "user", "content": text}], **always, **fields}


def bound(api: str) -> str:
    return {"/v1/responses": "max_output_tokens", "/completion": "n_predict"}.get(api, "max_tokens")


async def ask(gateway: Gateway, api: str, words: int, **fields: object) -> http.Response:
    path = {"tokens": "/v1/completions", "schema": "/v1/messages"}.get(api, api)
    return await http.request(gateway.listener.getsockname(), "POST", path, body(api, words, **fields))


@pytest.fixture
async def tiny(gateway: Gateway, real_engine: Callable[..., Awaitable[Running]], smollm2: Path) -> Gateway:
    engine = await real_engine(
        "--model", str(smollm2), "--ctx-size", str(CONTEXT), "--parallel", "1", "--threads", "2", "--jinja"
    )
    gateway.fleet.endpoint = Endpoint("127.0.0.1", engine.port, engine.key)
    gateway.catalogue.served["tiny"] = msgspec.structs.replace(gateway.catalogue.served["tiny"], context=CONTEXT)
    return gateway


async def around(gateway: Gateway, api: str) -> int:
    """Tokens that the engine puts around the words."""
    over = await ask(gateway, api, 2 * CONTEXT)
    error = over.json()["error"]
    assert isinstance(error, dict)
    assert (over.status, error["code"], error["n_ctx"]) == (400, "context_length_exceeded", CONTEXT)
    return int(error["n_prompt_tokens"]) - 2 * CONTEXT


async def test_nothing_is_cut_off(tiny: Gateway) -> None:
    for api in APIS:
        await check_edges(tiny, api)
    await check_end(tiny)


async def check_edges(tiny: Gateway, api: str) -> None:
    """One token of room is enough for an answer of one; with none left it is refused, streamed or not."""
    fits = CONTEXT - 1 - await around(tiny, api)
    for fields in ({}, {bound(api): 50}, {bound(api): 50, "stream": True}):
        last = await ask(tiny, api, fits, **fields)
        assert last.status == 200, (fields, last.body)
        assert last.headers.get("x-hostler-changed") == (f"{bound(api)}=1" if fields else None)
        if api == "/v1/responses":
            assert b'{"reason":"max_output_tokens"}' in last.body
        over = await ask(tiny, api, fits + 1, **fields)
        error = over.json()["error"]
        assert isinstance(error, dict)
        assert (over.status, error["code"]) == (400, "context_length_exceeded")
        assert (error["n_prompt_tokens"], error["n_ctx"]) == (CONTEXT, CONTEXT)


async def check_end(tiny: Gateway) -> None:
    """An answer ends at the end of the context, and says so; no beginning is dropped to go on."""
    words = CONTEXT - 4 - await around(tiny, "/completion")
    answer = (await ask(tiny, "/completion", words, n_predict=-1, ignore_eos=True)).json()
    assert (answer["tokens_predicted"], answer["stop_type"], answer["truncated"]) == (4, "limit", True)
    words = CONTEXT - 4 - await around(tiny, "/v1/responses")
    for fields, status in (({}, "incomplete"), ({"max_output_tokens": 50}, "incomplete")):
        said = (await ask(tiny, "/v1/responses", words, ignore_eos=True, **fields)).json()
        assert (said["status"], said["incomplete_details"]) == (status, {"reason": "max_output_tokens"})
    streamed = await ask(tiny, "/v1/responses", words, ignore_eos=True, stream=True)
    assert streamed.body.decode().strip().split("\n\n")[-1].startswith("event: response.incomplete\n")
