"""A gateway on this machine's own GPUs. HOSTLER_DEVICE_BUILD names a `llama-server` that can use them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from gateway_process import Home, RunningGateway

from hostler.hardware.facts import Machine
from hostler.hardware.inspection import inspect

TOOLS = Path(__file__).parents[1] / "tools"
StartGateway = Callable[..., RunningGateway]


@pytest.fixture(scope="session")
def build() -> str:
    """The build under test, as TOML: with `hostler engine build` one is made."""
    named = os.environ.get("HOSTLER_DEVICE_BUILD")
    assert named, "set HOSTLER_DEVICE_BUILD to a llama-server that can use this machine's GPUs"
    return json.dumps(str(Path(named).resolve(strict=True)))


@pytest.fixture(scope="session")
def machine() -> Machine:
    found = inspect()
    assert found.gpus, [absence.reason for absence in found.absent]
    return found


@pytest.fixture(scope="session")
def mixture(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small mixture of experts with random weights."""
    out = tmp_path_factory.mktemp("mixture") / "random-moe-Q8_0.gguf"
    subprocess.run([sys.executable, TOOLS / "random_moe.py", smollm2, out], check=True)
    return out


@pytest.fixture
def place(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def gateway(place: Home) -> Iterator[StartGateway]:
    """Start it with these sections; checks afterwards that nothing is left."""
    with ExitStack() as stack:

        def start(*sections: str, top: str = "") -> RunningGateway:
            place.write(*sections, top=top)
            running = RunningGateway(place)
            stack.callback(running.close)
            return running.wait_ready()

        yield start
