"""A real model, pulled while the gateway runs, over a bad connection: it answers by its name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from imitation_hub import serving

HOSTLER = Path(sys.executable).with_name("hostler")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def gateway(home: Path) -> Iterator[str]:
    """A running gateway that knows no model; its address."""
    (home / "hostler.toml").write_text("[library]\ncaches = false\n")
    process = subprocess.Popen(
        [HOSTLER, "up", "--port", "0", "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


def ask(url: str) -> httpx.Response:
    body = {"model": "SmolLM2-Q4_1", "max_tokens": 4, "messages": [{"role": "user", "content": "Hello"}]}
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)


def test_it_is_killed_taken_up_and_serves(
    gateway: str, smollm2: Path, home: Path, hostler: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = smollm2.read_bytes()
    with serving({"SmolLM2-Q4_1.gguf": data}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert ask(gateway).status_code == 404
        hub.switches.stall_after = len(data) // 2
        begun = subprocess.Popen(
            [HOSTLER, "pull", "org/tiny-GGUF"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        part = home / "models" / "org" / "tiny-GGUF" / ".SmolLM2-Q4_1.gguf.part"
        deadline = time.monotonic() + 60
        while not part.exists() or part.stat().st_size < len(data) // 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert ask(gateway).status_code == 404  # half of it is no model
        os.kill(begun.pid, signal.SIGKILL)
        begun.wait()
        hub.go_on.set()
        hub.switches.break_after, hub.switches.breaks = 2**20, 1
        done = hostler("pull", "org/tiny-GGUF", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["name"] == "SmolLM2-Q4_1"
    answer = ask(gateway)
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["completion_tokens"] > 0
