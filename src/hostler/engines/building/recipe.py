"""How llama.cpp is built for a machine: which backend, which options. Pure: looks at nothing.

Sources: llama.cpp's docs/build.md and ggml/CMakeLists.txt; NVIDIA's CUDA release notes for which toolkit first
(and last) compiles for which compute capability.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from hostler.errors import BuildFailed
from hostler.hardware.facts import Device

Backend = Literal["cuda", "hip", "vulkan", "metal", "cpu"]

#: What is built, and nothing else: the server, its dry run (what fits), its benchmark.
TARGETS = ("llama-server", "llama-fit-params", "llama-bench")

#: Static, for this very processor, without tests; nothing is fetched while it builds.
BASE = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DGGML_NATIVE=ON",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_OPENSSL=OFF",
)

# Compute capability: the first CUDA toolkit that compiles for it. 13.0 is the first without those below 7.5.
_FIRST_CUDA = (
    (121, (12, 9)),
    (120, (12, 8)),
    (103, (12, 9)),
    (100, (12, 8)),
    (90, (11, 8)),
    (89, (11, 8)),
    (0, (11, 0)),
)
_OLDEST_WITH_13 = 75


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """What is installed to build with. ``cuda`` is the version that ``nvcc`` says."""

    cmake: Path | None = None
    ninja: bool = False
    compiler: bool = False
    nvcc: Path | None = None
    cuda: tuple[int, int] | None = None
    hip: Path | None = None
    vulkan: bool = False


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What CMake is told, and in ``reason`` why that backend."""

    backend: Backend
    options: tuple[str, ...]
    reason: str


def recipe(devices: Sequence[Device], tools: Tools, wanted: Backend | None = None) -> Recipe:
    """The options for these devices, with these tools. Raises BuildFailed, which names what is missing.

    1. Without cmake or a C++ compiler nothing can be built. 2. What the user wants. 3. Metal on a Mac. 4. CUDA
    for NVIDIA's cards, HIP for AMD's, when their compiler is there. 5. Vulkan when there is a GPU and its
    compiler. 6. A GPU without any of these: an error, because a build that leaves it dark helps nobody. 7. CPU.
    """
    if tools.cmake is None:  # 1
        raise BuildFailed("CMake is not installed.", hint="Install it: `pip install cmake`, or the system's package.")
    if not tools.compiler:
        raise BuildFailed("No C++ compiler is installed.", hint="Install g++ or clang (Debian: build-essential).")
    backend = wanted or _fitting({device.kind for device in devices}, tools)  # 2 to 7
    match backend:
        case "cuda":
            return Recipe(backend="cuda", options=(*BASE, *_cuda(devices, tools)), reason=_why(devices, "nvidia"))
        case "hip":
            return Recipe(backend="hip", options=(*BASE, *_hip(devices, tools)), reason=_why(devices, "amd"))
        case "vulkan":
            if not tools.vulkan:
                raise _lacks("Vulkan's shader compiler (glslc)", "libvulkan-dev and glslc")
            return Recipe(backend="vulkan", options=(*BASE, "-DGGML_VULKAN=ON"), reason="a GPU without its own toolkit")
        case "metal":
            options = (*BASE, "-DGGML_METAL=ON", "-DGGML_METAL_EMBED_LIBRARY=ON")
            return Recipe(backend="metal", options=options, reason=_why(devices, "apple"))
    # Said outright: CMake would take Metal on a Mac by itself.
    reason = "no GPU is used" if wanted else "there is no GPU"
    return Recipe(backend="cpu", options=(*BASE, "-DGGML_METAL=OFF"), reason=reason)


def _fitting(kinds: set[str], tools: Tools) -> Backend:
    if "apple" in kinds:
        return "metal"  # 3
    if "nvidia" in kinds and tools.nvcc:
        return "cuda"  # 4
    if "amd" in kinds and tools.hip:
        return "hip"
    if kinds & {"nvidia", "amd"} and tools.vulkan:
        return "vulkan"  # 5
    if "nvidia" in kinds:  # 6
        raise _lacks("NVIDIA's CUDA compiler (nvcc)", "the CUDA toolkit, 12.8 or newer")
    if "amd" in kinds:
        raise _lacks("AMD's HIP compiler (hipcc)", "ROCm")
    return "cpu"  # 7


def _cuda(devices: Sequence[Device], tools: Tools) -> tuple[str, ...]:
    """The cards that are here, and no others: each more costs minutes."""
    if tools.nvcc is None:
        raise _lacks("NVIDIA's CUDA compiler (nvcc)", "the CUDA toolkit, 12.8 or newer")
    cards = [device for device in devices if device.kind == "nvidia" and device.compute_capability]
    found = sorted({10 * cc[0] + cc[1] for card in cards if (cc := card.compute_capability)})
    if not found:
        raise BuildFailed(
            "No NVIDIA card says what it is, so there is nothing to build for.", hint="`hostler hardware` says why."
        )
    for architecture in found:
        _check_toolkit(architecture, tools.cuda)
    return (
        "-DGGML_CUDA=ON",
        f"-DCMAKE_CUDA_ARCHITECTURES={';'.join(map(str, found))}",
        f"-DCMAKE_CUDA_COMPILER={tools.nvcc}",
    )


def _check_toolkit(architecture: int, cuda: tuple[int, int] | None) -> None:
    if cuda is None:
        return
    first = next(version for least, version in _FIRST_CUDA if architecture >= least)
    told = f"sm_{architecture} and CUDA {cuda[0]}.{cuda[1]} do not go together"
    if cuda < first:
        raise BuildFailed(f"{told}: it needs {first[0]}.{first[1]}.", hint="Install a newer CUDA toolkit.")
    if cuda >= (13, 0) and architecture < _OLDEST_WITH_13:
        raise BuildFailed(
            f"{told}: 12.9 was the last for it.", hint="Install CUDA 12.9, or build with `--backend vulkan`."
        )


def _hip(devices: Sequence[Device], tools: Tools) -> tuple[str, ...]:
    if tools.hip is None:
        raise _lacks("AMD's HIP compiler (hipcc)", "ROCm")
    targets = sorted({device.target for device in devices if device.kind == "amd" and device.target})
    named = (f"-DGPU_TARGETS={';'.join(targets)}",) if targets else ()
    return "-DGGML_HIP=ON", *named


def _lacks(tool: str, install: str) -> BuildFailed:
    return BuildFailed(
        f"There is a GPU, but {tool} is not installed.",
        hint=f"Install {install}; `hostler engine build --backend cpu` builds without the GPU.",
    )


def _why(devices: Sequence[Device], kind: str) -> str:
    named = [device.name for device in devices if device.kind == kind]
    return ", ".join(named) or "as asked"
