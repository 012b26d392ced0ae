"""Machines and models with round figures, for tests of speed."""

from __future__ import annotations

from typing import Final

import msgspec

from hostler.hardware.facts import Cpu, Device, Figure, Machine, PcieLink
from hostler.models.shape import Layer, ModelShape
from hostler.placement.efficiency import Efficiencies, Efficiency

GB: Final = 10**9
#: Every share 1, nothing fixed: predictions are plain arithmetic.
PERFECT: Final = Efficiency(
    decode=1.0, cache=1.0, vector=1.0, attend=1.0, prefill=1.0, attention=1.0, crowd=0.0, launch=0.0, error=0.2,
    prefill_error=0.4, source="prior: perfect",
)  # fmt: skip
IDEAL: Final = Efficiencies(priors={"nvidia": PERFECT, "amd": PERFECT, "apple": PERFECT, "host": PERFECT})


def gpu(number: int = 0, bandwidth: float = 1000 * GB, rate: float = 100e12) -> Device:
    return Device(
        id=f"gpu{number}", kind="nvidia", name="card", total=24 * 2**30, free=24 * 2**30,
        bandwidth=Figure(bandwidth, "test"), rates={"f16": Figure(rate, "test")},
        pcie=PcieLink(generation=4, width=16, max_generation=4, max_width=16),
    )  # fmt: skip


def host(bandwidth: float | None = 50 * GB, rate: float = 1e12) -> Device:
    figure = None if bandwidth is None else Figure(bandwidth, "test")
    return Device(
        id="host", kind="host", name="memory", total=64 * 2**30, free=60 * 2**30, bandwidth=figure,
        rates={"f32": Figure(rate, "test")},
    )  # fmt: skip


def machine(*gpus: Device, memory: Device | None = None) -> Machine:
    cpu = Cpu(model="processor", cores=8, threads=16)
    return Machine(name="test", devices=(*gpus, memory or host()), cpu=cpu)


def layer(index: int = 0, **more: object) -> Layer:
    """40 MB of dense weights, 1 KB of cache per token in f16, 512 multiply-adds per cell."""
    plain = Layer(
        index=index, memory="full", attention=10_000_000, feed_forward=30_000_000, experts=0, shared_experts=0,
        recurrent=0, other=0, key_width=256, value_width=256, query_width=512,
    )  # fmt: skip
    return msgspec.structs.replace(plain, **more)


def dense(layers: int = 10, **more: object) -> ModelShape:
    """A model of 8-bit weights: as many parameters as bytes."""
    made = tuple(layer(index, **more) for index in range(layers))
    return model(made)


def mixture(layers: int = 10) -> ModelShape:
    """As above, with 32 experts of 10 MB in each layer, 4 of them used."""
    made = tuple(layer(index, experts=320_000_000) for index in range(layers))
    return msgspec.structs.replace(
        model(made),
        experts=32,
        active=4,
        active_parameters=sum(each.weights - 280_000_000 for each in made) + 100_000_000,
    )


def model(layers: tuple[Layer, ...]) -> ModelShape:
    weights = sum(each.weights for each in layers if not each.prediction) + 100_000_000
    return ModelShape(
        architecture="llama", parameters=weights, active_parameters=weights, layers=layers, input=100_000_000,
        output=100_000_000, tied=False, other=0, experts=0, active=0, window=1024, embedding=4096,
        feed_forward_width=8192, heads=32, vocabulary=0, context=131072, quantisation="Q8_0",
    )  # fmt: skip
