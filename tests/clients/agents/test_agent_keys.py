"""Where the gateway wants a key: clients use the one made for them, and find the user's own by its variable."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from agent_runs import PATIENCE_S
from client_installs import node, python
from gateway_process import HOSTLER, Command, Home, RunningGateway


@dataclass(frozen=True)
class Closed:
    """A gateway with keys, and the user's own."""

    running: RunningGateway
    folder: Path
    key: str

    def run(self, *words: str, programs: Path = HOSTLER.parent, **more: str) -> Command:
        """Run a command without the key, unless ``more`` of the environment has it."""
        path = os.pathsep.join((str(programs), os.environ["PATH"]))
        environment = self.running.home.environment() | {"PATH": path, "PWD": str(self.folder), "TERM": "dumb"} | more
        done = subprocess.run(
            words, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        return Command(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def closed(place: Home, folder: Path) -> Iterator[Closed]:
    place.write(place.fake("steady", "context = 65536"), top='default = "steady"')
    gateway = RunningGateway(place)
    try:
        gateway.wait_ready()
        key = place.cli("key", "new", "me", "--scope", "admin").out.strip()
        yield Closed(gateway, folder, key)
    finally:
        gateway.close()


def agents() -> Path:
    return node("agents") / "node_modules" / ".bin"


def command(client: str, base: Path, state: Path) -> tuple[Path, tuple[str, ...], dict[str, str]]:
    """Where a client's program is, how it asks once, and what the line that `hostler connect` prints sets for it."""
    match client:
        case "codex":
            return agents(), ("codex", "exec", "--profile", "hostler", "--skip-git-repo-check", "Say hello."), {}
        case "opencode":
            config = {"OPENCODE_CONFIG": str(base / ".config/opencode/hostler.json")}
            return agents(), ("opencode", "run", "Say hello."), config
        case "continue":
            return agents(), ("cn", "--config", str(base / ".continue/models/hostler.yaml"), "-p", "Say hello."), {}
        case "claude-code":
            line = f". {state}/clients/claude-code.sh && claude -p 'Say hello.'"
            return agents(), ("bash", "-c", line), {}
        case _:
            return python("llm").parent, ("llm", "-m", "hostler/steady", "Say hello."), {}


@pytest.mark.parametrize("client", ["codex", "opencode", "claude-code", "continue", "llm"])
def test_a_key_of_its_own_and_the_users_by_its_variable(client: str, closed: Closed) -> None:
    home = closed.running.home
    programs, words, sets = command(client, home.base, home.state)
    made = closed.run("hostler", "connect", client, "--write", "--check", "--new-key", HOSTLER_KEY=closed.key)
    assert made.code == 0, made
    done = closed.run(*words, programs=programs, **sets)
    assert done.code == 0, done
    assert "wind" in done.out  # what the scripted engine says, not a message of the client's
    assert closed.run("hostler", "connect", client, "--undo").code == 0
    assert closed.run("hostler", "connect", client, "--write", HOSTLER_KEY=closed.key).code == 0
    if client == "llm":
        assert closed.run("llm", "keys", "set", "hostler", "--value", closed.key, programs=programs).code == 0
    done = closed.run(*words, programs=programs, HOSTLER_KEY=closed.key, **sets)
    assert done.code == 0, done
    assert "wind" in done.out
