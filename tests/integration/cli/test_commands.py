"""Every command against a gateway that answers from the wire structs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cli_run import Run
from fake_gateway import INSTANCE, FakeGateway, profile

from hostler.cli.residency import said
from hostler.client.problems import CLASSES
from hostler.errors import UnknownProfile
from hostler.wire.management import Instance, Parked, Pinned, Problem, ProblemBody, ProfileInfo, Requests, Switched


def test_ls_groups_profiles_and_hides_the_hidden(gateway: FakeGateway, run: Run) -> None:
    gateway.profiles.append(profile("found-one", origin="root", description=""))
    gateway.profiles.append(profile("bench", group="bench"))
    shown = run("ls")
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["PROFILE", "CONTEXT", "SIZE", "STATE", "TOK/S", "DESCRIPTION"]
    assert "smollm2*" in shown.stdout
    assert "85" in shown.stdout
    assert "secret" not in shown.stdout
    headings = [line.strip() for line in lines]
    assert headings.index("bench") < headings.index("found on this machine")
    assert lines[headings.index("found on this machine") + 1].startswith("  found-one")
    assert "secret" in run("ls", "--all").stdout


def test_ls_says_why_a_profile_cannot_run(gateway: FakeGateway, run: Run) -> None:
    problem = Problem(code="model_broken", message="/m/x.gguf ends at byte 100.", hint="Fetch it again.")
    gateway.profiles = [profile("broken", problem=problem, state="failed", size=None, context=None)]
    assert "/m/x.gguf ends at byte 100. Fetch it again." in run("ls").stdout


def test_ls_of_nothing_says_what_to_do(gateway: FakeGateway, run: Run) -> None:
    gateway.profiles = []
    assert "hostler starters fetch" in run("ls").stdout


def test_ps(gateway: FakeGateway, run: Run) -> None:
    shown = run("ps").stdout
    assert "host 338.0 MiB" in shown
    assert "1/1" in shown
    assert "10m" in shown
    heading, row = shown.splitlines()[:2]
    warm = heading.index("WARM")
    assert row[warm:].startswith("no ")
    gateway.instances = [msgspec.structs.replace(INSTANCE, warm=True)]
    assert run("ps").stdout.splitlines()[1][warm:].startswith("yes ")
    gateway.instances = [msgspec.structs.replace(INSTANCE, remote="api.example.com", pid=None)]
    assert run("ps").stdout.splitlines()[1][warm:].startswith("- ")
    gateway.instances = []
    assert "Nothing is loaded" in run("ps").stdout


def test_ps_says_what_is_the_matter_and_what_failed(gateway: FakeGateway, run: Run) -> None:
    gateway.instances = [msgspec.structs.replace(INSTANCE, notes=("gpu0 is slower than it could be (heat)",))]
    failure = Problem(code="engine_killed", message="It died by SIGILL.", hint="Remove `build`.", cause="x")
    gateway.profiles = [profile("broken", failure=failure, state="failed"), profile("smollm2", state="ready")]
    shown = " ".join(run("ps").stdout.split())
    assert "smollm2: gpu0 is slower than it could be (heat)" in shown
    assert "broken failed: It died by SIGILL. Remove `build`." in shown


def test_ps_says_what_is_other_than_the_profile_asks(gateway: FakeGateway, run: Run) -> None:
    change = "context 16384 instead of 32768, after running out of memory on gpu0"
    gateway.instances = [msgspec.structs.replace(INSTANCE, changed=(change,))]
    assert f"smollm2: {change}" in " ".join(run("ps").stdout.split())


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (("ls",), list[ProfileInfo]),
        (("ps",), list[Instance]),
        (("requests",), Requests),
        (("load", "tiny"), Switched),
        (("unload", "smollm2"), Switched),
        (("switch", "smollm2"), Switched),
        (("pin", "smollm2"), Pinned),
        (("load", "tiny", "--pin"), Switched),
    ],
)
def test_json_is_the_wire_struct(gateway: FakeGateway, run: Run, command: tuple[str, ...], kind: type) -> None:
    done = run(*command, "--json")
    assert done.exit_code == 0, done.output
    msgspec.json.decode(done.stdout, type=kind)


def test_load_resolves_an_alias_and_tells_the_profile(gateway: FakeGateway, run: Run) -> None:
    assert run("load", "tiny").stdout == "smollm2 is ready.\n"
    assert ("POST", "/api/profiles/tiny/load") in gateway.asked


def test_ps_and_ls_show_what_is_parked(gateway: FakeGateway, run: Run) -> None:
    left = Parked(parked_s=40.0, cached=0.98, prompts=2, load_s=0.42)
    gateway.profiles[0] = msgspec.structs.replace(gateway.profiles[0], state="unloaded", parked=left)
    name = gateway.profiles[0].name
    told = f"{name} parked - back in 0.4s; 98% of its files cached; 2 prompts saved - - - - -".split()
    assert run("ps").stdout.splitlines()[-1].split() == told
    gateway.instances.clear()
    alone = run("ps").stdout.splitlines()
    assert (alone[0].startswith("Nothing is loaded."), alone[1].split()[0], alone[-1].split()) == (
        True,
        "PROFILE",
        told,
    )
    assert json.loads(run("ps", "--json").stdout) == []
    assert "parked" in run("ls").stdout


def test_pin_and_unpin(gateway: FakeGateway, run: Run) -> None:
    assert run("pin", "tiny").stdout == "smollm2 is pinned.\n"
    assert run("unpin", "tiny").stdout == "smollm2 is not pinned.\n"
    assert run("load", "tiny", "--pin").stdout == "smollm2 is ready.\n"
    pinned = [method for method, path in gateway.asked if path == "/api/profiles/tiny/pin"]
    assert pinned == ["POST", "DELETE", "POST"]


def test_names_with_slashes_and_spaces_reach_the_gateway(gateway: FakeGateway, run: Run) -> None:
    gateway.profiles.append(profile("org/model:Q4 K"))
    assert run("load", "org/model:Q4 K").stdout == "org/model:Q4 K is ready.\n"


def test_switch_tells_who_left(gateway: FakeGateway, run: Run) -> None:
    assert run("switch", "smollm2", "--keep").stdout == "smollm2 is ready; unloaded old and older.\n"
    assert gateway.bodies == [{"keep": True}]


def test_unload_now(gateway: FakeGateway, run: Run) -> None:
    assert run("unload", "smollm2", "--now").stdout == "smollm2 is unloaded.\n"
    assert gateway.bodies == [{"now": True}]


def test_what_a_request_loads_again_meanwhile_is_told() -> None:
    """It said "smollm2 is ready." to somebody who had just unloaded it."""
    again = Switched(profile="smollm2", state="loading", unloaded=("smollm2",))
    assert said(again) == "smollm2 was unloaded, and is loading again: a request came for it."


def test_requests_and_cancel(gateway: FakeGateway, run: Run) -> None:
    shown = run("requests", "-n", "1").stdout
    assert "req-9" in shown
    assert "running" in shown
    assert "req-8" in shown
    assert "2.4 s" in shown
    assert run("cancel", "req-9").stdout == "req-9 is cancelled.\n"
    missing = run("cancel", "req-77")
    assert missing.exit_code == 1
    assert missing.stderr.startswith("hostler: ")


def test_logs(gateway: FakeGateway, run: Run) -> None:
    assert run("logs", "smollm2", "-n", "2").stdout == "line 4\nline 5\n"
    assert run("logs", "--json", "-n", "1").stdout == '{"line":"line 5"}\n'
    assert run("logs", "nobody").exit_code == 1


def test_reload(gateway: FakeGateway, run: Run) -> None:
    assert run("reload").stdout == "Reloaded: new added; smollm2 changed.\n"


def test_version_tells_of_the_running_gateway(gateway: FakeGateway, run: Run) -> None:
    told = json.loads(run("version", "--json").stdout)
    assert told["gateway"] == {"url": gateway.url, "version": "0.1.0", "pid": 4711}
    assert f"at {gateway.url} (pid 4711)" in run("version").stdout


def test_version_needs_no_gateway(run: Run, free_port: int) -> None:
    told = run("version", "--json", "--url", f"http://127.0.0.1:{free_port}")
    assert told.exit_code == 0
    assert json.loads(told.stdout)["gateway"] is None


def test_an_error_is_one_sentence_and_what_to_do(gateway: FakeGateway, run: Run) -> None:
    failed = run("load", "smolm2")
    assert failed.exit_code == 1
    assert failed.stdout == ""
    assert failed.stderr == (
        "hostler: No profile is called smolm2; the nearest is smollm2. `hostler ls` shows every name.\n"
    )


def test_an_error_as_json(gateway: FakeGateway, run: Run) -> None:
    failed = run("load", "smolm2", "--json")
    assert msgspec.json.decode(failed.stderr, type=ProblemBody).error.code == UnknownProfile.code
    assert CLASSES[UnknownProfile.code] is UnknownProfile


@pytest.mark.parametrize(
    "command",
    [("ls",), ("ps",), ("load", "x"), ("unload", "x"), ("switch", "x"), ("chat", "x", "hi"), ("logs",), ("requests",),
     ("cancel", "x"), ("reload",)],
)  # fmt: skip
def test_without_a_gateway_it_says_how_to_start_one(run: Run, free_port: int, command: tuple[str, ...]) -> None:
    url = f"http://127.0.0.1:{free_port}"
    failed = run(*command, "--url", url)
    assert failed.exit_code == 3
    assert failed.stderr == f"hostler: No gateway runs at {url}. Start one with `hostler up`.\n"


def test_the_configured_port_is_asked(run: Run, home: Path, free_port: int) -> None:
    (home / "hostler.toml").write_text(f"[gateway]\nport = {free_port}\n")
    assert f"No gateway runs at http://127.0.0.1:{free_port}." in run("ps").stderr


def test_something_else_on_the_port_is_not_a_gateway(gateway: FakeGateway, run: Run) -> None:
    failed = run("ls", "--url", f"{gateway.url}/health?")
    assert failed.exit_code == 1
    assert "Traceback" not in failed.output


def test_the_key_comes_from_the_environment(gateway: FakeGateway, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTLER_KEY", "sesame")
    run("ps")
    assert set(gateway.keys) == {"Bearer sesame"}


def test_a_proxy_in_the_environment_is_not_for_this_machine(
    gateway: FakeGateway, run: Run, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port}")
    assert run("ps").exit_code == 0


def test_a_wrong_option_is_usage(hostler: Callable[..., object]) -> None:
    done = hostler("ls", "--nonsense")
    assert done.returncode == 2  # type: ignore[attr-defined]


def test_ps_explains_what_is_loaded_what_waits_and_who_would_leave(gateway: FakeGateway, run: Run) -> None:
    first = gateway.instances[0]
    replace = msgspec.structs.replace
    gateway.instances = [
        replace(first, why="answers 1 of 1"),
        replace(first, id="b-2", profile="b", why="idle 30s", leaves=1),
    ]
    told = run("ps", "--explain").stdout
    assert "smollm2: answers 1 of 1.\n" in told
    assert told.endswith("When room is needed, b would leave.\n")
