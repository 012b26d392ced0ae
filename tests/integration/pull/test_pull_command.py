"""`hostler pull` against an imitation of the hub, through the hub's real client."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from imitation_hub import Hub, serving

from hostler.testing.gguf_files import write_tiny_gguf

Run = Callable[..., subprocess.CompletedProcess[str]]
HOSTLER = Path(sys.executable).with_name("hostler")
REPO = "org/tiny-GGUF"


def there(home: Path) -> dict[str, bytes]:
    """Every visible file in the models folder."""
    found = (path for path in (home / "models").rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(home / "models")): path.read_bytes() for path in found}


def test_a_variant_arrives_with_its_projector_and_is_callable(
    hub: Hub, files: dict[str, bytes], home: Path, hostler: Run
) -> None:
    done = hostler("pull", f"{REPO}:Q4_K_M", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["name"] == "tiny-Q4_K_M"
    assert [file["sha256"] for file in told["files"]] == [
        hashlib.sha256(files[name]).hexdigest() for name in ("mmproj-F16.gguf", "tiny-Q4_K_M.gguf")
    ]
    assert there(home) == {f"org/tiny-GGUF/{name}": files[name] for name in ("mmproj-F16.gguf", "tiny-Q4_K_M.gguf")}
    hub.asked.clear()
    again = hostler("pull", f"{REPO}:q4km", "--json")
    assert [file["new"] for file in json.loads(again.stdout)["files"]] == [False, False]
    assert hub.ranges("tiny-Q4_K_M.gguf") == []


def test_without_a_variant_they_are_listed_and_nothing_is_fetched(hub: Hub, home: Path, hostler: Run) -> None:
    done = hostler("pull", REPO)
    assert done.returncode == 2, done.stderr
    lines = [line.split()[0] for line in done.stdout.splitlines()[1:4]]
    assert lines == ["Q4_K_M", "UD-Q5_K_XL", "Q8_0"]
    assert "yes" in done.stdout
    assert there(home) == {}


def test_yes_takes_the_usual_variant(hub: Hub, home: Path, hostler: Run) -> None:
    done = hostler("pull", REPO, "--yes")
    assert done.returncode == 0, done.stderr
    assert "org/tiny-GGUF/tiny-Q4_K_M.gguf" in there(home)


def test_a_dry_run_reads_headers_only(hub: Hub, home: Path, hostler: Run) -> None:
    done = hostler("pull", f"{REPO}:Q8_0", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["chosen"] == "Q8_0"
    assert told["projector"] == "mmproj-F16.gguf"
    assert all(variant["need"]["host"] > variant["size"] for variant in told["variants"])
    assert all(variant["fits"] for variant in told["variants"])
    assert all(variant["decode"] > 0 and not variant["about"] for variant in told["variants"])
    assert {variant["where"] for variant in told["variants"]} == {"in main memory"}
    assert there(home) == {}


def test_what_does_not_fit_says_by_how_much(hub: Hub, home: Path, hostler: Run) -> None:
    (home / "hostler.toml").write_text('[memory]\nbudget = { host = "64 MiB" }\n')
    told = json.loads(hostler("pull", REPO, "--dry-run", "--json").stdout)["variants"]
    assert [each["fits"] for each in told] == [False] * 3
    assert [each["over"] for each in told] == [each["need"]["host"] - 64 * 2**20 for each in told]
    assert all(each["decode"] is None for each in told)
    assert "does not fit, by " in hostler("pull", REPO, "--dry-run").stdout


def test_the_nearest_variant_is_named(hub: Hub, home: Path, hostler: Run) -> None:
    done = hostler("pull", f"{REPO}:Q5_K_M")
    assert done.returncode == 0, done.stderr
    assert "There is no Q5_K_M; the nearest is UD-Q5_K_XL." in done.stdout


def test_a_killed_pull_goes_on_where_it_stopped(hub: Hub, files: dict[str, bytes], home: Path, hostler: Run) -> None:
    hub.switches.stall_after = 2 * 2**20
    begun = subprocess.Popen(
        [HOSTLER, "pull", f"{REPO}:Q8_0"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ.copy()
    )
    part = home / "models" / "org" / "tiny-GGUF" / ".tiny-Q8_0.gguf.part"
    deadline = time.monotonic() + 30
    while not part.exists() or part.stat().st_size < 2 * 2**20:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    begun.send_signal(signal.SIGKILL)
    begun.wait()
    left = part.stat().st_size
    assert "org/tiny-GGUF/tiny-Q8_0.gguf" not in there(home)
    hub.go_on.set()
    done = hostler("pull", f"{REPO}:Q8_0")
    assert done.returncode == 0, done.stderr
    assert there(home)["org/tiny-GGUF/tiny-Q8_0.gguf"] == files["tiny-Q8_0.gguf"]
    assert hub.ranges("tiny-Q8_0.gguf")[-1] == f"bytes={left}-"
    assert not part.exists()


def test_a_split_model_comes_whole(tmp_path: Path, home: Path, hostler: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    parts: dict[str, bytes] = {}
    for number in range(2):
        tensors = {f"blk.{number}.ffn_up.weight": (64, 4)}
        path = write_tiny_gguf(tmp_path / "part.gguf", tensors=tensors, split__no=number, split__count=2)
        parts[f"Q8_0/big-Q8_0-0000{number + 1}-of-00002.gguf"] = path.read_bytes()
    with serving(parts) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        done = hostler("pull", f"{REPO}:Q8_0", "--json")
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "big-Q8_0"
    assert len(there(home)) == 2


def test_the_token_goes_to_the_hub_and_nowhere_else(hub: Hub, home: Path, hostler: Run) -> None:
    hub.switches.token = "hf_secret_of_mine"
    refused = hostler("pull", f"{REPO}:Q8_0")
    assert refused.returncode == 1
    assert "wants a token, or knows no such model (401)" in refused.stderr
    done = hostler("pull", f"{REPO}:Q8_0", HF_TOKEN="hf_secret_of_mine")
    assert done.returncode == 0, done.stderr
    assert "hf_secret" not in done.stdout + done.stderr
    assert not [path for path in home.rglob("*") if path.is_file() and b"hf_secret" in path.read_bytes()]


def test_the_token_is_not_sent_on_to_where_the_bytes_are(
    hub: Hub, files: dict[str, bytes], home: Path, hostler: Run
) -> None:
    with serving(files) as elsewhere:
        hub.switches.redirect, hub.switches.token = elsewhere.url, "hf_secret_of_mine"
        done = hostler("pull", f"{REPO}:Q8_0", HF_TOKEN="hf_secret_of_mine")
        assert done.returncode == 0, done.stderr
        assert elsewhere.ranges("tiny-Q8_0.gguf")
        assert [heads for _, _, heads in elsewhere.asked if "authorization" in heads] == []
    assert there(home)["org/tiny-GGUF/tiny-Q8_0.gguf"] == files["tiny-Q8_0.gguf"]


@pytest.mark.parametrize(
    ("switches", "source", "told"),
    [
        ({"gated": True}, f"{REPO}:Q8_0", "is gated"),
        ({}, "org/none:Q8_0", "has no such repository (404)"),
        ({"failures": 1, "status": 429}, f"{REPO}:Q8_0", "429: too many requests"),
        ({"failures": 1, "status": 500}, f"{REPO}:Q8_0", "failed (500)"),
        ({"html": True}, f"{REPO}:Q8_0", "did not answer as a Hugging Face hub"),
        ({}, f"{REPO}:nonsense", "There are: Q4_K_M, UD-Q5_K_XL, Q8_0."),
        ({}, "nonsense", "neither a repository nor an address"),
    ],
)
def test_what_goes_wrong_is_told_and_leaves_nothing(
    hub: Hub, home: Path, hostler: Run, switches: dict[str, object], source: str, told: str
) -> None:
    for name, value in switches.items():
        setattr(hub.switches, name, value)
    done = hostler("pull", source)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert there(home) == {}


def test_nobody_listens(home: Path, hostler: Run) -> None:
    done = hostler("pull", f"{REPO}:Q8_0", HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://127.0.0.1:99999/x.gguf", "leads nowhere"),
        ("http://127.0.0.1:port/x.gguf", "leads nowhere"),
        ("http://127.0.0.1:9/x.gguf", "nobody listens there"),
    ],
)
def test_a_wrong_address_is_not_tried_again(home: Path, hostler: Run, address: str, told: str) -> None:
    # It was tried five times over 16 seconds.
    done = hostler("pull", address)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert there(home) == {}


def test_an_address_is_fetched_under_its_file_name(hub: Hub, files: dict[str, bytes], home: Path, hostler: Run) -> None:
    done = hostler("pull", f"{hub.url}/plain/tiny-Q8_0.gguf?key=secret")
    assert done.returncode == 0, done.stderr
    assert there(home) == {"tiny-Q8_0.gguf": files["tiny-Q8_0.gguf"]}
    assert hashlib.sha256(files["tiny-Q8_0.gguf"]).hexdigest() in done.stdout
    wrong = hostler("pull", f"{hub.url}/plain/none.gguf?key=secret")
    assert wrong.returncode == 1
    assert "has no such file (404)" in wrong.stderr
    assert "secret" not in wrong.stderr


def test_what_the_disk_cannot_hold_is_not_begun(hub: Hub, home: Path, hostler: Run) -> None:
    hub.switches.claimed_size = 10**16
    done = hostler("pull", f"{REPO}:Q8_0")
    assert done.returncode == 1
    assert "TiB are to be fetched" in done.stderr
    assert "are free on the disk of" in done.stderr
    assert there(home) == {}
    assert [asked for asked in hub.ranges("tiny-Q8_0.gguf") if asked is None] == []


def test_a_disk_that_cannot_take_it_is_told(hub: Hub, files: dict[str, bytes], home: Path) -> None:
    """A limit on the size of files stands for a full disk: the write fails, later there is room."""
    limited = subprocess.run(
        ["bash", "-c", f'ulimit -f 2048; exec "{HOSTLER}" pull {REPO}:Q8_0'], capture_output=True, text=True, timeout=60
    )
    assert limited.returncode == 1
    assert "became full while tiny-Q8_0.gguf was fetched" in limited.stderr
    assert "org/tiny-GGUF/tiny-Q8_0.gguf" not in there(home)
    done = subprocess.run([HOSTLER, "pull", f"{REPO}:Q8_0"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert there(home)["org/tiny-GGUF/tiny-Q8_0.gguf"] == files["tiny-Q8_0.gguf"]
