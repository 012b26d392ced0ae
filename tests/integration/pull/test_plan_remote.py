"""`hostler plan` of models that are not here: by range requests alone, nothing is written."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from imitation_hub import Hub

Run = Callable[..., subprocess.CompletedProcess[str]]
REPO = "org/tiny-GGUF"
ON = ("--hardware", "cpu-2core")


def planned(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


def fetched(hub: Hub, home: Path) -> list[str | None]:
    """The ranges that were asked of all files; nothing may lie in the models folder."""
    assert [path for path in home.rglob("*") if path.suffix == ".gguf"] == []
    return [heads.get("range") for method, path, heads in hub.asked if method == "GET" and path.endswith(".gguf")]


def test_a_variant_on_the_hub(hub: Hub, home: Path, hostler: Run, files: dict[str, bytes]) -> None:
    told = planned(hostler("plan", f"{REPO}:q8_0", *ON, "--json"))
    assert told["profile"] == f"{REPO}:Q8_0"
    model, run = told["model"], told["run"]
    assert isinstance(model, dict)
    assert isinstance(run, dict)
    assert model["size"] == len(files["tiny-Q8_0.gguf"])
    assert run["projector"] == len(files["mmproj-F16.gguf"])
    assert fetched(hub, home) == ["bytes=0-2097151"]


def test_without_a_variant_the_usual_one_is_planned(hub: Hub, home: Path, hostler: Run) -> None:
    assert planned(hostler("plan", REPO, *ON, "--json"))["profile"] == f"{REPO}:Q4_K_M"
    assert "org/tiny-GGUF:Q4_K_M" in hostler("plan", REPO, *ON).stdout


def test_an_address(hub: Hub, home: Path, hostler: Run) -> None:
    told = planned(hostler("plan", f"{hub.url}/plain/tiny-Q8_0.gguf?key=secret", *ON, "--json"))
    assert told["profile"] == "tiny-Q8_0"
    assert fetched(hub, home) == ["bytes=0-2097151"]
    on_hub = planned(hostler("plan", f"{hub.url}/{REPO}/resolve/main/tiny-UD-Q5_K_XL.gguf", *ON, "--json"))
    assert on_hub["profile"] == f"{REPO}:UD-Q5_K_XL"


@pytest.mark.parametrize(
    ("switches", "source", "told"),
    [
        ({}, "org/none:Q8_0", "has no such repository (404)"),
        ({}, f"{REPO}:nonsense", "There are: Q4_K_M, UD-Q5_K_XL, Q8_0."),
        ({"gated": True}, REPO, "is gated"),
        ({"html": True}, REPO, "did not answer as a Hugging Face hub"),
        ({}, "nonsense", "No model is called 'nonsense'"),
        ({}, "./org/none", "does not exist"),
        ({}, "http://[half/x.gguf", "leads nowhere"),
    ],
)
def test_what_goes_wrong_is_told(
    hub: Hub, home: Path, hostler: Run, switches: dict[str, object], source: str, told: str
) -> None:
    for name, value in switches.items():
        setattr(hub.switches, name, value)
    done = hostler("plan", source, *ON)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_page_instead_of_a_file(hub: Hub, home: Path, hostler: Run) -> None:
    hub.switches.html = True
    done = hostler("plan", f"{hub.url}/plain/tiny-Q8_0.gguf", *ON)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
