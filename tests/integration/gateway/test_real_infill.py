"""Filling in, by the embedded engine: a model with the tokens for it, at llama.cpp's own path and by Ollama's API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from gateway_fakes import Gateway

from hostler.engines.protocol import Endpoint
from hostler.testing import http
from hostler.testing.gguf_files import with_metadata
from hostler.testing.launch import Running

pytestmark = pytest.mark.anyio

CODE = {"input_prefix": "def add(a, b):\n    return ", "input_suffix": "\n\nprint(add(1, 2))\n"}
#: Special tokens of SmolLM2 that it has for names of files and repositories.
PREFIX, SUFFIX, MIDDLE = 3, 5, 6
TOKENS = {
    f"tokenizer__ggml__fim_{name}_token_id": token
    for name, token in (("pre", PREFIX), ("suf", SUFFIX), ("mid", MIDDLE))
}


@pytest.fixture
async def filling(
    gateway: Gateway, real_engine: Callable[..., Awaitable[Running]], smollm2: Path, tmp_path: Path
) -> Gateway:
    model = with_metadata(smollm2, tmp_path / "fills.gguf", **TOKENS)
    engine = await real_engine(
        "--model", str(model), "--ctx-size", "512", "--parallel", "1", "--threads", "1", "--batch-size", "512"
    )
    gateway.fleet.endpoint = Endpoint("127.0.0.1", engine.port, engine.key)
    tiny = msgspec.structs.replace(gateway.catalogue.served["tiny"], context=512)
    gateway.catalogue.served["tiny"] = msgspec.structs.replace(tiny, sampling=tiny.sampling.__class__(temperature=0))
    return gateway


async def ask(gateway: Gateway, path: str, **fields: object) -> http.Response:
    body = {"model": "tiny", **fields}
    answer = await http.request(gateway.listener.getsockname(), "POST", path, body)
    assert answer.status == 200, answer.body
    return answer


async def test_what_stands_before_and_behind_is_filled_in(filling: Gateway) -> None:
    whole = (await ask(filling, "/infill", **CODE, n_predict=3)).json()
    assert (whole["tokens_predicted"], whole["stop_type"]) == (3, "limit")
    read = await ask(filling, "/detokenize", tokens=[PREFIX, SUFFIX, MIDDLE])
    marks = [f"<{mark}" for mark in str(read.json()["content"]).split("<")[1:]]
    prompt = str(whole["prompt"])
    assert [prompt.index(mark) for mark in marks] == sorted(prompt.index(mark) for mark in marks)
    assert CODE["input_prefix"] in prompt
    assert CODE["input_suffix"] in prompt

    events = (await ask(filling, "/infill", **CODE, n_predict=3, stream=True)).events()
    pieces = [event.json() for event in events]
    assert "".join(str(piece["content"]) for piece in pieces) == whole["content"]
    assert (pieces[-1]["stop"], pieces[-1]["stop_type"]) == (True, "limit")

    asked = {"prompt": CODE["input_prefix"], "suffix": CODE["input_suffix"], "options": {"num_predict": 3}}
    lines = [msgspec.json.decode(line) for line in (await ask(filling, "/api/generate", **asked)).body.splitlines()]
    assert "".join(line["response"] for line in lines) == whole["content"]
    assert (lines[-1]["done_reason"], lines[-1]["eval_count"]) == ("length", 3)
    assert [row.tokens_out for row in filling.recorder.rows if row.api != "detokenize"] == [3] * 3
