"""What `hostler up` prints can be pasted."""

from __future__ import annotations

import json
import shlex

import pytest

from hostler.cli.announcement import curl, told
from hostler.config.settings import Profile, Task
from hostler.fleet.protocol import Entry
from hostler.wire.management import DeviceMemory, GatewayStatus

URL = "http://127.0.0.1:4785"
STATUS = GatewayStatus(
    version="0.1.0", pid=1, url=URL, home="/h", config_file="/h/hostler.toml", config_error="", started_at=0.0,
    draining=False, default="tiny", running=0, queued=0, last_event=0, ledger_dropped=0,
    memory=(DeviceMemory(device="host", total=8 * 2**30, free=6 * 2**30, budget=5 * 2**30, used=0),),
)  # fmt: skip


def entry(name: str, task: Task) -> Entry:
    return Entry(
        name=name, profile=Profile(model="m"), origin="config", model=None, facts=None, task=task, context=8192,
        need={"host": 2**28}, problem=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("task", "path", "key"), [("chat", "chat/completions", "messages"), ("completion", "completions", "prompt")]
)
def test_the_command_is_a_valid_request(task: Task, path: str, key: str) -> None:
    words = shlex.split(curl(URL, entry("it's me", task)))
    assert words[:4] == ["curl", "-s", f"{URL}/v1/{path}", "-d"]
    body = json.loads(words[4])
    assert body["model"] == "it's me"
    assert key in body


def test_the_default_is_tried_first_then_a_base_model() -> None:
    text = "\n".join(told(STATUS, [entry("other", "chat"), entry("tiny", "chat"), entry("base", "completion")], "/h/m"))
    assert "Try tiny:" in text
    assert "Let base continue" in text
    assert "engines may hold 5.0 GiB of 8.0 GiB" in text
    assert "default  tiny: context 8192, about 256.0 MiB on host" in text


def test_without_any_model_only_the_next_step_is_told() -> None:
    text = "\n".join(told(STATUS, [], "/h/m"))
    assert "curl" not in text
    assert "put a GGUF file into /h/m" in text


def test_a_gpu_that_stays_dark_is_one_line() -> None:
    lines = list(told(STATUS, [], "/h/m", default="native-cpu", dark="A card stays dark. `hostler engine build`."))
    assert "  A card stays dark. `hostler engine build`." in lines
    assert any("engine   build native-cpu," in line for line in lines)
