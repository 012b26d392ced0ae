"""The official Ollama client against a real engine: answers, streams, vectors, lists, loading and leaving, errors."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import ollama
import pytest
from gateway_process import Home, RunningGateway, eventually

from hostler.testing.gguf_files import write_tiny_gguf

pytestmark = pytest.mark.anyio

ASK = [{"role": "user", "content": "Write one sentence about the sea."}]
FEW = {"num_predict": 8, "temperature": 0}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def port() -> int:
    """Where Ollama's clients are to be listened for."""
    return free_port()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, smollm2: Path, port: int) -> Iterator[RunningGateway]:
    """One gateway for all tests here, with a real chat profile and fakes."""
    place = Home(tmp_path_factory.mktemp("ollama"))
    write_tiny_gguf(place.models / "loose.gguf")
    place.write(
        place.profile("smollm2", smollm2, 'context = 1024\naliases = ["tiny"]\nembeddings = true'),
        place.fake("caller", tool_calls=True),
        place.fake("broken", exit_at_load=3, load_log="the coal is wet"),
        top=f'ollama_port = {port}\ndefault = "smollm2"',
    )
    gateway = RunningGateway(place)
    try:
        yield gateway.wait_ready()
    finally:
        gateway.close()


@pytest.fixture
async def client(running: RunningGateway, port: int) -> AsyncIterator[ollama.AsyncClient]:
    """The client as its users make it, on Ollama's port."""
    made = ollama.AsyncClient(host=f"http://127.0.0.1:{port}", timeout=60)
    yield made
    await made._client.aclose()


async def test_chat(client: ollama.AsyncClient) -> None:
    answer = await client.chat("smollm2", ASK, options=FEW)
    assert answer.message.role == "assistant"
    assert answer.message.content
    assert (answer.model, answer.done, answer.done_reason) == ("smollm2", True, "length")
    assert answer.eval_count == 8
    assert (answer.prompt_eval_count or 0) > 8
    assert (answer.total_duration or 0) >= (answer.eval_duration or 0) > 0
    assert (answer.created_at or "").endswith("Z")


async def test_a_stream(client: ollama.AsyncClient) -> None:
    parts = [part async for part in await client.chat("smollm2:latest", ASK, options=FEW, stream=True)]
    *pieces, last = parts
    assert "".join(part.message.content or "" for part in pieces)
    assert [part.done for part in parts] == [False] * len(pieces) + [True]
    assert last.eval_count == 8


async def test_a_prompt_and_what_it_remembers(client: ollama.AsyncClient) -> None:
    answer = await client.generate("tiny", "The sea is", options=FEW)
    assert answer.response
    assert answer.context
    more = await client.generate("tiny", "And then?", context=answer.context, options=FEW)
    assert (more.prompt_eval_count or 0) > (answer.prompt_eval_count or 0) + 8
    raw = [part async for part in await client.generate("tiny", "The sea is", raw=True, options=FEW, stream=True)]
    assert raw[-1].done
    assert raw[-1].context is None


async def test_a_format(client: ollama.AsyncClient) -> None:
    schema = {"type": "object", "properties": {"depth": {"type": "integer"}}, "required": ["depth"]}
    answer = await client.chat("smollm2", ASK, format=schema, options={"num_predict": 60, "temperature": 0})
    assert isinstance(json.loads(answer.message.content or "")["depth"], int)


async def test_calls_of_tools(client: ollama.AsyncClient) -> None:
    answer = await client.chat("caller", ASK, tools=[TOOL])
    (call,) = answer.message.tool_calls or ()
    assert call.function.name == "weather"
    assert isinstance(call.function.arguments, dict)
    result = {"role": "tool", "tool_name": "weather", "content": "fair"}
    again = await client.chat("caller", [*ASK, answer.message, result])
    assert again.done
    parts = [part async for part in await client.chat("caller", ASK, tools=[TOOL], stream=True)]
    assert [part.message.tool_calls for part in parts if part.message.tool_calls]


async def test_vectors(client: ollama.AsyncClient) -> None:
    both = await client.embed("smollm2", ["the sea", "a ship"])
    first, second = both.embeddings
    assert len(first) == len(second) > 8
    assert sum(value * value for value in first) == pytest.approx(1.0, abs=1e-3)
    short = await client.embed("smollm2", "the sea", dimensions=8)
    assert len(short.embeddings[0]) == 8
    one = await client.embeddings("smollm2", "the sea")
    assert one.embedding == pytest.approx(first, abs=1e-3)


