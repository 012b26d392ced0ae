"""What is decided about a run before its bytes and speed can be told: sizes, types, and which part lies where."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from hostler.config.settings import CacheType
from hostler.models.shape import ModelShape

HOST: Final = "host"

#: none: one device has all. layer: each layer lies on one device. tensor: each tensor is cut into shares.
Split = Literal["none", "layer", "tensor"]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """How the engine is run; nothing is left open.

    ``context`` is tokens for one request; the engine gets ``context * slots``. ``prompt_cache`` (llama.cpp's
    --cache-ram) and ``projector`` (the size of its file) are bytes, ``checkpoints`` a count per slot. ``draft`` is the
    model that drafts for speculative decoding. ``pooled``: the answers are vectors, so a whole ubatch gets outputs.
    A file that is not ``mapped`` is read, ``direct``: past the page cache.
    """

    context: int
    slots: int = 1
    cache_k: CacheType = "f16"
    cache_v: CacheType = "f16"
    batch: int = 2048
    ubatch: int = 512
    flash_attention: bool = True
    threads: int = 1
    mapped: bool = True
    direct: bool = False
    repacked: bool = True
    prompt_cache: int = 0
    checkpoints: int = 0
    projector: int = 0
    draft: ModelShape | None = None
    pooled: bool = False


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Which device holds what.

    ``gpus`` are device ids in the order in which the engine is given them; () is a run on the processor alone.
    ``layers`` names for each block the device of its attention, dense weights and cache; ``experts`` that of its
    routed experts (as ``layers`` where it has none). With ``split`` "tensor", ``shares`` (one per GPU, sum 1) cuts
    every layer, and ``layers`` names the first GPU.
    """

    gpus: tuple[str, ...]
    layers: tuple[str, ...]
    experts: tuple[str, ...]
    output: str
    projector: str = HOST
    draft: str = HOST
    split: Split = "layer"
    shares: tuple[float, ...] = ()

    @property
    def devices(self) -> tuple[str, ...]:
        """Every device that computes: the GPUs that hold something, then the host."""
        return (*self.gpus, HOST)


def whole(shape: ModelShape, device: str) -> Layout:
    """Everything on one device."""
    each = (device,) * len(shape.layers)
    gpus = () if device == HOST else (device,)
    return Layout(gpus=gpus, layers=each, experts=each, output=device, projector=device, draft=device, split="none")
