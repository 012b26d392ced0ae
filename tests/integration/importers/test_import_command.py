"""`hostler import` as a user runs it: files in, hostler.toml changed, everything else listed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hostler.config.load import read_text
from hostler.config.paths import home as home_of

PRESETS = "[*]\nc = 4096\n[coder]\nmodel = /w/coder.gguf\nunheard-of = 1\n[tiny]\nmodel = /w/tiny.gguf\n"
MINE = '# my own words\n[gateway]\nport = 4999 # kept\n\n[profiles.coder]\nmodel = "/w/other.gguf"\n'


def run(*arguments: str) -> Result:
    from hostler.cli.tree import app

    return CliRunner().invoke(app, ["import", *arguments])


@pytest.fixture
def source(tmp_path: Path) -> str:
    file = tmp_path / "presets.ini"
    file.write_text(PRESETS)
    return str(file)


def test_a_dry_run_shows_the_difference_and_writes_nothing(home: Path, source: str) -> None:
    done = run(source, "--dry-run")
    assert done.exit_code == 0, done.output
    assert "+[profiles.coder]" in done.stdout
    assert '+model = "/w/coder.gguf"' in done.stdout
    assert "presets.ini:5 [coder] `unheard-of 1`" in done.stdout
    assert not (home / "hostler.toml").exists()


def test_profiles_are_written_and_what_was_there_stays(home: Path, source: str) -> None:
    file = home / "hostler.toml"
    file.write_text(MINE)
    done = run(source)
    assert done.exit_code == 0, done.output
    after = file.read_text()
    assert after.startswith(MINE)
    assert "[profiles.coder-2]" in after
    assert "[profiles.tiny]" in after
    assert "`coder` is taken" in done.stdout
    assert "2 profiles (coder-2, tiny) are in" in done.stdout
    again = run(source)
    assert "Nothing to add" in again.stdout
    assert file.read_text() == after


def test_one_of_several_and_programs_get_json(home: Path, source: str) -> None:
    done = run(source, "--only", "tiny", "--json")
    said = json.loads(done.stdout)
    assert said["kind"] == "llama-server"
    assert said["written"] is True
    assert [profile["name"] for profile in said["profiles"]] == ["tiny"]
    assert said["profiles"][0]["fields"] == {"model": "/w/tiny.gguf", "context": 4096}
    assert "+[profiles.tiny]" in said["diff"]
    assert "[profiles.coder]" not in (home / "hostler.toml").read_text()


def test_the_environment_fills_a_llama_swap_file(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("models:\n  a: {cmd: 'llama-server -m ${env.WHERE}/a.gguf'}\n")
    refused = run(str(file))
    assert refused.exit_code == 1
    assert f"{file}:2: the environment has no WHERE" in refused.stderr
    monkeypatch.setenv("WHERE", "/w")
    assert run(str(file)).exit_code == 0
    assert '"/w/a.gguf"' in (home / "hostler.toml").read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "--from"),
        (b"services:\n  a: {}\n", "compose file"),
        (b"\xff\xfe", "not UTF-8"),
        (b"x" * (2**20 + 1), "too large"),
        (b"[a]\nmodel = /x\n!\n", "source:3"),
    ],
)
def test_what_cannot_be_read_is_refused_and_nothing_changes(
    home: Path, tmp_path: Path, content: bytes, message: str
) -> None:
    file = tmp_path / "source"
    file.write_bytes(content)
    refused = run(str(file))
    assert refused.exit_code == 1
    assert message in refused.stderr
    assert not (home / "hostler.toml").exists()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    refused = run(str(tmp_path / "nowhere"))
    assert refused.exit_code == 1
    assert "cannot be read" in refused.stderr


def test_a_kind_that_does_not_exist_is_wrong_usage(source: str) -> None:
    assert run(source, "--from", "lm-studio").exit_code == 2


def test_the_other_configuration_file(tmp_path: Path, source: str) -> None:
    other = tmp_path / "other.toml"
    other.write_text("")
    assert run(source, "--config", str(other)).exit_code == 0
    assert read_text(home_of({}, other).config_file) == other.read_text()
    assert "[profiles.tiny]" in other.read_text()
