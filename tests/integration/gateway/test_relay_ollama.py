"""Ollama's API through the relay: what the engine is asked, and what the client hears."""

from __future__ import annotations

import asyncio
import json
import math

import anyio
import msgspec
import pytest
from gateway_fakes import EngineSide, Gateway, Heard, Script, gateway_with, served

from hostler.accounts.keys import Bounds, Keyring
from hostler.config.quantities import Seconds
from hostler.config.settings import LimitSettings
from hostler.engines.protocol import Endpoint, Remote
from hostler.errors import LoadFailed
from hostler.fleet.protocol import Needs, Served
from hostler.models.reasoning import Thinking

pytestmark = pytest.mark.anyio

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "The sea?"}]}
WHOLE = {**CHAT, "stream": False}
TIMINGS = {"cache_n": 2, "prompt_n": 10, "prompt_ms": 50.0, "predicted_n": 2, "predicted_ms": 20.0}
ANSWER = {
    "choices": [{"message": {"role": "assistant", "content": "The sea."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 2},
    "timings": TIMINGS,
}
METRICS = {
    "total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration",
}  # fmt: skip


def chunk(text: str, finish: str | None = None, **more: object) -> bytes:
    return json.dumps({"choices": [{"delta": {"content": text}, "finish_reason": finish}], **more}).encode()


async def speak(heard: Heard, side: EngineSide) -> None:
    """A chat, a text, an infill or vectors, as it is asked."""
    asked = json.loads(heard.body)
    if b"/v1/embeddings" in heard.line:
        await side.json({"data": [{"embedding": [0.6, 0.8]}], "usage": {"prompt_tokens": 3}})
    elif not asked.get("stream"):
        await side.json(ANSWER)
    else:
        await side.stream_head()
        await side.event(chunk("The "))
        await side.event(chunk("sea."))
        await side.event(chunk("", "stop", timings=TIMINGS))
        await side.stream_end()


@pytest.fixture(autouse=True)
def speaking(gateway: Gateway) -> None:
    gateway.engine.script = speak


def lines(body: bytes) -> list[dict]:  # type: ignore[type-arg]
    return [json.loads(line) for line in body.splitlines()]


async def test_a_chat_streams_lines(gateway: Gateway) -> None:
    answer = await gateway.ask(CHAT, "/api/chat")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-ndjson")
    *pieces, last = lines(answer.body)
    assert [one["message"]["content"] for one in pieces] == ["The ", "sea."]
    assert {one["model"] for one in (*pieces, last)} == {"tiny"}
    assert (last["done"], last["done_reason"], last["prompt_eval_count"], last["eval_count"]) == (True, "stop", 12, 2)
    assert last.keys() >= METRICS
    assert gateway.engine.heard[0].line == b"POST /v1/chat/completions HTTP/1.1"
    assert json.loads(gateway.engine.heard[0].body)["temperature"] == 0.2  # the profile's default


async def test_a_line_comes_as_soon_as_its_event(gateway: Gateway) -> None:
    more = asyncio.Event()

    async def slowly(heard: Heard, side: EngineSide) -> None:
        await side.stream_head()
        await side.event(chunk("The "))
        await more.wait()
        await side.event(chunk("sea.", "stop"))
        await side.stream_end()

    gateway.engine.script = slowly
    client = await gateway.client()
    client.send("POST", "/api/chat", json.dumps(CHAT).encode())
    await client.head()
    assert json.loads(await client.chunk())["message"]["content"] == "The "
    more.set()
    rest = b""
    while piece := await client.chunk():
        rest += piece
    assert lines(rest)[-1]["done"]


async def test_a_whole_chat_and_its_row(gateway: Gateway) -> None:
    answer = await gateway.ask(WHOLE, "/api/chat", "X-Request-Id: mine-1\r\n")
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["x-request-id"] == "mine-1"
    assert "server-timing" in answer.headers
    assert answer.json()["message"] == {"role": "assistant", "content": "The sea."}
    assert answer.json().keys() >= METRICS
    row = gateway.row
    assert (row.api, row.profile, row.tokens_in, row.tokens_cached, row.tokens_out) == ("ollama_chat", "tiny", 12, 2, 2)


async def test_prompts(gateway: Gateway) -> None:
    answer = await gateway.ask({"model": "tiny", "prompt": "The sea?"}, "/api/generate")
    *pieces, last = lines(answer.body)
    assert "".join(one["response"] for one in pieces) == "The sea."
    again = {"model": "tiny", "prompt": "And?", "context": last["context"]}
    await gateway.ask(again, "/api/generate")
    said = json.loads(gateway.engine.heard[-1].body)["messages"]
    assert [one["content"] for one in said] == ["The sea?", "The sea.", "And?"]
    await gateway.ask({"model": "base", "prompt": "Once"}, "/api/generate")
    assert gateway.engine.heard[-1].line == b"POST /v1/completions HTTP/1.1"
    await gateway.ask({"model": "base", "prompt": "a", "suffix": "b"}, "/api/generate")
    assert gateway.engine.heard[-1].line == b"POST /infill HTTP/1.1"
    assert [row.api for row in gateway.recorder.rows] == ["ollama_generate"] * 4


async def test_vectors(gateway: Gateway) -> None:
    answer = await gateway.ask({"model": "vec", "input": ["a"]}, "/api/embed")
    assert answer.json()["embeddings"] == [[0.6, 0.8]]
    assert answer.json()["prompt_eval_count"] == 3
    older = await gateway.ask({"model": "vec", "prompt": "a"}, "/api/embeddings")
    assert older.json() == {"embedding": [0.6, 0.8]}


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
async def test_without_a_prompt_a_model_is_only_loaded(gateway: Gateway, path: str) -> None:
    answer = await gateway.ask({"model": "tiny", "keep_alive": "5m"}, path)
    assert (answer.json()["done"], answer.json()["done_reason"]) == (True, "load")
    assert gateway.engine.heard == []
    assert gateway.fleet.leases[0].ends == [(200, False)]
    assert gateway.stays == [("tiny", 300.0)]
    assert gateway.row.status == 200
    left = await gateway.ask({"model": "tiny", "keep_alive": 0}, path)
    assert left.json()["done_reason"] == "unload"
    assert gateway.stays[-1] == ("tiny", 0.0)
    assert len(gateway.fleet.leases) == 1


async def test_a_load_waits_in_line_and_leaves_it_with_its_client(gateway: Gateway) -> None:
    gateway.fleet.ready = False
    client = await gateway.client()
    client.send("POST", "/api/generate", b'{"model":"tiny"}')
    await gateway.fleet.asked.wait()
    client.leave()
    with anyio.fail_after(5):
        await gateway.fleet.left.wait()
    assert gateway.row.cancelled


@pytest.mark.parametrize(("keep_alive", "seconds"), [(0, 0.0), ("10m", 600.0), (-1, math.inf)])
async def test_how_long_a_model_stays_is_told_with_its_answer(
    gateway: Gateway, keep_alive: object, seconds: float
) -> None:
    await gateway.ask({**CHAT, "keep_alive": keep_alive}, "/api/chat")
    assert gateway.stays == [("tiny", seconds)]


async def test_what_would_load_it_anew_is_not_done_and_said(gateway: Gateway) -> None:
    answer = await gateway.ask({**WHOLE, "options": {"num_ctx": 4096}}, "/api/chat")
    assert "x-hostler-changed" not in answer.headers
    more = await gateway.ask({**WHOLE, "options": {"num_ctx": 32768, "num_gpu": 99}}, "/api/chat")
    assert more.headers["x-hostler-changed"] == "options.num_gpu=ignored, options.num_ctx=4096"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_bound_of_the_answer_is_told_in_the_clients_word(gateway: Gateway, stream: bool) -> None:
    beyond = {"model": "tiny", "prompt": "The sea?", "raw": True, "stream": stream, "options": {"num_predict": 10**6}}
    for path, asked in (("/api/chat", {**CHAT, **beyond}), ("/api/generate", beyond)):
        answer = await gateway.ask(asked, path)
        assert answer.headers["x-hostler-changed"] == "options.num_predict=4095"
        assert json.loads(gateway.engine.heard[-1].body)["max_tokens"] == 4095
    for endless in (-1, -2):
        answer = await gateway.ask({**CHAT, "stream": stream, "options": {"num_predict": endless}}, "/api/chat")
        assert "x-hostler-changed" not in answer.headers
        assert "max_tokens" not in json.loads(gateway.engine.heard[-1].body)


@pytest.mark.parametrize("said", [{}, {"messages": CHAT["messages"]}])
async def test_a_wanted_context_steers_an_auto_name(gateway: Gateway, said: dict[str, object]) -> None:
    """It went to the first profile, whose context was then told to be too small."""
    known = gateway.catalogue.served
    known["roomy"] = msgspec.structs.replace(known["tiny"], name="roomy", context=16384)

    def choose(needs: Needs) -> tuple[Served, ...]:
        return (known["roomy" if needs.context > 4096 else "tiny"],)

    known["auto"] = msgspec.structs.replace(known["tiny"], choose=choose)
    for wanted, profile in ((4096, "tiny"), (16384, "roomy")):
        answer = await gateway.ask({"model": "auto", **said, "options": {"num_ctx": wanted}}, "/api/chat")
        assert (answer.status, answer.headers["x-hostler-profile"]) == (200, profile)
        assert "x-hostler-changed" not in answer.headers


async def test_errors_have_ollamas_form(gateway: Gateway) -> None:
    unknown = await gateway.ask({**CHAT, "model": "gone"}, "/api/chat")
    assert (unknown.status, unknown.json()["error"]) == (404, "model 'gone' not found")
    wrong = await gateway.ask({"model": "vec", "messages": CHAT["messages"]}, "/api/chat")
    assert (wrong.status, type(wrong.json()["error"])) == (400, str)
    base = await gateway.ask({"model": "base", "messages": CHAT["messages"]}, "/api/chat")
    assert "/api/generate" in base.json()["error"]
    broken = await gateway.ask(b"{", "/api/chat")
    assert (broken.status, broken.json()["source"]) == (400, "gateway")
    loading = await gateway.ask({"model": "gone"}, "/api/generate")
    assert (loading.status, loading.json()["error"]) == (404, "model 'gone' not found")
    assert [row.status for row in gateway.recorder.rows] == [404, 400, 400, 400, 404]


async def test_thinking_is_refused_where_a_model_cannot(gateway: Gateway) -> None:
    one = gateway.catalogue.served["tiny"]
    gateway.catalogue.served["tiny"] = msgspec.structs.replace(one, thinking=Thinking())
    answer = await gateway.ask({**CHAT, "think": True}, "/api/chat")
    assert (answer.status, answer.json()["error"]) == (400, '"tiny" does not support thinking')
    assert (await gateway.ask({**CHAT, "think": False}, "/api/chat")).status == 200
    gateway.catalogue.served["tiny"] = msgspec.structs.replace(one, thinking=Thinking(switch="enable_thinking"))
    assert (await gateway.ask({**CHAT, "think": True}, "/api/chat")).status == 200


async def test_what_the_engine_refuses_keeps_its_status(gateway: Gateway) -> None:
    async def refusing(heard: Heard, side: EngineSide) -> None:
        await side.json({"error": {"code": 400, "message": "Too long.", "type": "x"}}, "400 Bad Request")

    gateway.engine.script = refusing
    answer = await gateway.ask(CHAT, "/api/chat")
    assert (answer.status, answer.json()["error"]) == (400, "Too long.")
    assert answer.headers["x-hostler-source"] == "engine"


async def test_a_stream_in_which_nothing_comes_is_an_error_once(gateway: Gateway) -> None:
    async def silent(heard: Heard, side: EngineSide) -> None:
        await side.stream_head()
        await side.say(b"0\r\n\r\n")

    gateway.engine.script = silent
    client = await gateway.client()
    answer = await client.ask(CHAT, "/api/chat")
    assert (answer.status, answer.json()["code"]) == (502, "engine_lost")
    gateway.engine.script = speak
    assert (await client.ask(WHOLE, "/api/chat")).json()["message"]["content"] == "The sea."


def breaking(after: int) -> Script:
    async def script(heard: Heard, side: EngineSide) -> None:
        await side.stream_head()
        for _ in range(after):
            await side.event(chunk("The "))
        side.kill()

    return script


async def test_an_engine_lost_in_the_middle_is_the_last_line(gateway: Gateway) -> None:
    gateway.engine.script = breaking(1)
    answer = await gateway.ask(CHAT, "/api/chat")
    first, last = lines(answer.body)
    assert (answer.status, first["message"]["content"]) == (200, "The ")
    assert last["error"]
    assert answer.complete


async def test_a_stream_is_silent_while_its_model_loads_and_keeps_its_status(gateway: Gateway) -> None:
    gateway.fleet.ready = False
    client = await gateway.client()
    client.send("POST", "/api/chat", json.dumps(CHAT).encode())
    await gateway.fleet.asked.wait()
    gateway.fleet.tickets[0].refuse(LoadFailed("The coal is wet."))
    answer = await client.answer()
    assert answer.status >= 500
    assert "The coal is wet." in answer.json()["error"]


async def test_where_it_stands_is_told_as_thinking_if_people_want_to_read_it(keys: Keyring) -> None:
    limits = LimitSettings(load_grace_s=Seconds(0.01))
    async with gateway_with(keys, limits) as gateway:
        gateway.engine.script = speak
        one = gateway.catalogue.served["tiny"]
        gateway.catalogue.served["tiny"] = msgspec.structs.replace(one, notes=True)
        gateway.fleet.ready = False
        client = await gateway.client()
        client.send("POST", "/api/chat", json.dumps(CHAT).encode())
        await client.head()
        note = json.loads(await client.chunk())
        assert note["message"]["thinking"] == "Loading tiny: loading tensors, 40%.\n"
        gateway.fleet.tickets[0].grant()
        rest = b""
        while piece := await client.chunk():
            rest += piece
        assert lines(rest)[-1]["done_reason"] == "stop"


async def test_without_notes_a_stream_says_nothing_while_it_waits(keys: Keyring) -> None:
    limits = LimitSettings(load_grace_s=Seconds(0.01), queue_timeout_s=Seconds(0.2))
    async with gateway_with(keys, limits) as gateway:
        gateway.fleet.ready = False
        answer = await gateway.ask(CHAT, "/api/chat")
        assert (answer.status, answer.json()["code"]) == (503, "queue_timeout")


async def test_a_key_sees_and_uses_its_own_profiles(keys: Keyring, gateway: Gateway) -> None:
    bearer = f"Authorization: Bearer {keys.add('guest', 'inference', Bounds(profiles=('ti*',)))}\r\n"
    client = await gateway.client()
    assert (await client.get("/api/tags")).status == 401
    assert (await client.get("/api/version")).status == 200
    assert [one["name"] for one in (await client.get("/api/tags", bearer)).json()["models"]] == ["tiny:latest"]
    assert (await client.ask({"model": "base"}, "/api/show", bearer)).status == 404
    assert (await client.ask({**WHOLE, "model": "base"}, "/api/chat", bearer)).status == 404
    assert (await client.ask(WHOLE, "/api/chat", bearer)).status == 200
    client.send("DELETE", "/api/delete", b'{"model":"tiny"}', bearer)
    refused = await client.answer()
    assert (refused.status, type(refused.json()["error"])) == (403, str)


async def test_a_remote_is_asked_for_its_counts(gateway: Gateway) -> None:
    async def elsewhere(heard: Heard, side: EngineSide) -> None:
        assert json.loads(heard.body)["stream_options"] == {"include_usage": True}
        await side.stream_head()
        await side.event(chunk("The sea.", "stop"))
        await side.event(b'{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}')
        await side.stream_end()

    gateway.engine.script = elsewhere
    there = gateway.engine.endpoint
    remote = Remote(base="/api/v1", tls=False, speaks="openai", model="big-1", forward_key=False)
    gateway.fleet.endpoint = Endpoint(there.host, there.port, "key", remote)
    cloud = msgspec.structs.replace(served("cloud", "chat"), speaks="openai", called="big-1", counts=False)
    gateway.catalogue.served["cloud"] = cloud
    last = lines((await gateway.ask({**CHAT, "model": "cloud"}, "/api/chat")).body)[-1]
    assert (last["model"], last["prompt_eval_count"], last["eval_count"]) == ("cloud", 9, 3)
    assert gateway.row.tokens_out == 3


async def test_a_client_that_leaves_frees_the_engine(gateway: Gateway) -> None:
    gone = asyncio.Event()

    async def for_ever(heard: Heard, side: EngineSide) -> None:
        await side.stream_head()
        await side.event(chunk("The "))
        await side.gone()
        gone.set()

    gateway.engine.script = for_ever
    client = await gateway.client()
    client.send("POST", "/api/chat", json.dumps(CHAT).encode())
    await client.head()
    client.leave()
    with anyio.fail_after(5):
        await gone.wait()
        await gateway.fleet.ended.wait()
    assert gateway.row.cancelled


async def test_lists_and_refusals(gateway: Gateway) -> None:
    client = await gateway.client()
    names = [one["name"] for one in (await client.get("/api/tags")).json()["models"]]
    assert set(names) == {"tiny:latest", "base:latest"}
    assert (await client.get("/api/version")).json()["version"].count(".") == 2
    assert (await client.get("/api/tags", method="HEAD")).status == 200
    assert (await client.get("/api/ps")).json() == {"models": []}
    shown = await client.ask({"model": "tiny"}, "/api/show")
    assert shown.json()["capabilities"] == ["completion"]
    stages = lines((await client.ask({"model": "tiny"}, "/api/pull")).body)
    assert (stages[0]["status"], stages[-1]) == ("pulling manifest", {"status": "success"})
    assert (await client.ask({"model": "tiny", "stream": False}, "/api/pull")).json() == {"status": "success"}
    for path, status in (("/api/pull", 404), ("/api/show", 404), ("/api/create", 400), ("/api/blobs/sha256:0", 400)):
        refused = await client.ask({"model": "gone"}, path)
        assert (refused.status, type(refused.json()["error"])) == (status, str), path
    assert (await client.get("/api/chat")).status == 405
