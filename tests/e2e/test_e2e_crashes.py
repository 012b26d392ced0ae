"""Whatever is killed, the rest lives on and nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from gateway_process import Home, RunningGateway, engine_process, eventually, processes_of, runs

from hostler.engines.processes.orphans import Record as EngineRecord
from hostler.events import EngineTrouble, InstanceChanged
from hostler.testing.http import Event, Exchange

pytestmark = pytest.mark.anyio

LONG = {"max_tokens": 400, "ignore_eos": True}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Iterator[RunningGateway]:
    """One gateway whose engines are killed; each test has its own profile."""
    place = Home(tmp_path_factory.mktemp("crashes"))
    place.write(
        place.profile("real", smollm2),
        *(place.fake(name, tokens=5) for name in ("busy", "idle", "good")),
        place.fake("broken", exit_at_load=3, load_log="the coal is wet"),
        top="[limits]\nbackoff_s = 0.1\nload_tries = 2",
    )
    running = RunningGateway(place)
    try:
        yield running.wait_ready()
    finally:
        running.close()


async def _first_content(stream: Exchange) -> None:
    async for event in stream.events():
        if '"content":"' in event.data:
            return


async def _kill_engine_mid_stream(running: RunningGateway, name: str, **fields: object) -> list[Event]:
    """Everything that the client of a stream gets whose engine is killed after the first token."""
    async with running.streaming(name, **fields) as stream:
        seen: list[Event] = []
        async for event in stream.events():
            seen.append(event)
            if '"content":"' in event.data and not any("error" in each.data for each in seen):
                pid = (await running.instance(name))["pid"]
                if runs(engine := engine_process(pid)):
                    os.kill(pid, signal.SIGKILL)
                    await eventually(lambda process=engine: not runs(process), "the engine is gone")
                break
        async for event in stream.events():
            seen.append(event)
        assert stream.complete
    return seen


async def test_a_real_engine_killed_mid_stream_ends_the_stream_with_an_error_event(shared: RunningGateway) -> None:
    running = shared
    seen = await _kill_engine_mid_stream(running, "real", **LONG)
    assert seen[-1].data == "[DONE]"
    error = seen[-2].json()["error"]
    assert isinstance(error, dict)
    assert error["source"] == "engine"
    assert "engine" in error["message"]
    assert (await running.chat("real", max_tokens=4)).status == 200
    assert len([each for each in await running.instances() if each["profile"] == "real"]) == 1
    assert await running.idle()


async def test_an_engine_that_crashes_before_its_first_byte_is_asked_again(shared: RunningGateway) -> None:
    running = shared
    before = await running.chat("busy")
    assert before.status == 200
    first = (await running.instance("busy"))["pid"]
    os.kill(first, signal.SIGKILL)
    assert (await running.chat("busy")).status == 200
    assert (await running.instance("busy"))["pid"] != first


async def test_an_engine_that_dies_idle_is_loaded_again_when_asked_for(shared: RunningGateway) -> None:
    running = shared
    assert (await running.chat("idle")).status == 200
    os.kill((await running.instance("idle"))["pid"], signal.SIGKILL)
    failed = await running.event(InstanceChanged, lambda event: (event.profile, event.state) == ("idle", "failed"))
    assert "SIGKILL" in failed.reason
    assert (await running.chat("idle")).status == 200


async def test_an_engine_that_hangs_in_an_answer_is_started_anew(gateway, place) -> None:
    running = gateway(place.fake("coder"), top="[limits]\nstall_s = 1")
    assert (await running.chat("coder")).status == 200
    first = (await running.instance("coder"))["pid"]
    async with running.streaming("coder", fake={"hang_after": 3}) as stream:
        seen = [event async for event in stream.events()]
    error = seen[-2].json()["error"]
    assert isinstance(error, dict)
    assert (error["code"], error["cause"]) == ("engine_lost", "hang")
    assert "nothing for" in str(error["evidence"])
    told = await running.event(EngineTrouble)
    assert told.cause == "hang"
    assert (await running.chat("coder")).status == 200
    assert (await running.instance("coder"))["pid"] != first


async def test_engines_end_with_a_gateway_that_is_killed(gateway, place, smollm2: Path) -> None:
    place.write(place.profile("smollm2", smollm2), place.fake("stubborn", ignore_term=True))
    running = gateway()
    for name in ("smollm2", "stubborn"):
        assert (await running.chat(name, max_tokens=4)).status == 200
    engines = [engine_process(each["pid"]) for each in await running.instances()]
    assert len(engines) == 2

    running.expected = -signal.SIGKILL
    running.signal(signal.SIGKILL)
    await running.ended()
    await eventually(lambda: not any(map(runs, engines)), "no engine runs")
    await eventually(lambda: not processes_of(place.base), "nothing of it runs")

    again = gateway()
    assert list((place.state / "engines").glob("*.json")) == []
    assert (await again.chat("smollm2", max_tokens=4)).status == 200


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, as engines are."""
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as process:
        yield process
        process.kill()


def _record(place: Home, process: EngineRecord, name: str) -> Path:
    """What a gateway that was killed left: the record of an engine that outlived it."""
    folder = place.state / "engines"
    folder.mkdir(parents=True, exist_ok=True)
    record = msgspec.structs.replace(process, instance=name, profile="coder", argv0="llama-server")
    (folder / f"{name}.json").write_bytes(msgspec.json.encode(record))
    return folder / f"{name}.json"


async def test_an_orphan_is_ended_by_the_next_start_and_told(gateway, place, sleeper: subprocess.Popen[bytes]) -> None:
    """The second line: an engine that outlived its gateway although it is told of its parent's end."""
    record = _record(place, engine_process(sleeper.pid), "coder-7")
    running = gateway(place.fake("coder"))
    assert sleeper.wait(10) == -signal.SIGTERM
    assert not record.exists()
    assert f"engine.orphan_ended pid={sleeper.pid}" in running.logged()


async def test_a_process_that_only_has_an_orphans_number_is_left_alone(
    gateway, place, sleeper: subprocess.Popen[bytes]
) -> None:
    process = engine_process(sleeper.pid)
    record = _record(place, msgspec.structs.replace(process, started=process.started - 1000), "coder-7")
    gateway(place.fake("coder"))
    assert not record.exists()
    assert sleeper.poll() is None


async def test_a_second_gateway_names_the_pid_that_holds_the_home(shared: RunningGateway) -> None:
    running = shared
    second = running.cli("up")
    assert second.code == 1
    assert f"pid {running.pid}" in second.err
    assert running.url in second.err
    assert (await running.chat("good")).status == 200


async def test_up_with_a_profile_switches_the_gateway_that_runs(gateway, place) -> None:
    running = gateway(place.fake("one"), place.fake("two"))
    assert (await running.chat("one")).status == 200
    switched = place.cli("up", "two", "--json")
    assert switched.code == 0, switched
    assert switched.json["unloaded"] == ["one"]
    assert [each["profile"] for each in await running.instances()] == ["two"]


async def test_failing_again_and_again_stops_with_the_reason(shared: RunningGateway) -> None:
    running = shared
    for _ in range(3):
        answer = await running.chat("broken")
        assert answer.status in (502, 503), answer
        assert "the coal is wet" in str(answer.json())
    shown = await running.profile("broken")
    assert shown["state"] == "failed"
    assert "the coal is wet" in shown["reason"]
