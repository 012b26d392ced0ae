"""Commands that need no gateway: configuration, profiles, starters, doctor; and `up` where one runs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tomllib
from pathlib import Path

import msgspec
import pytest
from cli_run import HOSTLER, Run
from fake_gateway import FakeGateway

from hostler.cli.doctor.findings import Finding
from hostler.cli.starters import write_profile
from hostler.client.locate import RECORD, GatewayRecord
from hostler.config.load import ShownValue
from hostler.hardware.process import process_start_time
from hostler.models.starters import STARTERS
from hostler.testing.gguf_files import write_tiny_gguf


def record(home: Path, url: str) -> None:
    """This process runs a gateway at ``url``, says the home."""
    started = process_start_time(os.getpid())
    assert started is not None
    (home / "state").mkdir(exist_ok=True)
    (home / "state" / RECORD).write_bytes(msgspec.json.encode(GatewayRecord(os.getpid(), started, url)))


def test_config_check_names_file_line_and_key(run: Run, home: Path) -> None:
    file = home / "hostler.toml"
    file.write_text("[gateway]\nprot = 1\n")
    failed = run("config", "check")
    assert failed.exit_code == 1
    assert f"{file}:2" in failed.stderr
    assert "port" in failed.stderr
    file.write_text("[gateway]\nport = 1\n")
    assert run("config", "check").stdout == f"{file} is valid, with 0 profiles.\n"


def test_config_check_warns_of_what_is_not_on_this_machine(run: Run, home: Path) -> None:
    (home / "models").mkdir()
    write_tiny_gguf(home / "models" / "tiny.gguf")
    (home / "hostler.toml").write_text(
        '[profiles.typo]\nmodel = "tinny.gguf"\n[profiles.right]\nmodel = "tiny"\n'
        '[profiles.mine]\nmodel = "x"\n[profiles.mine.engine]\nkind = "command"\nargv = ["no-such", "${PORT}"]\n'
        '[auto.any]\nprofiles = ["right", "rigth"]\nfallback = ["typo"]\n'
    )
    done = run("config", "check")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()[1:]
    assert [line.split(": ")[1] for line in lines] == [
        "profiles.typo.model", "profiles.mine.engine.argv", "auto.any.profiles",
    ]  # fmt: skip
    for line, near in zip(lines, ("Nearest: tiny.", "`no-such`", "Did you mean right"), strict=True):
        assert line.startswith("Warning: ")
        assert near in line
    assert len(json.loads(run("config", "check", "--json").stdout)["warnings"]) == 3


def test_config_check_tells_builds_that_are_not_there(run: Run, home: Path) -> None:
    """Such a file was valid without a word; the first request heard of it."""
    engine = '[profiles.{0}]\nmodel = "x"\n[profiles.{0}.engine]\nkind = "llamacpp"\nbuild = "{1}"\n'
    (home / "hostler.toml").write_text(
        '[engines]\ndefault_build = "no-such-build"\n'
        + engine.format("gone", home / "no" / "llama-server")
        + engine.format("folder", home)
        + engine.format("fine", "/bin/sh")
    )
    lines = [line for line in run("config", "check").stdout.splitlines() if "build: " in line]
    assert [line.split(": ")[1] for line in lines] == [
        "engines.default_build", "profiles.gone.engine.build", "profiles.folder.engine.build",
    ]  # fmt: skip
    for line, told in zip(lines, ("no build `no-such-build`", "cannot be read", "is a folder"), strict=True):
        assert told in line


def test_config_check_and_doctor_tell_what_cannot_be_meant(run: Run, home: Path) -> None:
    (home / "hostler.toml").write_text(
        '[profiles.mine]\nmodel = "x"\n[profiles.mine.engine]\nkind = "command"\nmemory = { gpu7 = "1 GiB" }\n'
        'argv = ["sh", "${PORT}", "${PROT}"]\n'
    )
    place, memory = run("config", "check").stdout.splitlines()[1:]
    assert place.startswith("Warning: profiles.mine.engine.argv: nothing is put in for ${PROT}")
    assert memory.startswith("Warning: profiles.mine.engine.memory.gpu7: this machine has no such device")
    found = {each["check"]: each for each in json.loads(run("doctor", "--json").stdout) if each["level"] != "ok"}
    assert "${PROT}" in found["config"]["message"]
    assert found["memory"]["level"] == "problem"


def test_config_show_tells_value_and_source(run: Run, home: Path) -> None:
    (home / "hostler.toml").write_text("[gateway]\nport = 4999\n")
    shown = {v.key: v for v in msgspec.json.decode(run("config", "show", "--json").stdout, type=list[ShownValue])}
    assert shown["gateway.port"].value == "4999"
    assert shown["gateway.port"].source.endswith("hostler.toml:2")
    assert shown["limits.queue"].source == "default"
    changed = run("config", "show", "--changed").stdout
    assert "gateway.port" in changed
    assert "line 2" in changed
    assert "limits.queue" not in changed


def test_a_full_disk_is_told_in_words(home: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [HOSTLER, "config", "schema"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "hostler: The disk is full. Free some space.\n"


def test_config_path_and_schema(run: Run, home: Path) -> None:
    assert run("config", "path").stdout == f"{home / 'hostler.toml'}\n"
    assert json.loads(run("config", "path", "--json").stdout)["state"] == str(home / "state")
    assert "profiles" in json.loads(run("config", "schema").stdout)["properties"]


def test_a_missing_config_that_was_asked_for_is_an_error(run: Run, tmp_path: Path) -> None:
    failed = run("config", "check", "--config", str(tmp_path / "none.toml"))
    assert failed.exit_code == 1
    assert "none.toml" in failed.stderr


def test_profile_new_writes_a_profile_that_is_valid(run: Run, home: Path) -> None:
    (home / "models").mkdir()
    write_tiny_gguf(home / "models" / "tiny.gguf")
    done = run("profile", "new", "mine", "--from", "tiny")
    assert done.exit_code == 0, done.output
    written = tomllib.loads((home / "hostler.toml").read_text())["profiles"]["mine"]
    assert written["model"] == "tiny"
    assert written["context"] <= 8192
    assert run("config", "check").exit_code == 0
    again = run("profile", "new", "mine", "--from", "tiny")
    assert again.exit_code == 1
    assert "mine" in again.stderr


def test_profile_new_by_path_writes_the_whole_path(run: Run, home: Path, tmp_path: Path) -> None:
    write_tiny_gguf(tmp_path / "elsewhere.gguf")
    assert run("profile", "new", "far", "--from", str(tmp_path / "elsewhere.gguf")).exit_code == 0
    written = tomllib.loads((home / "hostler.toml").read_text())["profiles"]["far"]
    assert written["model"] == str(tmp_path / "elsewhere.gguf")


def test_profile_new_of_an_unknown_model_names_the_nearest(run: Run, home: Path) -> None:
    (home / "models").mkdir()
    write_tiny_gguf(home / "models" / "tiny.gguf")
    failed = run("profile", "new", "mine", "--from", "tinny")
    assert failed.exit_code == 1
    assert "tiny" in failed.stderr
    assert not (home / "hostler.toml").exists()


def test_the_first_starter_begins_the_configuration(home: Path) -> None:
    assert write_profile(None, STARTERS["smollm2"]) == home / "hostler.toml"
    assert write_profile(None, STARTERS["gemma3-270m"]) == home / "hostler.toml"
    written = tomllib.loads((home / "hostler.toml").read_text())
    assert written["gateway"] == {"default": "smollm2", "preload": ["smollm2"]}
    assert written["profiles"]["gemma3-270m"]["task"] == "completion"


def test_what_the_user_wrote_is_never_changed(home: Path) -> None:
    file = home / "hostler.toml"
    text = '# mine\n[profiles.other-name]\nmodel = "SmolLM2-135M-Instruct.Q4_1.gguf"\n'
    file.write_text(text)
    assert write_profile(None, STARTERS["smollm2"]) is None
    assert file.read_text() == text
    write_profile(None, STARTERS["gemma3-270m"])
    assert file.read_text().startswith(text)


def test_starters_ls_and_an_unknown_one(run: Run) -> None:
    shown = json.loads(run("starters", "ls", "--json").stdout)
    assert [starter["name"] for starter in shown] == list(STARTERS)
    assert not any(starter["fetched"] for starter in shown)
    failed = run("starters", "fetch", "gpt-9")
    assert failed.exit_code == 1
    assert "smollm2" in failed.stderr


def findings(output: str) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in msgspec.json.decode(output, type=list[Finding]):
        found.setdefault(finding.check, []).append(finding)
    return found


def test_doctor_of_a_healthy_home(run: Run, home: Path, free_port: int) -> None:
    (home / "models").mkdir()
    write_tiny_gguf(home / "models" / "tiny.gguf")
    (home / "hostler.toml").write_text(f"[gateway]\nport = {free_port}\n")
    done = run("doctor", "--json")
    assert done.exit_code == 0, done.output
    found = findings(done.stdout)
    assert set(found) == {"config", "machine", "devices", "engine", "folders", "port", "models"}
    assert found["port"][0].message == f"127.0.0.1:{free_port} is free."
    assert found["models"][0].message.startswith("1 model found")


def test_doctor_finds_what_is_wrong_and_says_what_to_do(run: Run, home: Path) -> None:
    (home / "models").mkdir()
    (home / "models" / "broken.gguf").write_bytes(b"GGUF\x03\x00\x00\x00")
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        (home / "hostler.toml").write_text(f'[gateway]\nport = {port}\n[profiles.gone]\nmodel = "not-here"\n')
        done = run("doctor", "--json")
    assert done.exit_code == 1
    found = findings(done.stdout)
    assert found["port"][0].level == "problem"
    assert f"(pid {os.getpid()})" in found["port"][0].message
    assert any("broken.gguf" in finding.message for finding in found["models"])
    assert any(finding.message.startswith("Profile gone:") for finding in found["models"])
    assert all(finding.hint for group in found.values() for finding in group if finding.level != "ok")


def test_doctor_goes_on_with_a_broken_configuration(run: Run, home: Path) -> None:
    (home / "hostler.toml").write_text("[gateway]\nprot = 1\n")
    done = run("doctor")
    assert done.exit_code == 1
    assert "hostler.toml:2" in done.stdout
    assert "machine" in done.stdout


def test_doctor_knows_the_running_gateway(run: Run, home: Path) -> None:
    record(home, "http://127.0.0.1:4999")
    found = findings(run("doctor", "--json").stdout)
    assert found["port"][0].message == f"A gateway runs at http://127.0.0.1:4999 (pid {os.getpid()})."


def test_up_beside_a_running_gateway_names_it(run: Run, home: Path) -> None:
    record(home, "http://127.0.0.1:4999")
    failed = run("up")
    assert failed.exit_code == 1
    assert f"A gateway already runs at http://127.0.0.1:4999 (pid {os.getpid()})." in failed.stderr


def test_up_with_a_profile_switches_the_running_gateway(gateway: FakeGateway, run: Run, home: Path) -> None:
    record(home, gateway.url)
    done = run("up", "gemma3-270m")
    assert done.exit_code == 0
    assert "switching it to gemma3-270m" in done.stdout
    assert gateway.bodies == [{"keep": False}]


def test_the_record_tells_the_port(gateway: FakeGateway, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOSTLER_URL")
    record(home, gateway.url)
    assert run("ps").exit_code == 0


def test_profile_names_complete_from_the_gateway_else_from_the_file(
    gateway: FakeGateway, home: Path, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    from hostler.cli.completion import complete_profile

    assert complete_profile("") == ["gemma3-270m", "smollm2", "tiny"]
    assert complete_profile("sm") == ["smollm2"]
    monkeypatch.setenv("HOSTLER_URL", f"http://127.0.0.1:{free_port}")
    assert complete_profile("") == []
    (home / "hostler.toml").write_text('[profiles.mine]\nmodel = "m"\n')
    assert complete_profile("m") == ["mine"]
