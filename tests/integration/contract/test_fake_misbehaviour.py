"""The fake engine misbehaves exactly as its switches say."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hostler.testing.builds import write_build
from hostler.testing.http import Broken, Response, bearer, connected, encode, request, stream
from hostler.testing.launch import NotStarted, Running, running_fake, running_program

pytestmark = pytest.mark.anyio

FakeEngine = Callable[..., Awaitable[Running]]
CHAT = "/v1/chat/completions"
SAY: dict[str, object] = {"messages": [{"role": "user", "content": "Say hello"}]}
STREAM = SAY | {"stream": True}


async def ask(engine: Running, body: dict[str, object] = SAY) -> Response:
    return await request(engine.address, "POST", CHAT, body, bearer(engine.key))


async def busy(engine: Running) -> int:
    page = await request(engine.address, "GET", "/slots", None, bearer(engine.key))
    return page.body.count(b'"is_processing":true')


@pytest.mark.parametrize("name", ["SIGILL", "SIGKILL", "SIGSEGV"])
async def test_dies_by_a_signal_at_load(name: str) -> None:
    with pytest.raises(NotStarted):
        async with running_fake(die_at_load=name):
            pass


async def test_fails_to_allocate() -> None:
    with pytest.raises(NotStarted, match=r"allocating 512\.00 MiB on device 1: cudaMalloc failed: out of memory"):
        async with running_fake(oom="CUDA1:512"):
            pass


async def test_fails_to_allocate_unless_its_sizes_are_small(fake_engine: FakeEngine) -> None:
    with pytest.raises(NotStarted, match="failed to allocate CPU buffer"):
        async with running_fake("-ub", "256", oom_unless="ubatch=128,context=8192"):
            pass
    await fake_engine("-ub", "128", "-c", "8192", oom_unless="ubatch=128,context=8192")


async def test_never_ready(fake_engine: FakeEngine) -> None:
    engine = await fake_engine(never_ready=True)
    response = await request(engine.address, "GET", "/health")
    assert response.status == 503
    assert response.json() == {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}


async def test_an_unknown_flag_is_refused_as_by_llama_server() -> None:
    with pytest.raises(NotStarted, match="error: invalid argument: --no-such-flag"):
        async with running_fake("--no-such-flag"):
            pass
    with pytest.raises(NotStarted, match="error: invalid argument: --metrics"):
        async with running_fake("--metrics", lacks="--metrics"):
            pass


@pytest.mark.parametrize(("how", "status"), [("SIGKILL", -signal.SIGKILL), ("SIGSEGV", -signal.SIGSEGV), ("7", 7)])
async def test_crashes_in_a_stream(fake_engine: FakeEngine, how: str, status: int) -> None:
    engine = await fake_engine(crash_after=5, crash=how)
    assert (await ask(engine, SAY | {"max_tokens": 4})).status == 200
    response = await ask(engine, STREAM)
    assert not response.complete
    # Five tokens and the role.
    assert len(response.events()) == 6
    assert await engine.process.wait() == status


async def test_hangs_in_a_stream_until_the_client_goes(fake_engine: FakeEngine) -> None:
    engine = await fake_engine()
    body = STREAM | {"fake": {"hang_after": 3}}
    async with stream(engine.address, "POST", CHAT, body, bearer(engine.key)) as exchange:
        events = exchange.events()
        for _ in range(4):
            await anext(events)
        assert await busy(engine) == 1
    async with asyncio.timeout(5):
        while await busy(engine):
            await asyncio.sleep(0.02)


async def test_never_notices_a_hang_up(fake_engine: FakeEngine) -> None:
    engine = await fake_engine(hangup_s=-1)
    async with stream(engine.address, "POST", CHAT, STREAM | {"fake": {"hang_after": 1}}, bearer(engine.key)):
        pass
    for _ in range(5):
        assert await busy(engine) == 1


async def test_ignores_sigterm() -> None:
    async with running_fake(ignore_term=True) as engine:
        engine.process.terminate()
        assert (await ask(engine)).status == 200
        engine.process.kill()
        assert await engine.process.wait() == -signal.SIGKILL


async def test_closes_idle_connections(fake_engine: FakeEngine) -> None:
    engine = await fake_engine(idle_ms=50)
    async with connected(engine.address) as exchange:
        exchange.writer.write(encode("GET", "/health", engine.address, None, None))
        await exchange.read_head()
        assert (await exchange.read()).complete
        assert await exchange.reader.read() == b""


async def test_drops_a_reused_connection_without_a_byte(fake_engine: FakeEngine) -> None:
    engine = await fake_engine(drop_reused=2)
    async with connected(engine.address) as exchange:
        exchange.writer.write(encode("GET", "/health", engine.address, None, None))
        await exchange.read_head()
        await exchange.read()
        exchange.writer.write(encode("GET", "/health", engine.address, None, None))
        with pytest.raises(Broken):
            await exchange.read_head()
    assert (await request(engine.address, "GET", "/health")).status == 200


@pytest.mark.parametrize("switches", [{"split": 3, "seed": 7}, {"close_delimited": True}, {"interim": 103}])
async def test_odd_framing_is_still_the_same_answer(fake_engine: FakeEngine, switches: dict[str, int]) -> None:
    engine = await fake_engine()
    plain = (await ask(engine, STREAM | {"max_tokens": 5})).events()
    odd = await ask(engine, STREAM | {"max_tokens": 5, "fake": switches})
    assert odd.complete
    assert [event.name for event in odd.events()] == [event.name for event in plain]
    assert odd.events()[-1].data == "[DONE]"
    assert ("transfer-encoding" in odd.headers) is not switches.get("close_delimited", False)


async def test_odd_heads(fake_engine: FakeEngine) -> None:
    engine = await fake_engine()
    with pytest.raises(Broken, match="no HTTP"):
        await ask(engine, SAY | {"fake": {"garbage_head": True}})
    assert len((await ask(engine, SAY | {"fake": {"head_kib": 20}})).raw_head) > 20 * 1024
    closed = await ask(engine, SAY | {"fake": {"connection_close": True}})
    assert closed.headers["connection"] == "close"


async def test_huge_errors(fake_engine: FakeEngine) -> None:
    engine = await fake_engine()
    response = await ask(engine, SAY | {"fake": {"error": 500, "error_mib": 2}})
    assert response.status == 500
    assert len(response.body) > 2 * 2**20


async def test_the_first_event_gets_lost(fake_engine: FakeEngine) -> None:
    engine = await fake_engine()
    response = await ask(engine, STREAM | {"max_tokens": 2, "fake": {"lost_first_event": True}})
    assert '"role"' not in response.body.decode()


async def test_a_forced_tool_is_called(fake_engine: FakeEngine) -> None:
    engine = await fake_engine()
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "x": {}}, "required": ["n"]}
    tools = [{"type": "function", "function": {"name": "count", "parameters": schema}}]
    body = (await ask(engine, SAY | {"tools": tools, "tool_choice": "required"})).body
    assert b'"finish_reason":"tool_calls"' in body
    assert b'"function":{"name":"count","arguments":"{\\"n\\": 1}"}' in body
    streamed = (await ask(engine, STREAM | {"tools": tools, "tool_choice": "required"})).body
    assert b'"tool_calls":[{"index":0,"id":"' in streamed


async def test_an_answer_keeps_to_a_schema(fake_engine: FakeEngine) -> None:
    schema = {"type": "object", "properties": {"calm": {"type": "boolean"}}, "required": ["calm"]}
    form = {"type": "json_schema", "json_schema": {"schema": schema}}
    body = (await ask(await fake_engine(), SAY | {"response_format": form})).body
    assert b'"content":"{\\"calm\\": true}"' in body


async def test_a_slow_reader_does_not_fill_memory(fake_engine: FakeEngine) -> None:
    engine = await fake_engine("-c", "1000000")
    body = STREAM | {"max_tokens": 200_000, "ignore_eos": True}
    async with connected(engine.address, receive_buffer=4096) as exchange:
        exchange.writer.write(encode("POST", CHAT, engine.address, body, bearer(engine.key)))
        await exchange.read_head()
        for _ in range(20):
            page = await request(engine.address, "GET", "/slots", None, bearer(engine.key))
        assert page.body.count(b'"is_processing":true') == 1


async def test_a_written_build_is_a_program_with_version_and_help(tmp_path: Path) -> None:
    build = write_build(tmp_path / "bin", tokens=3, lacks="--fit")
    for flag, expected in (("--version", b"version:"), ("--help", b"--ctx-size")):
        process = await asyncio.create_subprocess_exec(
            build, flag, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        assert expected in output
        assert b"--fit N" not in output
    async with running_program([str(build), "--port", "0"]) as engine:
        assert b'"completion_tokens":3' in (await ask(engine)).body
