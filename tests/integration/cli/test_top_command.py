"""`hostler top --once` and `--json`, `hostler` alone, and the window on a real terminal."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable

import msgspec
import pytest
from cli_run import HOSTLER, Run
from fake_gateway import FakeGateway

from hostler.cli.top.board import Snapshot
from hostler.testing.terminal import terminal

Hostler = Callable[..., subprocess.CompletedProcess[str]]
COLOUR = re.compile(rb"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[;\d]*m")


def test_once_prints_a_frame(gateway: FakeGateway, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = run("top", "--once")
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    for words in ("host 338M/300M", "4.0G/24.0G", "req-9", "smollm2 is loading"):
        assert words in shown.stdout


def test_without_a_terminal_it_prints_a_frame(gateway: FakeGateway, hostler: Hostler) -> None:
    done = hostler("top")
    assert done.returncode == 0, done.stderr
    assert "── Instances (1)" in done.stdout
    assert "\x1b" not in done.stdout


def test_json_is_one_snapshot(gateway: FakeGateway, run: Run) -> None:
    done = run("top", "--json")
    assert done.exit_code == 0, done.output
    known = msgspec.json.decode(done.stdout, type=Snapshot)
    assert [instance.profile for instance in known.instances] == ["smollm2"]
    assert known.events
    assert set(json.loads(done.stdout)) >= {"status", "profiles", "instances", "requests", "metrics", "events"}


def test_without_a_gateway_it_says_how_to_start_one(hostler: Hostler, free_port: int) -> None:
    done = hostler("top", HOSTLER_URL=f"http://127.0.0.1:{free_port}")
    assert done.returncode == 3
    assert "hostler up" in done.stderr
    assert done.stdout == ""


def test_hostler_alone_is_the_help_without_a_terminal(gateway: FakeGateway, hostler: Hostler) -> None:
    done = hostler()
    assert done.returncode == 2
    assert done.stdout.startswith("Usage: hostler")
    assert not gateway.asked


def test_help_imports_nothing_of_the_window() -> None:
    code = "import sys, hostler.cli.tree; print('textual' in sys.modules, 'rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["False", "False"]


def test_top_on_a_terminal(gateway: FakeGateway) -> None:
    with terminal([HOSTLER, "top"]) as seen:
        seen.until("req-9")
        seen.type("q")
        assert seen.end() == 0
    assert COLOUR.search(seen.written)
    assert b"Traceback" not in seen.written


@pytest.mark.parametrize(("arguments", "environment"), [(("--no-color",), {}), ((), {"NO_COLOR": "1"})])
def test_no_colours(gateway: FakeGateway, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    with terminal([HOSTLER, "top", *arguments], **environment) as seen:
        seen.until("req-9")
        seen.type("l")
        seen.until("Load which profile?")
        seen.type("q")
        seen.type("q")
        assert seen.end() == 0
    assert COLOUR.search(seen.written) is None


def test_hostler_alone_on_a_terminal_is_the_menu(gateway: FakeGateway) -> None:
    with terminal([HOSTLER]) as seen:
        seen.until("gemma3-270m")
        seen.type("\r")
        seen.until("is ready already")
        seen.type("q")
        assert seen.end() == 0


def test_hostler_alone_without_a_gateway_is_the_help_and_what_to_do(free_port: int) -> None:
    with terminal([HOSTLER], HOSTLER_URL=f"http://127.0.0.1:{free_port}") as seen:
        seen.until("Start one with `hostler up`.")
        assert seen.end() == 3
    assert b"Usage: hostler" in seen.written
