"""Any program as an engine: started, proven, stopped and classified like llama.cpp."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import msgspec
import pytest

from hostler.config.quantities import Bytes
from hostler.config.settings import EngineSettings, LimitSettings, Profile, Task
from hostler.engines.logs import path_for
from hostler.engines.processes.orphans import Records
from hostler.engines.processes.spares import Spares
from hostler.engines.program import Program, filled
from hostler.engines.protocol import Complaint, LoadSpec, Ready, RunnerSettings
from hostler.errors import BuildUnusable, EngineLost, LoadFailed, LoadTimeout, OutOfMemory
from hostler.fleet.profiles.programs import spec_of
from hostler.hardware.process import process_start_time
from hostler.testing.processes import group_is_gone

pytestmark = pytest.mark.anyio

FAKE = (sys.executable, "-m", "hostler.testing.fake_engine", "--port", "${PORT}", "-m", "${MODEL}")

MakeProgram = Callable[..., Program]
MakeSpec = Callable[..., LoadSpec]


@pytest.fixture
def program(tmp_path: Path) -> MakeProgram:
    """``program(grace_s=...)``: a driver with those limits, in a folder of its own."""

    def make(**limits: float) -> Program:
        folders = {name: tmp_path / name for name in ("logs", "state", "cache")}
        return Program(RunnerSettings(limits=LimitSettings(**limits), **folders))

    return make


@pytest.fixture
def command(tmp_path: Path) -> MakeSpec:
    """``command(argv, task=..., stop=..., ...)``: what it takes to run such a profile."""

    weights = tmp_path / "weights.gguf"
    weights.write_bytes(b"GGUF")

    def make(argv: tuple[str, ...] = FAKE, *, task: Task | None = "chat", **engine: object) -> LoadSpec:
        settings = EngineSettings(kind="command", argv=argv, **engine)
        spec, _ = spec_of("other", Profile(model=str(weights), task=task, engine=settings), None, {})
        return msgspec.structs.replace(spec, instance="other-1")

    return make


async def test_a_program_is_ready_when_it_has_generated(program, command, run, tmp_path: Path) -> None:
    runner = program()
    async with run(runner, command()) as engine:
        assert engine.failure is None
        assert isinstance(engine.reports[-1], Ready)
        endpoint, pid = engine.ready.endpoint, engine.started.pid
        assert str(endpoint.port) in engine.started.argv
        assert engine.started.argv[-1] == str(tmp_path / "weights.gguf")
        assert runner.runs(endpoint)
        assert await runner.probe(endpoint, "chat") is not None
        assert await runner.slots_busy(endpoint) is None
        assert runner.resident_bytes(pid, command())["host"] > 2**20
        assert [record.pid for record in Records(tmp_path / "state").all()] == [pid]

    assert not runner.runs(endpoint)
    assert group_is_gone(pid)
    assert Records(tmp_path / "state").all() == []


async def test_the_shim_that_waits_becomes_the_next_program(command, run, tmp_path: Path) -> None:
    spares = Spares(LimitSettings)
    folders = {name: tmp_path / name for name in ("logs", "state", "cache")}
    runner, spec = Program(RunnerSettings(limits=LimitSettings(), **folders), spares=spares), command()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(spares.run)
        async with run(runner, spec):
            with anyio.fail_after(60):
                while not spares.pids:
                    await anyio.sleep(0.01)
            (waiting,) = spares.pids.values()
        async with run(runner, spec) as second:
            assert second.failure is None
            assert second.started.pid == waiting
        tasks.cancel_scope.cancel()
    assert group_is_gone(waiting)


async def test_without_a_task_its_health_is_enough(program, command, run) -> None:
    """Of a program without a task nobody knows what it could be asked."""
    refusing = (*FAKE, "--fake-error", "500")
    async with run(program(), command(refusing, task=None)) as engine:
        assert engine.failure is None
        assert engine.ready.tokens_per_s is None


async def test_some_programs_only_listen(program, command, run) -> None:
    listening = (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "${PORT}")
    async with run(program(), command(listening, task=None, health="none")) as engine:
        assert engine.failure is None


async def test_a_program_that_never_listens_is_given_up_with_what_was_waited_for(program, command, run) -> None:
    silent = (sys.executable, "-c", "import time; time.sleep(600)", "${PORT}")
    async with run(program(load_s=0.5), command(silent)) as engine:
        pid = engine.started.pid

    assert isinstance(engine.failure, LoadTimeout)
    assert "waiting for /health on port" in engine.failure.message
    assert "hostler logs other" in engine.failure.hint
    assert "disk" not in engine.failure.hint
    assert group_is_gone(pid)


async def test_a_wrong_health_path_is_named(program, command, run) -> None:
    async with run(program(load_s=1), command(health="/alive")) as engine:
        pass
    assert isinstance(engine.failure, LoadTimeout)
    assert "/alive" in engine.failure.message


async def test_how_it_ended_is_classified(program, command, run) -> None:
    async with run(program(), command((*FAKE, "--fake-oom", "host:64"))) as engine:
        pass
    assert isinstance(engine.failure, OutOfMemory)

    async with run(program(), command((sys.executable, "-c", "raise SystemExit(3)", "${PORT}"))) as engine:
        pass
    assert isinstance(engine.failure, LoadFailed)
    assert "exit code 3" in engine.failure.message


async def test_its_end_after_it_was_ready_is_told(program, command, run, tmp_path: Path) -> None:
    stopper = tmp_path / "stop"
    script = f"import http.server, threading, os\nos.mkfifo({str(stopper)!r})\n"
    script += "server = http.server.HTTPServer(('127.0.0.1', int(__import__('sys').argv[1])),"
    script += " http.server.SimpleHTTPRequestHandler)\n"
    script += f"threading.Thread(target=lambda: (open({str(stopper)!r}).read(), os._exit(4)), daemon=True).start()\n"
    script += "server.serve_forever()\n"
    async with run(program(), command((sys.executable, "-c", script, "${PORT}"), task=None, health="/")) as engine:
        assert engine.failure is None
        stopper.write_text("now")
        await engine.ended.wait()
    assert isinstance(engine.failure, EngineLost)
    assert "code 4" in engine.failure.message


async def test_its_own_way_to_stop_comes_first(program, command, run, tmp_path: Path) -> None:
    said = tmp_path / "said"
    stop = ("/bin/sh", "-c", f'echo "$0 $1" > {said}; kill -KILL $0', "${PID}", "${PORT}")
    async with run(program(), command((*FAKE, "--fake-ignore-term"), stop=stop)) as engine:
        assert engine.failure is None
        pid, port = engine.started.pid, engine.ready.endpoint.port

    assert said.read_text().split() == [str(pid), str(port)]
    assert group_is_gone(pid)


async def test_what_it_left_behind_is_stopped_when_it_ended_by_itself(program, command, run, tmp_path: Path) -> None:
    """The client of a container can crash and leave it running."""
    said = tmp_path / "said"
    stop = ("/bin/sh", "-c", f"echo stopped >> {said}")
    async with run(program(), command((sys.executable, "-c", "raise SystemExit(3)", "${PORT}"), stop=stop)) as engine:
        await engine.ended.wait()
    assert isinstance(engine.failure, LoadFailed)
    assert said.read_text() == "stopped\n"


async def test_how_it_stops_is_known_to_the_next_gateway(program, command, run, tmp_path: Path) -> None:
    async with run(program(), command(stop=("/bin/sh", "-c", "kill $0", "${PID}", "${PORT}"))) as engine:
        (record,) = Records(tmp_path / "state").all()
        port = engine.ready.endpoint.port
    assert record.stop == ("/bin/sh", "-c", "kill $0", "${PID}", str(port))


async def test_what_it_started_in_a_session_of_its_own_ends_with_it(program, command, run, tmp_path: Path) -> None:
    """A script that puts a server into the background of another session left it running, with its port and memory."""
    told = tmp_path / "told"
    shell = f"setsid sh -c 'echo $$ > {told}; exec sleep 600' & exec \"$@\""
    async with run(program(), command(("/bin/sh", "-c", shell, "sh", *FAKE))) as engine:
        assert engine.failure is None
        (record,) = Records(tmp_path / "state").all()
        assert record.mark
        beside = int(told.read_text())
        assert process_start_time(beside) is not None

    assert process_start_time(beside) is None
    (complaint,) = [report for report in engine.reports if isinstance(report, Complaint)]
    assert f"pid {beside}" in complaint.text
    assert complaint.level == "warning"


async def test_a_stop_that_hangs_or_does_not_exist_is_bounded(program, command, run) -> None:
    for stop in (("/bin/sleep", "600"), ("/no/such/program",)):
        async with run(program(grace_s=0.3), command(stop=stop)) as engine:
            pid = engine.started.pid
        assert group_is_gone(pid)


async def test_what_is_declared_counts_at_least(program, command, run) -> None:
    """What runs in a container is held by nobody's child."""
    spec = command(memory={"host": Bytes(2**40), "gpu0": Bytes(2**30)})
    assert spec.bytes == {"host": 2**40, "gpu0": 2**30}
    async with run(program(), spec) as engine:
        held = Program.resident_bytes(program(), engine.started.pid, spec)
    assert held == {"host": 2**40, "gpu0": 2**30}


async def test_a_program_that_is_not_there_is_told_before_anything_leaves_for_it(program, command) -> None:
    with pytest.raises(BuildUnusable, match="no-such-server"):
        await program().preflight(command(("no-such-server", "${PORT}")))


async def test_its_log_is_kept(program, command, run, tmp_path: Path) -> None:
    said = (sys.executable, "-c", "print('hello there'); raise SystemExit(1)", "${PORT}")
    async with run(program(), command(said)):
        pass
    assert "hello there" in path_for(tmp_path / "logs", "other").read_text()


def test_only_our_own_names_are_put_in() -> None:
    assert filled(("${PORT}", "-p${PORT}:80", "${HOME}", "$PORT"), {"PORT": "7"}) == ("7", "-p7:80", "${HOME}", "$PORT")
