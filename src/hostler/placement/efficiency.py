"""How much of a device's published figures inference reaches, until and after it was measured.

The priors are what llama.cpp's users publish, split into a share of the bandwidth and a cost per layer: two cards of
different speed that ran the same model give both. All for Llama 2 7B Q4_0 (3.83 GB, 32 layers), tokens/s:

- NVIDIA (ggml-org/llama.cpp discussion 15013): RTX 4060 Ti 64, 3060 76, 3090 158, 4090 189, 5090 289; prompts of 512
  tokens 5,000 (3090) and 13,000 (4090), which is 0.9 of the f16 rate with f32 sums.
  At depth (pull request 17505, 32,768 tokens of Llama 3 8B Q4_0): 98 to 103 one by one on a 4090, 1,450 to 1,470 in
  prompts of 512 on a 3090; hence the shares of cache and attention.
- Apple (discussion 4167): M2 22, M1 Pro 36, M2 Max 66, M4 Max 83; prompts 671 (M2 Max) and 886 (M4 Max).
- AMD (discussion 15021): RX 7900 XTX about 120; prompts about 3,500.
- Host: measured on two processors of two cores, SmolLM2-135M Q4_1 and Gemma 3 270M Q4_K_M: weights are passed at 0.15
  of the f32 rate that the clock promises, before the memory is the limit (docs/benchmarks/placement.md).
"""

from __future__ import annotations

from typing import Final

import msgspec

from hostler.hardware.facts import Kind
from hostler.models.shape import ModelShape


class Efficiency(msgspec.Struct, frozen=True, kw_only=True):
    """Of one device, for one kind of model.

    Shares of the bandwidth: ``decode`` with which weights are read for one token, ``cache`` with which keys, values
    and states are. Shares of the matrix rate: ``vector`` in products of one token with weights and ``attend`` in its
    attention (both matter where arithmetic is the limit, not memory), ``prefill`` in products of a batch, and
    ``attention`` in its attention. ``crowd``: tokens per expert at which a batch reaches half of ``prefill``.
    ``launch``: seconds per layer and step. ``error`` and ``prefill_error`` are the relative half-widths of the
    intervals. ``source``: ``prior: ...`` or ``fitted: ...``.
    """

    decode: float
    cache: float
    vector: float
    attend: float
    prefill: float
    attention: float
    crowd: float
    launch: float
    error: float
    prefill_error: float
    source: str


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """Of one device, from measured runs: ``whole`` for any model, ``of`` by :func:`key_of`."""

    whole: Efficiency
    of: dict[str, Efficiency] = {}


class Efficiencies(msgspec.Struct, frozen=True, kw_only=True):
    """Priors by kind of device, and by device id what was fitted."""

    priors: dict[Kind, Efficiency]
    fitted: dict[str, Fitted] = {}

    def of(self, device: str, kind: Kind, shape: ModelShape) -> Efficiency:
        """The nearest: 1. this architecture and quantisation, 2. this quantisation, 3. this device, 4. its kind."""
        found = self.fitted.get(device)
        if found is None:
            return self.priors[kind]
        exact = found.of.get(key_of(shape))
        if exact is not None:
            return exact
        ending = f" {shape.quantisation}"
        return next((each for key, each in sorted(found.of.items()) if key.endswith(ending)), found.whole)


def key_of(shape: ModelShape) -> str:
    """What models must share for one's efficiency to be the other's: ``llama Q4_K_M``."""
    return f"{shape.architecture} {shape.quantisation}"


PRIORS: Final = Efficiencies(
    priors={
        "nvidia": Efficiency(
            decode=0.88, cache=0.9, vector=1.0, attend=0.15, prefill=0.9, attention=0.5, crowd=128.0, launch=35e-6,
            error=0.25, prefill_error=0.4, source="prior: published runs of llama.cpp on NVIDIA cards",
        ),
        "amd": Efficiency(
            decode=0.65, cache=0.5, vector=1.0, attend=0.1, prefill=0.38, attention=0.15, crowd=128.0, launch=50e-6,
            error=0.35, prefill_error=0.5, source="prior: published runs of llama.cpp on AMD cards",
        ),
        "apple": Efficiency(
            decode=0.88, cache=0.7, vector=1.0, attend=0.15, prefill=0.65, attention=0.35, crowd=64.0, launch=125e-6,
            error=0.25, prefill_error=0.35, source="prior: published runs of llama.cpp on Apple chips",
        ),
        "host": Efficiency(
            decode=0.75, cache=0.6, vector=0.15, attend=0.07, prefill=0.27, attention=0.3, crowd=4.0, launch=15e-6,
            error=0.35, prefill_error=0.5, source="prior: runs of llama.cpp on two processors of two cores",
        ),
    }
)  # fmt: skip
