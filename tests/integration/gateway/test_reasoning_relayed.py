"""Reasoning through the relay: engines hear the knob in their words, clients read thoughts in the place for them."""

from __future__ import annotations

import json

import msgspec
import pytest
from gateway_fakes import EngineSide, Gateway, Heard

from hostler.config.sampling import RequestSettings, SamplingSettings
from hostler.models.reasoning import Thinking

pytestmark = pytest.mark.anyio

SAYS = {"model": "tiny", "messages": [{"role": "user", "content": "The sea?"}]}
ASKED: dict[str, dict[str, object]] = {
    "/v1/chat/completions": {**SAYS, "reasoning_effort": "none"},
    "/v1/messages": {**SAYS, "max_tokens": 9, "thinking": {"type": "disabled"}},
    "/v1/responses": {"model": "tiny", "input": "The sea?", "reasoning": {"effort": "none"}},
}
#: Where llama.cpp puts thoughts, whole and in a stream.
WHOLE: dict[str, dict[str, object]] = {
    "/v1/chat/completions": {"choices": [{"message": {"role": "assistant", "content": "", "reasoning_content": "Hm"}}]},
    "/v1/messages": {"type": "message", "content": [{"type": "thinking", "thinking": "Hm", "signature": ""}]},
    "/v1/responses": {
        "object": "response",
        "output": [{"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]}],
    },
}
PIECES = {
    "/v1/chat/completions": {"choices": [{"index": 0, "delta": {"reasoning_content": "Hm"}}]},
    "/v1/messages": {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm"}},
    "/v1/responses": {"type": "response.reasoning_text.delta", "delta": "Hm"},
}


def think(gateway: Gateway, **settings: object) -> None:
    gateway.catalogue.served["tiny"] = msgspec.structs.replace(
        gateway.catalogue.served["tiny"], sampling=SamplingSettings(), **settings
    )


@pytest.mark.parametrize("path", ASKED)
async def test_off_reaches_the_engine_and_thoughts_come_back_in_their_place(gateway: Gateway, path: str) -> None:
    think(gateway, thinking=Thinking(switch="enable_thinking", bounded=True))

    async def answer(heard: Heard, side: EngineSide) -> None:
        if not json.loads(heard.body).get("stream"):
            await side.json(WHOLE[path])
            return
        await side.stream_head()
        await side.event(json.dumps(PIECES[path]).encode())
        await side.stream_end()

    gateway.engine.script = answer
    whole = await gateway.ask(ASKED[path], path)
    assert json.loads(gateway.engine.heard[0].body)["chat_template_kwargs"] == {"enable_thinking": False}
    said = whole.json()
    for key, value in WHOLE[path].items():
        assert said[key] == value
    assert "x-hostler-changed" not in whole.headers
    stream = await gateway.ask({**ASKED[path], "stream": True}, path)
    assert b'"Hm"' in stream.body
    assert stream.status == 200


@pytest.mark.parametrize("path", ASKED)
async def test_a_model_that_does_not_reason_is_no_error_and_is_told(gateway: Gateway, path: str) -> None:
    think(gateway, thinking=Thinking())
    wanted = {"reasoning_effort": "high"} if path != "/v1/messages" else {"output_config": {"effort": "high"}}
    body = {name: value for name, value in ASKED[path].items() if name not in ("thinking", "reasoning")}
    answer = await gateway.ask({**body, **wanted}, path)
    assert answer.status == 200
    assert answer.headers["x-hostler-changed"] == "reasoning left out: the model has none"
    heard = json.loads(gateway.engine.heard[0].body)
    assert heard.keys().isdisjoint({"chat_template_kwargs", "thinking_budget_tokens", "reasoning_effort"})
    assert "effort" not in heard.get("output_config", {})


async def test_what_a_profile_changes_is_told_and_streams_say_it_too(gateway: Gateway) -> None:
    rules = RequestSettings(strip=("user",), set={"top_k": 3})
    think(gateway, thinking=Thinking(levels=("low", "medium", "high")), reasoning="minimal", request=rules)
    body = {**SAYS, "user": "u", "top_k": 9, "id_slot": 2, "stream": True}
    answer = await gateway.ask(body)
    told = answer.headers["x-hostler-changed"].split(", ")
    assert told == ["id_slot left out", "user left out", "top_k set", "reasoning minimal is low here"]
    heard = json.loads(gateway.engine.heard[0].body)
    assert {name: heard.get(name) for name in ("top_k", "user", "id_slot", "chat_template_kwargs")} == {
        "top_k": 3,
        "user": None,
        "id_slot": None,
        "chat_template_kwargs": {"reasoning_effort": "low"},
    }
