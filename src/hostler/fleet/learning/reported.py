"""What an engine reports of its buffers while it loads, by our device ids and classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from hostler.engines.protocol import Buffer
from hostler.placement.corrections import Learnt
from hostler.placement.layout import HOST
from hostler.placement.plan import Plan

MIB: Final = 2**20

_CLASSES: Final[dict[str, Learnt]] = {
    "model": "weights",
    "kv": "kv",
    "recurrent": "recurrent",
    "compute": "compute",
    "output": "output",
}
# Reserved anew when the engine looks again; the largest stays. All else is one buffer per line.
_ONCE: Final = ("compute", "output")


class Reported:
    """The buffers of one load so far."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._mib: dict[str, dict[Learnt, float]] = {}

    def add(self, buffer: Buffer) -> None:
        """The engine allocated ``buffer``."""
        name = _CLASSES.get(buffer.kind)
        if name is None:
            return
        sizes = self._mib.setdefault(device_id(buffer.device, self._plan), {})
        before = sizes.get(name, 0.0)
        sizes[name] = max(before, buffer.mib) if name in _ONCE else before + buffer.mib

    @property
    def mib(self) -> Mapping[str, Mapping[Learnt, float]]:
        """MiB by device id and class."""
        return self._mib

    def bytes_on(self, device: str) -> int:
        """Everything so far on one device."""
        return round(sum(self._mib.get(device, {}).values()) * MIB)


def device_id(name: str, plan: Plan) -> str:
    """Our id of the device that the engine calls ``name``, "" when it did not say.

    1. the host; without GPUs there is no other. 2. as ``--device`` of the plan names it. 3. by its number, in the order
    of the plan. 4. for "" the GPU that was planned fullest.
    """
    if name == HOST or not plan.layout.gpus:
        return HOST
    gpus = plan.layout.gpus
    named = dict(zip(_named(plan.argv), gpus, strict=False))
    if name in named:
        return named[name]
    number = re.search(r"\d+$", name)
    if number is not None and int(number[0]) < len(gpus):
        return gpus[int(number[0])]
    return max(gpus, key=lambda gpu: _fullness(gpu, plan))


def _named(argv: tuple[str, ...]) -> list[str]:
    return argv[argv.index("--device") + 1].split(",") if "--device" in argv[:-1] else []


def _fullness(gpu: str, plan: Plan) -> float:
    room = plan.rooms.get(gpu)
    return plan.need.get(gpu, 0) / max(room.available, 1) if room is not None else 0.0
