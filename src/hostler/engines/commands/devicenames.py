"""What an engine calls the GPUs of this machine. Pure.

We number GPUs in the order of the PCI bus; CUDA does so too when :data:`BY_BUS` is in its environment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from hostler.hardware.facts import Device, Kind, Machine

BY_BUS: Final = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}

# Backends by kind of GPU, the better one first: a build may have several.
_BACKENDS: Final[dict[Kind, tuple[str, ...]]] = {
    "nvidia": ("CUDA", "Vulkan"),
    "amd": ("ROCm", "HIP", "Vulkan"),
    "apple": ("MTL", "Metal"),
    "host": (),
}
_HIDES: Final = {"CUDA": "CUDA_VISIBLE_DEVICES", "ROCm": "HIP_VISIBLE_DEVICES", "HIP": "HIP_VISIBLE_DEVICES"}


def engine_names(machine: Machine, devices: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Device id to the engine's name, for each GPU that the build can use, in our order.

    ``devices`` are those that the build lists (``CUDA0``). ``environ`` is what the engine gets: a variable such as
    CUDA_VISIBLE_DEVICES hides GPUs and numbers the others anew.
    """
    names: dict[str, str] = {}
    for kind in ("nvidia", "amd", "apple"):
        for backend in _BACKENDS[kind]:
            theirs = [name for name in devices if re.fullmatch(rf"{backend}\d*", name)]
            if theirs:
                shown = _shown(machine, kind, backend, environ)
                numbered = zip(shown, theirs, strict=False)
                names |= {device.id: name for device, name in numbered if device.kind == kind}
                break
    return {device.id: names[device.id] for device in machine.gpus if device.id in names}


def _shown(machine: Machine, kind: Kind, backend: str, environ: Mapping[str, str]) -> list[Device]:
    """The GPUs that the backend numbers, in its order. Vulkan numbers those of all makers."""
    every = [device for device in machine.gpus if backend == "Vulkan" or device.kind == kind]
    chosen = environ.get(_HIDES.get(backend, ""))
    if chosen is None:
        return every
    picked: list[Device] = []
    for part in chosen.split(","):
        found = _picked(part.strip(), every)
        if found is None:  # what follows a number that does not exist is hidden too
            break
        picked.append(found)
    return picked


def _picked(text: str, devices: Sequence[Device]) -> Device | None:
    if text.isdecimal():
        return devices[int(text)] if int(text) < len(devices) else None
    return next((device for device in devices if text and device.uuid.startswith(text)), None)
