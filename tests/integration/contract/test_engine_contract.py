"""What every llama.cpp server says, in shape: runs unchanged against the fake and the real build.

Nothing here looks at generated text. A difference between the two is a bug of the fake.
"""

from __future__ import annotations

import asyncio
import base64
import math
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import pytest

from hostler.testing.http import Event, Response, bearer, connected, encode, parse_events, request, stream
from hostler.testing.launch import NotStarted, Running, running_program

pytestmark = pytest.mark.anyio

Json = dict[str, object]
CHAT = "/v1/chat/completions"
SAY: Json = {"messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 4, "temperature": 0}
LONG: Json = {
    "messages": [{"role": "user", "content": "Tell of the sea"}],
    "max_tokens": 1500,
    "ignore_eos": True,
    "stream": True,
    # Understood by the fake alone: as slow as a real model is.
    "fake": {"rate": 100},
}
OVERLONG: Json = {"messages": [{"role": "user", "content": "word " * 3000}], "max_tokens": 4}
TIMINGS = {
    "cache_n",
    "prompt_n",
    "prompt_ms",
    "prompt_per_token_ms",
    "prompt_per_second",
    "predicted_n",
    "predicted_ms",
    "predicted_per_token_ms",
    "predicted_per_second",
}
USAGE = {"completion_tokens", "prompt_tokens", "total_tokens", "prompt_tokens_details"}
CHUNK = {"choices", "created", "id", "model", "system_fingerprint", "object"}


async def ask(engine: Running, path: str, body: Json | bytes | None = None, method: str = "") -> Response:
    """One authorised request."""
    method = method or ("GET" if body is None else "POST")
    return await request(engine.address, method, path, body, bearer(engine.key))


def obj(value: object) -> Json:
    assert isinstance(value, dict)
    return cast(Json, value)


def items(value: object) -> list[Json]:
    assert isinstance(value, list)
    return [obj(item) for item in value]


def number(value: object) -> float:
    assert isinstance(value, int | float)
    return value


def check_timings(value: object, prompt: float, predicted: float) -> None:
    timings = {name: number(part) for name, part in obj(value).items()}
    assert set(timings) == TIMINGS
    assert timings["cache_n"] + timings["prompt_n"] == prompt
    assert timings["predicted_n"] == predicted
    assert timings["prompt_per_second"] == pytest.approx(timings["prompt_n"] / timings["prompt_ms"] * 1e3, rel=0.05)
    steps = predicted - 1
    assert timings["predicted_per_second"] == pytest.approx(steps / timings["predicted_ms"] * 1e3, rel=0.05)


def check_usage(value: object) -> tuple[float, float]:
    usage = obj(value)
    assert set(usage) == USAGE
    prompt, completion = number(usage["prompt_tokens"]), number(usage["completion_tokens"])
    assert usage["total_tokens"] == prompt + completion
    assert set(obj(usage["prompt_tokens_details"])) == {"cached_tokens"}
    return prompt, completion


def check_error(response: Response, status: int, kind: str, *more: str) -> None:
    assert response.status == status
    assert response.headers["connection"] == "close"
    error = obj(response.json()["error"])
    assert set(error) == {"code", "message", "type", *more}
    assert (error["code"], error["type"]) == (status, kind)


async def until(condition: Callable[[], object], bound_s: float = 20.0) -> None:
    """Ask until it is so."""
    async with asyncio.timeout(bound_s):
        while not await condition():  # type: ignore[misc]
            await asyncio.sleep(0.1)


async def busy_slots(engine: Running) -> int:
    slots = (await ask(engine, "/slots")).body
    return slots.count(b'"is_processing":true')


# Heads and keys


async def test_health_needs_no_key_and_has_the_servers_head(engine: Running) -> None:
    response = await request(engine.address, "GET", "/health")
    assert (response.status, response.json()) == (200, {"status": "ok"})
    assert response.headers == {
        "server": "llama.cpp",
        "access-control-allow-origin": "",
        "content-type": "application/json; charset=utf-8",
        "content-length": "15",
        "keep-alive": "timeout=5, max=100",
    }
    assert response.raw_head.startswith(b"HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nAccess-Control-Allow-Origin: \r\n")


@pytest.mark.parametrize("path", ["/v1/models", "/slots", "/metrics", "/props", "/nothing", CHAT])
async def test_everything_else_needs_one(engine: Running, path: str) -> None:
    for headers in ({}, bearer("wrong"), {"x-api-key": "wrong"}):
        method, body = ("POST", SAY) if path == CHAT else ("GET", None)
        check_error(await request(engine.address, method, path, body, headers), 401, "authentication_error")


async def test_a_key_comes_as_bearer_or_as_x_api_key(engine: Running) -> None:
    for headers in (bearer(engine.key), {"X-Api-Key": engine.key}):
        assert (await request(engine.address, "GET", "/v1/models", None, headers)).status == 200


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nothing"), ("GET", CHAT), ("DELETE", "/v1/models"), ("GET", "/v1/models/tiny")]
)
async def test_unknown_paths(engine: Running, method: str, path: str) -> None:
    check_error(await ask(engine, path, method=method), 404, "not_found_error")


