"""Which backend and options llama.cpp is built with, from devices and tools alone."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hostler.engines.building.recipe import BASE, Backend, Tools, recipe
from hostler.engines.building.steps import fraction, reason
from hostler.engines.builds import Build
from hostler.engines.capabilities import capabilities, left_dark
from hostler.errors import BuildFailed
from hostler.hardware.facts import Device

TOOLS = Tools(
    cmake=Path("/bin/cmake"), compiler=True, nvcc=Path("/cuda/bin/nvcc"), cuda=(12, 9), hip=Path("/bin/hipcc"),
    vulkan=True,
)  # fmt: skip
HOST = Device(id="host", kind="host", name="CPU", total=1, free=1)
RTX_4090 = Device(id="gpu0", kind="nvidia", name="NVIDIA RTX 4090", total=1, free=1, compute_capability=(8, 9))
RTX_5070 = Device(id="gpu1", kind="nvidia", name="NVIDIA RTX 5070 Ti", total=1, free=1, compute_capability=(12, 0))
OLD = Device(id="gpu0", kind="nvidia", name="NVIDIA GTX 1080", total=1, free=1, compute_capability=(6, 1))
RADEON = Device(id="gpu0", kind="amd", name="Radeon RX 7900", total=1, free=1, target="gfx1100")
MAC = Device(id="gpu0", kind="apple", name="Apple M4 Max", total=1, free=1, unified=True)


def without(**gone: object) -> Tools:
    return msgspec.structs.replace(TOOLS, **gone)


def test_cuda_is_built_for_the_cards_that_are_there() -> None:
    made = recipe([RTX_5070, RTX_4090, HOST], TOOLS)
    assert made.backend == "cuda"
    assert made.options[: len(BASE)] == BASE
    assert "-DCMAKE_CUDA_ARCHITECTURES=89;120" in made.options
    assert "-DGGML_CUDA=ON" in made.options
    assert made.reason == "NVIDIA RTX 5070 Ti, NVIDIA RTX 4090"


@pytest.mark.parametrize(
    ("devices", "tools", "backend"),
    [
        ([HOST], TOOLS, "cpu"),
        ([MAC, HOST], TOOLS, "metal"),
        ([RADEON, HOST], TOOLS, "hip"),
        ([RADEON, HOST], without(hip=None), "vulkan"),
        ([RTX_4090, HOST], without(nvcc=None), "vulkan"),
        ([OLD, HOST], TOOLS, "cuda"),
    ],
)
def test_the_backend_fits_devices_and_tools(devices: list[Device], tools: Tools, backend: Backend) -> None:
    assert recipe(devices, tools).backend == backend


def test_hip_names_its_targets() -> None:
    assert "-DGPU_TARGETS=gfx1100" in recipe([RADEON, HOST], TOOLS).options


@pytest.mark.parametrize(
    ("devices", "tools", "wanted", "told"),
    [
        ([HOST], without(cmake=None), None, "CMake is not installed"),
        ([HOST], without(compiler=False), None, "No C++ compiler"),
        ([RTX_4090], without(nvcc=None, vulkan=False), None, "nvcc"),
        ([RADEON], without(hip=None, vulkan=False), None, "hipcc"),
        ([RTX_5070], without(cuda=(12, 6)), None, "sm_120 and CUDA 12.6 do not go together: it needs 12.8"),
        ([OLD], without(cuda=(13, 0)), None, "sm_61 and CUDA 13.0 do not go together: 12.9 was the last"),
        ([HOST], TOOLS, "cuda", "No NVIDIA card says what it is"),
        ([HOST], without(vulkan=False), "vulkan", "glslc"),
        ([RTX_4090], without(nvcc=None), "cuda", "nvcc"),
    ],
)
def test_what_is_missing_is_told(devices: list[Device], tools: Tools, wanted: Backend | None, told: str) -> None:
    with pytest.raises(BuildFailed) as caught:
        recipe(devices, tools, wanted)
    assert told in caught.value.message


def test_the_gpu_can_be_left_out() -> None:
    made = recipe([RTX_4090, HOST], without(nvcc=None, vulkan=False), "cpu")
    assert made.backend == "cpu"
    assert not [option for option in made.options if "CUDA" in option]


@pytest.mark.parametrize(
    ("line", "done"),
    [("[3/120] Building CXX object", 0.025), ("[ 42%] Built target ggml", 0.42), ("-- Found", None), ("[x]", None)],
)
def test_progress_of_ninja_and_make(line: str, done: float | None) -> None:
    assert fraction(line) == done


def test_the_first_error_is_the_reason() -> None:
    lines = ["[1/2] ok", "a.cpp:3: error: no such thing.", "ninja: build stopped: subcommand failed."]
    assert reason(lines) == "a.cpp:3: error: no such thing"
    assert reason(["", "last words"]) == "last words"
    assert reason([]) == ""


def build(**changes: object) -> Build:
    return msgspec.structs.replace(Build(name="embedded", kind="embedded", version="1"), **changes)


def test_a_gpu_that_stays_dark_is_one_line_with_the_command() -> None:
    told = left_dark(build(), [RTX_4090, RTX_5070, HOST])
    assert told == "NVIDIA RTX 4090 and 1 more stays dark: the embedded build (1) cannot use it."
    assert left_dark(build(devices=("CUDA0",)), [RTX_4090, HOST]) == ""
    assert left_dark(build(), [HOST]) == ""


def test_capabilities_come_from_flags() -> None:
    assert "lora" in capabilities(build())
    assert "router" not in capabilities(build())
    assert capabilities(build(kind="binary", flags=frozenset({"--rpc", "--models-max"}))) == ("rpc", "router")
