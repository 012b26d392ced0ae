"""What a build can do, in words that people choose by. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hostler.engines.builds import Build
from hostler.engines.commands.flags import FLAGS
from hostler.hardware.facts import Device

#: Word, and the flag that a build must take for it.
_BY_FLAG = (
    ("images", "--mmproj"),
    ("rerank", "--reranking"),
    ("lora", "--lora"),
    ("draft models", "--spec-draft-model"),
    ("fit", "--fit"),
    ("device choice", "--device"),
    ("rpc", "--rpc"),
    ("router", "--models-max"),
)
MEND = "`hostler engine build --use` makes a build that can."
_GPU_KINDS = {"nvidia": "NVIDIA", "amd": "AMD", "apple": "Apple"}


def capabilities(build: Build) -> tuple[str, ...]:
    """By what its ``--help`` lists; for the embedded build by what its launcher can pass on."""
    known = build.flags or frozenset(flag.name for flag in FLAGS if flag.wheel is not None)
    return tuple(word for word, flag in _BY_FLAG if flag in known)


def left_dark(build: Build, devices: Sequence[Device]) -> str:
    """One sentence when there is a GPU that ``build`` cannot use, which :data:`MEND` mends; else empty.

    A build with any GPU is believed: which of several cards it takes, its own list of devices tells.
    """
    gpus = [device for device in devices if device.kind != "host"]
    if not gpus or build.devices:
        return ""
    first = gpus[0]
    named = first.name if len(gpus) == 1 else f"{first.name} and {len(gpus) - 1} more"
    kind = _GPU_KINDS.get(first.kind, "")
    told = named if named.startswith(kind) else f"{kind} {named}"
    return f"{told} stays dark: {build.title} cannot use it."
