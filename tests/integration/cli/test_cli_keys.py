"""`hostler key`: with nothing but a home, and beside a gateway that runs."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from cli_run import Run
from fake_gateway import FakeGateway

from hostler.accounts.keys import Bounds, Keyring
from hostler.errors import Forbidden, Unauthorized


def ring(home: Path) -> Keyring:
    return Keyring.load(home / "state" / "keys.json")


def test_a_new_key_is_shown_once_and_kept_as_a_hash(run: Run, home: Path) -> None:
    done = run("key", "new", "laptop")
    assert done.exit_code == 0, done.output
    key = done.stdout.strip()
    assert ring(home).authenticate({b"x-api-key": key.encode()}).scope == "inference"
    assert key not in (home / "state" / "keys.json").read_text()
    assert (home / "state" / "keys.json").stat().st_mode & 0o777 == 0o600
    assert "laptop" in done.stderr
    assert "every request needs a key" in done.stderr
    assert "--scope admin" in done.stderr


def test_a_second_key_of_scope_admin(run: Run, home: Path) -> None:
    run("key", "new", "laptop")
    done = run("key", "new", "me", "--scope", "admin")
    assert ring(home).authenticate({b"x-api-key": done.stdout.strip().encode()}).scope == "admin"
    assert "every request needs a key" not in done.stderr
    assert "HOSTLER_KEY" in done.stderr
    assert "--scope admin" not in done.stderr


def test_json_holds_the_key_when_it_is_made_and_never_again(run: Run, home: Path) -> None:
    before = time.time()
    made = json.loads(run("key", "new", "laptop", "--json").stdout)
    assert (made["name"], made["scope"]) == ("laptop", "inference")
    assert before <= made["created"] <= time.time()
    assert ring(home).authenticate({b"x-api-key": made["key"].encode()}).name == "laptop"
    (listed,) = json.loads(run("key", "ls", "--json").stdout)
    nothing = {"expires": None, "profiles": [], "rate": None, "lent_by": ""}
    assert listed == {"name": "laptop", "scope": "inference", "created": made["created"], **nothing}
    assert json.loads(run("key", "rm", "laptop", "--json").stdout) == {"removed": "laptop"}
    assert json.loads(run("key", "ls", "--json").stdout) == []


def test_ls_shows_names_and_scopes(run: Run) -> None:
    assert "no key" in run("key", "ls").stdout
    run("key", "new", "laptop")
    run("key", "new", "me", "--scope", "admin")
    lines = run("key", "ls").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["KEY", "SCOPE"], ["laptop", "inference"], ["me", "admin"]]


def test_rm_says_what_is_left(run: Run, home: Path) -> None:
    run("key", "new", "laptop")
    run("key", "new", "me", "--scope", "admin")
    assert "--scope admin" in run("key", "rm", "me").stderr
    done = run("key", "rm", "laptop")
    assert "No key is left" in done.stderr
    assert ring(home).empty
    failed = run("key", "rm", "laptop")
    assert failed.exit_code == 1
    assert "laptop" in failed.stderr


@pytest.mark.parametrize("words", [("new", "laptop"), ("new", ""), ("rm", "other")])
def test_what_cannot_be_done_is_one_message(run: Run, home: Path, words: tuple[str, str]) -> None:
    run("key", "new", "laptop")
    failed = run("key", *words)
    assert failed.exit_code == 1
    assert failed.stdout == ""
    assert failed.stderr.startswith("hostler: ")
    assert ring(home).names == ("laptop",)
    assert run("key", "new", "x", "--scope", "all").exit_code == 2


def test_a_broken_configuration_is_no_hindrance(run: Run, home: Path) -> None:
    (home / "hostler.toml").write_text("[gateway]\nprot = 1\n")
    assert run("key", "new", "laptop").exit_code == 0


def test_a_damaged_file_is_named(run: Run, home: Path) -> None:
    (home / "state").mkdir()
    (home / "state" / "keys.json").write_text("{")
    for words in (("ls",), ("new", "a"), ("rm", "a")):
        failed = run("key", *words)
        assert failed.exit_code == 1
        assert str(home / "state" / "keys.json") in failed.stderr


def test_listening_for_others_without_a_key_names_the_command(run: Run, home: Path) -> None:
    # An address of nobody: were the refusal missing, listening there would fail as well.
    (home / "hostler.toml").write_text('[gateway]\nhost = "192.0.2.1"\nport = 0\n')
    refused = run("up")
    assert refused.exit_code == 1
    assert "Create a key with `hostler key new NAME`" in refused.stderr


def test_a_refused_command_says_what_to_set(gateway: FakeGateway, run: Run) -> None:
    gateway.refusal = Unauthorized("This gateway needs a key.")
    failed = run("ps")
    assert failed.exit_code == 1
    assert failed.stderr.startswith("hostler: This gateway needs a key. Set HOSTLER_KEY")
    gateway.refusal = Forbidden("The key 'laptop' may use models, but not the management API.")
    assert "hostler key new NAME --scope admin" in run("ps").stderr


def test_names_complete(run: Run) -> None:
    from hostler.cli.keys import _complete

    run("key", "new", "laptop")
    run("key", "new", "me")
    assert _complete("") == ["laptop", "me"]
    assert _complete("l") == ["laptop"]


def test_a_key_for_a_while_and_some_profiles(run: Run, home: Path) -> None:
    before = time.time()
    words = ("--expires", "30d", "--profile", "tiny", "--profile", "qwen-*", "--rate", "60")
    done = run("key", "new", "guest", *words)
    assert done.exit_code == 0, done.output
    assert "only use tiny, qwen-* until" in done.stderr
    (stored,) = ring(home).stored
    assert stored.profiles == ("tiny", "qwen-*")
    assert stored.rate == 60
    assert 30 * 86400 <= (stored.expires or 0) - before < 30 * 86400 + 60
    shown = run("key", "ls").stdout
    assert "tiny, qwen-*" in shown.replace("\n", " ")


@pytest.mark.parametrize(
    ("words", "status"),
    [(("--expires", "soon"), 2), (("--rate", "0"), 2), (("--scope", "admin", "--profile", "tiny"), 1)],
)
def test_bounds_that_make_no_sense_make_no_key(run: Run, home: Path, words: tuple[str, ...], status: int) -> None:
    failed = run("key", "new", "guest", *words)
    assert failed.exit_code == status
    assert failed.stdout == ""
    assert ring(home).empty


def test_what_was_done_to_keys_is_in_the_audit(run: Run, home: Path) -> None:
    assert "Nothing" in run("audit").stdout
    key = run("key", "new", "laptop").stdout.strip()
    run("key", "rm", "laptop")
    rows = json.loads(run("audit", "--json").stdout)
    assert [(row["via"], row["action"], row["target"]) for row in rows] == [
        ("cli", "remove key", "laptop"),
        ("cli", "new key", "laptop"),
    ]
    shown = run("audit", "--limit", "1").stdout
    assert "remove key" in shown
    assert "new key" not in shown
    assert key not in (home / "state" / "audit.jsonl").read_text()


def test_ls_says_what_is_lent_and_by_whom(run: Run, home: Path) -> None:
    run("key", "new", "me", "--scope", "admin")
    assert "LENT BY" not in run("key", "ls").stdout
    ring(home).add("run-aider-1", "inference", Bounds(profiles=("coder",), expires=time.time() + 60), "me")
    told = run("key", "ls").stdout
    assert "LENT BY" in told
    assert "run-aider-1" in told
    assert {each["lent_by"] for each in json.loads(run("key", "ls", "--json").stdout)} == {"", "me"}
    run("key", "rm", "me")
    assert json.loads(run("key", "ls", "--json").stdout) == []