async def test_the_hundredth_answer_on_a_connection_is_its_last(engine: Running) -> None:
    async with connected(engine.address) as exchange:
        for turn in range(100):
            exchange.writer.write(encode("GET", "/health", engine.address, None, None))
            head = await exchange.read_head()
            assert (await exchange.read()).complete
            assert (head.headers.get("connection") == "close") is (turn == 99)
        assert await exchange.reader.read() == b""


async def test_a_body_in_chunks_is_understood(engine: Running) -> None:
    body = b'{"content":"hello"}'
    headers = {"transfer-encoding": "chunked", "content-type": "application/json", **bearer(engine.key)}
    async with connected(engine.address) as exchange:
        exchange.writer.write(encode("POST", "/tokenize", engine.address, None, headers))
        exchange.writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        assert (await exchange.read_head()).status == 200


async def test_what_is_not_http_gets_400(engine: Running) -> None:
    async with connected(engine.address) as exchange:
        exchange.writer.write(b"NONSENSE\r\n\r\n")
        head = await exchange.read_head()
        assert (head.status, head.headers["connection"], head.headers["content-length"]) == (400, "close", "0")


# What it tells of itself


async def test_models(engine: Running) -> None:
    for path in ("/v1/models", "/models"):
        body = (await ask(engine, path)).json()
        assert set(body) == {"models", "object", "data"}
        (model,) = items(body["data"])
        assert set(model) == {"id", "aliases", "tags", "object", "architecture", "created", "owned_by", "meta"}
        assert (model["id"], obj(model["meta"])["n_ctx"]) == ("tiny", 2048)
        assert set(obj(model["meta"])) == {
            "vocab_type",
            "n_vocab",
            "n_ctx",
            "n_ctx_train",
            "n_embd",
            "n_params",
            "size",
            "ftype",
        }


async def test_props(engine: Running) -> None:
    body = (await ask(engine, "/props")).json()
    assert {"default_generation_settings", "total_slots", "model_alias", "model_path", "modalities"} <= set(body)
    assert {"chat_template", "chat_template_caps", "bos_token", "eos_token", "build_info"} <= set(body)
    assert body["total_slots"] == 2
    settings = obj(body["default_generation_settings"])
    assert (set(settings), settings["n_ctx"]) == ({"params", "n_ctx"}, 2048)
    assert {"temperature", "top_k", "samplers", "n_predict"} <= set(obj(settings["params"]))


