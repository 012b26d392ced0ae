"""`hostler run`: the command finds the gateway, its end is ours, and what was loaded for it goes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from cli_run import HOSTLER
from fake_gateway import FakeGateway

Hostler = Callable[..., "subprocess.CompletedProcess[str]"]
HELD, ENDED = ("POST", "/api/load"), ("DELETE", "/api/load/hold-1")
LENT = ("POST", "/api/keys")
TELL = "import json, os, sys; print(json.dumps(dict(os.environ))); sys.exit(7)"


def test_the_command_finds_the_gateway_and_its_exit_code_is_ours(gateway: FakeGateway, hostler: Hostler) -> None:
    ended = hostler("run", "smollm2", "--", sys.executable, "-c", TELL, HOSTLER_KEY="secret")
    assert ended.returncode == 7, ended.stderr
    told = json.loads(ended.stdout)
    assert told["OPENAI_BASE_URL"] == f"{gateway.url}/v1"
    assert told["ANTHROPIC_BASE_URL"] == told["HOSTLER_URL"] == told["OLLAMA_HOST"] == gateway.url
    assert told["OPENAI_API_KEY"] == told["ANTHROPIC_AUTH_TOKEN"] == "secret"
    assert told["OPENAI_MODEL"] == told["ANTHROPIC_MODEL"] == told["HOSTLER_PROFILE"] == "smollm2"
    assert gateway.asked == [HELD, LENT, ENDED]
    assert gateway.bodies[0] == {"profile": "smollm2", "hold": 120.0, "id": None}


def test_an_admins_key_is_not_the_commands(gateway: FakeGateway, hostler: Hostler) -> None:
    """It gets one that is lent to it, wherever the admin's stood, and gives it back."""
    gateway.lends = "hostler-lent"
    mine = {"HOSTLER_KEY": "secret", "OPENAI_API_KEY": "secret", "LITELLM_KEY": "secret", "OTHER": "secretive"}
    ended = hostler("run", "tiny", "--", sys.executable, "-c", TELL, **mine)
    assert ended.returncode == 7, ended.stderr
    told = json.loads(ended.stdout)
    lent = ("HOSTLER_KEY", "OPENAI_API_KEY", "ANTHROPIC_AUTH_TOKEN", "LITELLM_KEY")
    assert {told[name] for name in lent} == {"hostler-lent"}
    assert "secret" not in told.values()
    assert told["OTHER"] == "secretive"
    wish = gateway.bodies[1]
    assert (wish["profiles"], wish["lasts_s"]) == (["smollm2"], 3600.0)
    assert str(wish["name"]).startswith("run-python")
    assert gateway.asked == [HELD, LENT, ("DELETE", f"/api/keys/{wish['name']}"), ENDED]
    assert set(gateway.keys) == {"Bearer secret"}


def test_a_key_for_models_alone_is_handed_on(gateway: FakeGateway, hostler: Hostler) -> None:
    gateway.manages = False
    told = json.loads(hostler("run", "smollm2", "--", sys.executable, "-c", TELL, HOSTLER_KEY="mine").stdout)
    assert told["OPENAI_API_KEY"] == told["HOSTLER_KEY"] == "mine"
    assert gateway.asked == [HELD, LENT, ENDED]


def test_without_keys_nothing_is_lent(gateway: FakeGateway, hostler: Hostler) -> None:
    told = json.loads(hostler("run", "smollm2", "--", sys.executable, "-c", TELL).stdout)
    assert told["OPENAI_API_KEY"] == "hostler"
    assert "HOSTLER_KEY" not in told


def test_its_options_are_its_own(gateway: FakeGateway, hostler: Hostler) -> None:
    ended = hostler("run", "smollm2", "--", sys.executable, "-c", "import sys; print(sys.argv[1:])", "--json", "-h")
    assert ended.stdout == "['--json', '-h']\n"


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 9), (signal.SIGINT, 9)])
def test_signals_go_to_the_command(gateway: FakeGateway, sent: signal.Signals, code: int) -> None:
    waits = (
        "import signal, sys, time\n"
        f"signal.signal({int(sent)}, lambda *_: sys.exit(9))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    gateway.lends = "hostler-lent"
    ours = subprocess.Popen(
        [HOSTLER, "run", "smollm2", "--", sys.executable, "-c", waits],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=dict(os.environ),
    )
    with ours:
        assert ours.stdout is not None
        assert ours.stdout.readline() == b"ready\n"
        ours.send_signal(sent)
        assert ours.wait(30) == code
    assert gateway.asked[-2][1].startswith("/api/keys/run-")
    assert gateway.asked[-1] == ENDED


def test_a_command_that_died_by_a_signal_ends_as_in_a_shell(gateway: FakeGateway, hostler: Hostler) -> None:
    die = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert hostler("run", "smollm2", "--", sys.executable, "-c", die).returncode == 128 + signal.SIGKILL
    assert gateway.asked[-1] == ENDED


def test_nothing_is_loaded_for_a_command_that_does_not_exist(gateway: FakeGateway, hostler: Hostler) -> None:
    ended = hostler("run", "smollm2", "--", "no-such-command-here")
    assert ended.returncode != 0
    assert "no-such-command-here" in ended.stderr
    assert gateway.asked == []
