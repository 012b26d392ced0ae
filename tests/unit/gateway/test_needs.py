"""What a request asks of a profile, read off its body."""

from __future__ import annotations

import json

import pytest

from hostler.config.settings import SamplingSettings
from hostler.fleet.protocol import Served
from hostler.gateway.asking.needs import IMAGE_TOKENS, LONGEST_ANSWER, needs
from hostler.gateway.routes import INFERENCE

CHAT = INFERENCE[b"/v1/chat/completions"]
TOOL = {"type": "function", "function": {"name": "f"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 90_000}}
CLAUDES = {"type": "image", "source": {"type": "base64", "data": "A" * 90_000}}


def body(**fields: object) -> bytes:
    return json.dumps({"model": "auto", **fields}).encode()


@pytest.mark.parametrize(
    ("fields", "abilities"),
    [
        ({}, set()),
        ({"tools": [TOOL]}, {"tools"}),
        ({"tools": []}, set()),
        ({"tools": None}, set()),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, {"images"}),
        ({"messages": [{"role": "user", "content": [CLAUDES]}]}, {"images"}),
        ({"messages": [{"role": "user", "content": 'what is "image_url"?'}]}, set()),
        ({"reasoning_effort": "high"}, {"reasoning"}),
        ({"reasoning_effort": "none"}, set()),
        ({"reasoning": {"effort": "low"}, "tools": [TOOL]}, {"reasoning", "tools"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 100}}, {"reasoning"}),
        ({"thinking": {"type": "disabled"}}, set()),
        ({"max_tokens": "many"}, set()),
    ],
)
def test_abilities(fields: dict[str, object], abilities: set[str]) -> None:
    assert needs(CHAT, body(**fields)).abilities == abilities


def test_tokens_are_rather_too_many_than_too_few() -> None:
    words = "word " * 3000  # 3000 tokens
    assert 3000 < needs(CHAT, body(messages=[{"role": "user", "content": words}])).tokens < 6000
    assert needs(CHAT, body(max_tokens=1000)).tokens - needs(CHAT, body()).tokens in range(1000, 1010)
    assert needs(CHAT, body(max_tokens=10**9)).tokens < LONGEST_ANSWER + 100
    assert needs(CHAT, body(max_tokens=-1)).tokens < 100
    assert needs(CHAT, body(n_predict=1000)).tokens > 1000


@pytest.mark.parametrize(
    ("fields", "beside", "context"),
    [({}, 0, 0), ({"num_ctx": 16384}, 0, 16384), ({"n_ctx": 16384.0}, 4096, 16384), ({"n_ctx": None}, 4096, 4096)],
)
def test_the_room_that_a_client_wants(fields: dict[str, object], beside: int, context: int) -> None:
    assert needs(CHAT, body(**fields), beside).context == context


@pytest.mark.parametrize("image", [IMAGE, CLAUDES])
def test_the_bytes_of_an_image_are_not_its_tokens(image: dict[str, object]) -> None:
    assert IMAGE_TOKENS < needs(CHAT, body(messages=[{"role": "user", "content": [image]}])).tokens < IMAGE_TOKENS + 200


def test_what_the_api_wants_is_asked_too() -> None:
    embedding = Served(name="e", task="embedding", embeddings=False, sampling=SamplingSettings(), context=512)
    assert not needs(CHAT, b"{}").suits(embedding)
    assert needs(INFERENCE[b"/v1/embeddings"], b"{}").suits(embedding)