async def test_slots_and_metrics(engine: Running) -> None:
    await ask(engine, CHAT, SAY)
    slots = items_of(await ask(engine, "/slots"))
    assert [slot["id"] for slot in slots] == [0, 1]
    assert all({"id", "n_ctx", "speculative", "is_processing"} <= set(slot) for slot in slots)
    used = next(slot for slot in slots if "id_task" in slot)
    assert {"n_prompt_tokens", "n_prompt_tokens_processed", "n_prompt_tokens_cache", "params"} <= set(used)
    (token,) = items(used["next_token"])
    assert set(token) == {"has_next_token", "has_new_line", "n_remain", "n_decoded"}

    page = await ask(engine, "/metrics")
    assert page.headers["content-type"] == "text/plain; version=0.0.4"
    values = dict(line.split(" ") for line in page.body.decode().splitlines() if not line.startswith("#"))
    assert {name.partition(":")[2] for name in values} == {
        "prompt_tokens_total",
        "prompt_tokens_cached_total",
        "prompt_seconds_total",
        "tokens_predicted_total",
        "tokens_predicted_seconds_total",
        "n_decode_total",
        "n_tokens_max",
        "spec_decode_num_draft_tokens_total",
        "spec_decode_num_accepted_tokens_total",
        "spec_decode_num_drafts_total",
        "prompt_tokens_seconds",
        "predicted_tokens_seconds",
        "requests_processing",
        "requests_deferred",
        "n_busy_slots_per_decode",
    }
    assert float(values["llamacpp:tokens_predicted_total"]) >= 4


def items_of(response: Response) -> list[Json]:
    """The body's array."""
    assert response.status == 200
    return items(cast(object, response.json()))


# Chat


async def test_chat(engine: Running) -> None:
    body = (await ask(engine, CHAT, SAY)).json()
    assert set(body) == {*CHUNK, "usage", "timings"}
    assert body["object"] == "chat.completion"
    assert body["model"] == "tiny"
    (choice,) = items(body["choices"])
    assert set(choice) == {"finish_reason", "index", "message"}
    assert choice["finish_reason"] == "length"
    assert set(obj(choice["message"])) == {"role", "content"}
    prompt, completion = check_usage(body["usage"])
    assert completion == 4
    check_timings(body["timings"], prompt, completion)


async def test_the_same_prompt_again_is_cached_but_for_its_last_token(engine: Running) -> None:
    await ask(engine, CHAT, SAY | {"id_slot": 0})
    usage = obj((await ask(engine, CHAT, SAY | {"id_slot": 0})).json()["usage"])
    assert obj(usage["prompt_tokens_details"])["cached_tokens"] == number(usage["prompt_tokens"]) - 1