async def test_lists(client: ollama.AsyncClient) -> None:
    await client.chat("smollm2", ASK, options=FEW, keep_alive="10m")
    listed = {one.model: one for one in (await client.list()).models}
    assert {"smollm2:latest", "caller:latest"} <= listed.keys()
    found = listed["smollm2:latest"]
    assert (found.size or 0) > 10**6
    assert found.details is not None
    assert (found.details.family, found.details.format) == ("llama", "gguf")
    (loaded,) = [one for one in (await client.ps()).models if one.model == "smollm2:latest"]
    assert loaded.context_length == 1024
    assert loaded.digest == found.digest
    shown = await client.show("smollm2")
    assert {"completion", "embedding"} <= set(shown.capabilities or ())
    assert (shown.modelinfo or {})["llama.context_length"] == 1024
    assert shown.template
    assert (await client.pull("smollm2")).status == "success"
    assert [stage.status async for stage in await client.pull("smollm2", stream=True)][-1] == "success"


async def test_a_model_is_loaded_and_leaves_on_request(client: ollama.AsyncClient) -> None:
    async def loaded() -> bool:
        return "smollm2:latest" in {one.model for one in (await client.ps()).models}

    assert (await client.generate("smollm2", keep_alive="5m")).done_reason == "load"
    assert await loaded()
    assert (await client.generate("smollm2", keep_alive=0)).done_reason == "unload"

    async def left() -> bool:
        return not await loaded()

    await eventually(left, "it left")
    answer = await client.chat("smollm2", ASK, options=FEW, keep_alive=0)
    assert (answer.load_duration or 0) > 0
    await eventually(left, "it left after its answer")


async def test_errors(client: ollama.AsyncClient) -> None:
    with pytest.raises(ollama.ResponseError, match="model 'gone' not found") as unknown:
        await client.chat("gone", ASK)
    assert unknown.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="the coal is wet"):
        [part async for part in await client.chat("broken", ASK, stream=True)]
    with pytest.raises(ollama.ResponseError, match="hostler pull"):
        await client.pull("gone")
    with pytest.raises(ollama.ResponseError, match="hostler profile new"):
        await client.create("mine", from_="smollm2")


async def test_a_model_of_the_library_is_removed_unless_a_profile_has_it(client: ollama.AsyncClient) -> None:
    async def listed() -> set[str | None]:
        return {one.model for one in (await client.list()).models}

    assert "loose:latest" in await listed()
    with pytest.raises(ollama.ResponseError, match=r"hostler\.toml"):
        await client.delete("caller")
    assert (await client.delete("loose")).status == "success"
    assert "loose:latest" not in await listed()
    with pytest.raises(ollama.ResponseError, match="model 'loose' not found"):
        await client.delete("loose")


PAGE = Path(__file__).parents[2] / "docs" / "ollama.md"


@pytest.mark.parametrize("line", re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
def test_the_lines_on_the_page_work(running: RunningGateway, line: str) -> None:
    here = line.replace("http://127.0.0.1:4785", running.url)
    done = subprocess.run(["sh", "-c", here], capture_output=True, text=True, timeout=60, check=True)
    told = [json.loads(one) for one in done.stdout.splitlines()]
    assert told
    assert not any("error" in one for one in told)


async def test_its_port_has_no_management(client: ollama.AsyncClient) -> None:
    there = client._client
    assert (await there.get("/")).text == "Ollama is running"
    assert (await there.get("/v1/models")).status_code == 200
    missing = await there.get("/api/profiles")
    assert missing.status_code == 404
    assert isinstance(missing.json()["error"], str)
    assert (await there.head("/")).status_code == 200


def test_a_busy_port_costs_nothing_but_a_warning(tmp_path: Path) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place = Home(tmp_path)
        place.write(place.fake("a"), top=f"ollama_port = {taken.getsockname()[1]}")
        gateway = RunningGateway(place)
        try:
            gateway.wait_ready()
        finally:
            gateway.close()
        assert "ollama.port_missed" in gateway.printed()
