"""`hostler connect` shows, writes, checks and undoes; `hostler claude` starts with this gateway and nobody else."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_run import Run
from fake_gateway import FakeGateway, profile

from hostler.accounts.keys import FILE_NAME, Keyring

Hostler = Callable[..., "subprocess.CompletedProcess[str]"]
MODELS = ("GET", "/v1/models")


@pytest.fixture
def codex_file(home: Path) -> Path:
    return home.parent / ".codex" / "hostler.config.toml"


def test_alone_it_lists_every_client(run: Run) -> None:
    listed = json.loads(run("connect", "--json").stdout)
    assert [each["name"] for each in listed] == [
        "claude-code", "codex", "opencode", "aider", "continue", "open-webui", "llm",
    ]  # fmt: skip
    assert not any(each["configured"] for each in listed)
    assert "npm install -g @openai/codex" in run("connect").stdout


def test_it_shows_and_writes_nothing(gateway: FakeGateway, run: Run, codex_file: Path) -> None:
    shown = run("connect", "codex")
    assert shown.exit_code == 0, shown.output
    assert f'base_url = "{gateway.url}/v1"' in shown.stdout
    assert "Start: codex --profile hostler" in shown.stdout
    assert gateway.asked == [MODELS]
    assert not codex_file.exists()


def test_it_writes_after_showing_what_changes_checks_and_undoes(
    gateway: FakeGateway, run: Run, codex_file: Path
) -> None:
    codex_file.parent.mkdir()
    codex_file.write_text('model = "gpt" # mine\n')
    gateway.profiles.append(profile("coder", context=65_536))
    written = run("connect", "codex", "--write", "--check")
    assert written.exit_code == 0, written.output
    assert '-model = "gpt" # mine' in written.stdout
    assert "12 tokens in, 3 out" in written.stdout
    assert tomllib.loads(codex_file.read_text())["model_context_window"] == 65_536
    assert gateway.asked == [MODELS, ("POST", "/v1/responses")]
    assert gateway.bodies[0]["model"] == "coder"
    assert any(each["configured"] for each in json.loads(run("connect", "--json").stdout))
    assert run("connect", "codex", "--undo").exit_code == 0
    assert codex_file.read_text() == 'model = "gpt" # mine\n'


def test_it_is_told_as_json(gateway: FakeGateway, run: Run) -> None:
    told = json.loads(run("connect", "opencode", "--model", "tiny", "--json", "--check").stdout)
    assert told["model"] == told["small_model"] == "smollm2"
    assert told["check"]["path"] == "/v1/chat/completions"
    assert json.loads(told["files"][0]["text"])["model"] == "hostler/smollm2"


def test_what_does_not_exist_is_refused(gateway: FakeGateway, run: Run) -> None:
    assert "claude-code, codex" in run("connect", "emacs").stderr
    assert "smollm2" in run("connect", "codex", "--model", "huge").stderr
    assert "Nothing was written" in run("connect", "codex", "--undo").stderr


def test_a_new_key_is_of_this_home_and_its_file_is_private(
    gateway: FakeGateway, run: Run, home: Path, codex_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = run("connect", "codex", "--write", "--new-key")
    assert "not kept here" in refused.stderr
    monkeypatch.delenv("HOSTLER_URL")
    (home / "hostler.toml").write_text(f"[gateway]\nport = {gateway.url.rpartition(':')[2]}\n")
    made = run("connect", "codex", "--write", "--check", "--new-key")
    assert made.exit_code == 0, made.output
    assert stat.S_IMODE(codex_file.stat().st_mode) == 0o600
    key = tomllib.loads(codex_file.read_text())["model_providers"]["hostler"]["experimental_bearer_token"]
    assert key not in made.output
    assert gateway.keys[-1] == f"Bearer {key}"
    (stored,) = Keyring.load(home / "state" / FILE_NAME).stored
    assert (stored.name, stored.scope) == ("codex", "inference")
    assert "hostler key rm codex" in run("connect", "codex", "--new-key").stderr
    assert "hostler key rm codex" in run("connect", "codex", "--undo").stdout
    told = run("connect", "opencode", "--write", "--new-key", "--json")
    assert "(the new key)" in json.loads(told.stdout)["files"][0]["text"]


@pytest.fixture
def claude(tmp_path: Path) -> dict[str, str]:
    """A program named `claude` that tells what it was started with, on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "claude"
    tell = "import json, os, sys\nprint(json.dumps([sys.argv[1:], dict(os.environ)]))\nsys.exit(7)\n"
    program.write_text(f"#!{sys.executable}\n{tell}")
    program.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def test_claude_gets_the_gateway_a_folder_of_its_own_and_nothing_that_leads_elsewhere(
    gateway: FakeGateway, hostler: Hostler, claude: dict[str, str], home: Path
) -> None:
    mine = {"ANTHROPIC_API_KEY": "sk-mine", "CLAUDE_CODE_USE_BEDROCK": "1", "HOSTLER_KEY": "secret"}
    ended = hostler("claude", "--model", "tiny", "-p", "hello", "--model", "x", "--json", **claude, **mine)
    assert ended.returncode == 7, ended.stderr
    words, environ = json.loads(ended.stdout)
    assert words == ["-p", "hello", "--model", "x", "--json"]
    assert environ["ANTHROPIC_BASE_URL"] == gateway.url
    assert environ["ANTHROPIC_AUTH_TOKEN"] == "secret"
    assert environ["ANTHROPIC_MODEL"] == environ["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == "smollm2"
    assert environ["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] == "1"
    assert Path(environ["CLAUDE_CONFIG_DIR"]).is_relative_to(home)
    assert Path(environ["CLAUDE_CONFIG_DIR"]).is_dir()
    assert not {"ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK"} & set(environ)
    assert "8,192 tokens" in ended.stderr


def test_claude_gets_a_key_that_ends_with_it(gateway: FakeGateway, hostler: Hostler, claude: dict[str, str]) -> None:
    gateway.lends = "hostler-lent"
    ended = hostler("claude", "--model", "tiny", "--small-model", "tiny", "-p", "x", HOSTLER_KEY="secret", **claude)
    assert ended.returncode == 7, ended.stderr
    words, environ = json.loads(ended.stdout)
    assert words == ["-p", "x"]
    assert environ["ANTHROPIC_AUTH_TOKEN"] == environ["HOSTLER_KEY"] == "hostler-lent"
    assert "secret" not in environ.values()
    name = gateway.bodies[-1]["name"]
    assert gateway.bodies[-1]["profiles"] == ["smollm2"]
    assert str(name).startswith("claude-")
    assert gateway.asked[1:] == [("POST", "/api/keys"), ("DELETE", f"/api/keys/{name}")]


def test_claude_that_is_not_there_says_how_to_install_it(gateway: FakeGateway, hostler: Hostler) -> None:
    ended = hostler("claude", PATH="/nonexistent")
    assert ended.returncode == 1
    assert "npm install -g @anthropic-ai/claude-code" in ended.stderr
    assert gateway.asked == []