@pytest.mark.parametrize("include_usage", [False, True])
async def test_chat_stream(engine: Running, include_usage: bool) -> None:
    response = await ask(engine, CHAT, SAY | {"stream": True, "stream_options": {"include_usage": include_usage}})
    assert response.complete
    assert response.headers == {
        "server": "llama.cpp",
        "access-control-allow-origin": "",
        "x-accel-buffering": "no",
        "content-type": "text/event-stream",
        "transfer-encoding": "chunked",
        "keep-alive": "timeout=5, max=100",
    }
    *events, done = response.events()
    assert done == Event("", "[DONE]")
    chunks = [event.json() for event in events]
    assert len({str(chunk["id"]) for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    usage = chunks.pop() if include_usage else None
    first, *middle, last = [items(chunk["choices"])[0] for chunk in chunks]
    assert first == {"finish_reason": None, "index": 0, "delta": {"role": "assistant", "content": None}}
    assert 1 <= len(middle) <= 4
    assert all(set(obj(choice["delta"])) == {"content"} for choice in middle)
    assert last == {"finish_reason": "length", "index": 0, "delta": {}}
    if usage is None:
        assert set(chunks[-1]) == {*CHUNK, "timings"}
        timings = obj(chunks[-1]["timings"])
        check_timings(timings, number(timings["cache_n"]) + number(timings["prompt_n"]), 4)
    else:
        assert (set(usage), usage["choices"]) == ({*CHUNK, "usage", "timings"}, [])
        check_timings(usage["timings"], *check_usage(usage["usage"]))


async def test_role_and_first_token_share_the_first_chunk(engine: Running) -> None:
    async with stream(engine.address, "POST", CHAT, SAY | {"stream": True}, bearer(engine.key)) as exchange:
        pieces = [chunk.data async for chunk in exchange.chunks()]
    assert [len(parse_events(piece)) for piece in pieces] == [2, *[1] * (len(pieces) - 1)]
    assert pieces[-1] == b"data: [DONE]\n\n"


async def test_a_tool_choice_is_accepted(engine: Running) -> None:
    tool: Json = {"name": "look", "parameters": {"type": "object", "properties": {"place": {"type": "string"}}}}
    body = SAY | {"tools": [{"type": "function", "function": tool}], "tool_choice": "required"}
    (choice,) = items((await ask(engine, CHAT, body)).json()["choices"])
    assert choice["finish_reason"] in ("length", "stop", "tool_calls")


# Completions


async def test_completions(engine: Running) -> None:
    body = (await ask(engine, "/v1/completions", {"prompt": "The sea", "max_tokens": 3})).json()
    assert set(body) == {*CHUNK, "usage", "timings"}
    assert body["object"] == "text_completion"
    (choice,) = items(body["choices"])
    assert set(choice) == {"text", "index", "logprobs", "finish_reason"}
    check_timings(body["timings"], *check_usage(body["usage"]))


async def test_completions_stream(engine: Running) -> None:
    asked: Json = {"prompt": "The sea", "max_tokens": 3, "ignore_eos": True, "stream": True}
    *events, last, done = (await ask(engine, "/v1/completions", asked)).events()
    assert done.data == "[DONE]"
    assert all(set(event.json()) == CHUNK for event in events)
    final = last.json()
    assert set(final) == {*CHUNK, "usage", "timings"}
    assert items(final["choices"])[0]["finish_reason"] == "length"
    check_timings(final["timings"], *check_usage(final["usage"]))


async def test_several_prompts_give_several_choices(engine: Running) -> None:
    body = (await ask(engine, "/v1/completions", {"prompt": ["The sea", "A ship"], "max_tokens": 2})).json()
    assert [choice["index"] for choice in items(body["choices"])] == [0, 1]


NATIVE = {
    "index",
    "content",
    "tokens",
    "id_slot",
    "stop",
    "model",
    "tokens_predicted",
    "tokens_evaluated",
    "generation_settings",
    "prompt",
    "has_new_line",
    "truncated",
    "stop_type",
    "stopping_word",
    "tokens_cached",
    "timings",
}


async def test_native_completion(engine: Running) -> None:
    asked: Json = {"prompt": "The sea", "n_predict": 3, "ignore_eos": True}
    body = (await ask(engine, "/completion", asked)).json()
    assert set(body) == NATIVE
    assert (body["stop_type"], body["tokens_predicted"]) == ("limit", 3)
    check_timings(body["timings"], number(body["tokens_evaluated"]), 3)
    *events, last = (await ask(engine, "/completion", asked | {"stream": True})).events()
    assert set(last.json()) == NATIVE
    for event in events:
        piece = event.json()
        assert set(piece) == {
            "index",
            "content",
            "tokens",
            "stop",
            "id_slot",
            "tokens_predicted",
            "tokens_evaluated",
        }
        assert piece["stop"] is False


# The other APIs


async def test_messages(engine: Running) -> None:
    body = (await ask(engine, "/v1/messages", SAY)).json()
    assert set(body) == {"id", "type", "role", "content", "model", "stop_reason", "stop_sequence", "usage"}
    assert (body["type"], body["stop_reason"]) == ("message", "max_tokens")
    assert [set(block) for block in items(body["content"])] == [{"type", "text"}]
    assert set(obj(body["usage"])) == {"cache_read_input_tokens", "input_tokens", "output_tokens"}


async def test_messages_stream(engine: Running) -> None:
    events = (await ask(engine, "/v1/messages", SAY | {"stream": True})).events()
    assert all(event.json()["type"] == event.name for event in events)
    start, block, *deltas, block_stop, delta, stop = [event.name for event in events]
    assert (start, block) == ("message_start", "content_block_start")
    assert set(deltas) == {"content_block_delta"}
    assert (block_stop, delta, stop) == ("content_block_stop", "message_delta", "message_stop")
    assert obj(events[-2].json()["usage"]) == {"output_tokens": 4}
    message = obj(events[0].json()["message"])
    assert set(message) == {"id", "type", "role", "content", "model", "stop_reason", "stop_sequence", "usage"}


async def test_responses(engine: Running) -> None:
    asked: Json = {"input": "Say hello", "max_output_tokens": 3, "temperature": 0}
    body = (await ask(engine, "/v1/responses", asked)).json()
    assert {"completed_at", "created_at", "id", "model", "object", "output", "status", "usage"} == set(body)
    names = [event.name.removeprefix("response.") for event in await streamed(engine, "/v1/responses", asked)]
    assert names[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert set(names[4:-4]) == {"output_text.delta"}
    assert names[-4:] == ["output_text.done", "content_part.done", "output_item.done", "completed"]


async def streamed(engine: Running, path: str, asked: Json) -> Sequence[Event]:
    """All events of a stream."""
    return (await ask(engine, path, asked | {"stream": True})).events()


async def test_counting_tokens_agrees_everywhere(engine: Running) -> None:
    usage = obj((await ask(engine, CHAT, SAY)).json()["usage"])
    counted = (await ask(engine, "/v1/messages/count_tokens", SAY)).json()
    assert counted == {"input_tokens": usage["prompt_tokens"]}


async def test_text_tools(engine: Running) -> None:
    tokens = (await ask(engine, "/tokenize", {"content": "Hello the sea"})).json()["tokens"]
    assert isinstance(tokens, list)
    assert all(isinstance(token, int) for token in tokens)
    pieces = items((await ask(engine, "/tokenize", {"content": "Hello the sea", "with_pieces": True})).json()["tokens"])
    assert [piece["id"] for piece in pieces] == tokens
    assert set((await ask(engine, "/detokenize", {"tokens": tokens})).json()) == {"content"}
    assert set((await ask(engine, "/apply-template", SAY)).json()) == {"prompt"}


# Vectors and scores


def lengths(body: Json) -> list[int]:
    """The dimensions of each vector; each must have length 1."""
    found = []
    for item in items(body["data"]):
        vector = item["embedding"]
        assert isinstance(vector, list)
        assert math.sqrt(sum(part * part for part in vector)) == pytest.approx(1.0, abs=1e-3)
        found.append(len(vector))
    return found


@pytest.mark.parametrize(("given", "count"), [("sea", 1), (["sea", "wind"], 2), ([5, 6, 7], 1), ([[5, 6], [7]], 2)])
async def test_embeddings(embedder: Running, given: object, count: int) -> None:
    body = (await ask(embedder, "/v1/embeddings", {"input": given})).json()
    assert set(body) == {"model", "object", "usage", "data"}
    assert [item["index"] for item in items(body["data"])] == list(range(count))
    assert lengths(body) == [576] * count
    assert set(obj(body["usage"])) == {"prompt_tokens", "total_tokens"}


async def test_embeddings_in_base64_are_the_same_numbers(embedder: Running) -> None:
    plain = items((await ask(embedder, "/v1/embeddings", {"input": "sea"})).json()["data"])[0]["embedding"]
    asked: Json = {"input": "sea", "encoding_format": "base64"}
    coded = items((await ask(embedder, "/v1/embeddings", asked)).json()["data"])[0]["embedding"]
    assert isinstance(coded, str)
    assert list(struct.unpack("<576f", base64.b64decode(coded))) == pytest.approx(plain, abs=1e-4)


@pytest.mark.parametrize("body", [{}, {"input": []}, {"input": ""}])
async def test_embeddings_of_nothing(embedder: Running, body: Json) -> None:
    check_error(await ask(embedder, "/v1/embeddings", body), 400, "invalid_request_error")


async def test_an_embedding_input_over_the_physical_batch(embedder: Running) -> None:
    check_error(await ask(embedder, "/v1/embeddings", {"input": "word " * 1000}), 500, "server_error")


async def test_an_embedder_still_chats(embedder: Running) -> None:
    assert (await ask(embedder, CHAT, SAY)).status == 200


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/reranking", "/v1/reranking"])
async def test_rerank(ranker: Running, path: str) -> None:
    asked: Json = {"query": "sea", "documents": ["the sea", "a stone", "a ship"], "top_n": 2}
    body = (await ask(ranker, path, asked)).json()
    assert set(body) == {"model", "object", "usage", "results"}
    results = items(body["results"])
    assert [set(result) for result in results] == [{"index", "relevance_score"}] * 2
    scores = [number(result["relevance_score"]) for result in results]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("body", [{"documents": ["a"]}, {"query": "a", "documents": []}])
async def test_rerank_of_nothing(ranker: Running, body: Json) -> None:
    check_error(await ask(ranker, "/v1/rerank", body), 400, "invalid_request_error")


# Errors


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/embeddings", {"input": "a"}), ("/v1/rerank", {"query": "a", "documents": ["b"]}), ("/infill", {})],
)
async def test_what_was_not_switched_on(engine: Running, path: str, body: Json) -> None:
    check_error(await ask(engine, path, body), 501, "not_supported_error")


@pytest.mark.parametrize("path", [CHAT, "/v1/messages"])
@pytest.mark.parametrize("streaming", [False, True])
async def test_context_overflow(engine: Running, path: str, streaming: bool) -> None:
    response = await ask(engine, path, OVERLONG | {"stream": streaming})
    check_error(response, 400, "exceed_context_size_error", "n_prompt_tokens", "n_ctx")
    error = obj(response.json()["error"])
    assert error["n_ctx"] == 2048
    assert "exceeds the available context size" in str(error["message"])


@pytest.mark.parametrize("body", [b"", b'{"messages": nope', b"{}", b'{"messages": "nope"}'])
async def test_a_body_that_is_no_chat(engine: Running, body: bytes) -> None:
    check_error(await ask(engine, CHAT, body), 400, "invalid_request_error")


async def test_a_completion_without_a_prompt(engine: Running) -> None:
    check_error(await ask(engine, "/v1/completions", {}), 400, "invalid_request_error")


async def test_a_model_that_is_no_gguf_ends_the_program(program: Sequence[str], tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"this is no model")
    for path in (broken, tmp_path / "missing.gguf"):
        with pytest.raises(NotStarted, match=r"failed to load model"):
            async with running_program((*program, "--port", "0", "-m", str(path))):
                pass


# Slots


async def test_slots_fill_queue_and_come_free_on_hang_up(engine: Running) -> None:
    async def begun() -> bool:
        page = (await ask(engine, "/metrics")).body
        return b"requests_processing 2" in page and b"requests_deferred 1" in page

    async def idle() -> bool:
        return await busy_slots(engine) == 0

    await until(idle)
    async with (
        stream(engine.address, "POST", CHAT, LONG, bearer(engine.key)),
        stream(engine.address, "POST", CHAT, LONG, bearer(engine.key)) as second,
        connected(engine.address) as third,
    ):
        third.writer.write(encode("POST", CHAT, engine.address, LONG, bearer(engine.key)))
        await until(begun)
        assert await busy_slots(engine) == 2
        second.hang_up()
        # The one that waited gets the slot.
        assert (await third.read_head()).status == 200
    await until(idle)
    assert (await ask(engine, CHAT, SAY)).status == 200


async def test_a_slots_memory_is_saved_erased_and_restored(engine: Running) -> None:
    asked = SAY | {"id_slot": 0}
    await ask(engine, CHAT, asked)
    saved = (await ask(engine, "/slots/0?action=save", {"filename": "one.bin"})).json()
    assert set(saved) == {"id_slot", "filename", "n_saved", "n_written", "timings"}
    assert number(saved["n_saved"]) > 0
    erased = (await ask(engine, "/slots/0?action=erase", {})).json()
    assert erased == {"id_slot": 0, "n_erased": saved["n_saved"]}
    restored = (await ask(engine, "/slots/0?action=restore", {"filename": "one.bin"})).json()
    assert set(restored) == {"id_slot", "filename", "n_restored", "n_read", "timings"}
    assert (restored["n_restored"], restored["n_read"]) == (saved["n_saved"], saved["n_written"])
    timings = obj((await ask(engine, CHAT, asked)).json()["timings"])
    assert number(timings["cache_n"]) > 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/slots/0?action=restore", {"filename": "never-saved.bin"}),
        ("/slots/0?action=dance", {"filename": "one.bin"}),
        ("/slots/0?action=save", {"filename": "../one.bin"}),
        ("/slots/0?action=save", {}),
        ("/slots/x?action=save", {"filename": "one.bin"}),
    ],
)
async def test_slot_actions_that_cannot_be(engine: Running, path: str, body: Json) -> None:
    check_error(await ask(engine, path, body), 400, "invalid_request_error")
