"""Machines, models and wishes for tests of planning."""

from __future__ import annotations

import msgspec

from hostler.config.quantities import decode
from hostler.config.settings import Profile
from hostler.hardware.facts import Cpu, Device, Figure, Machine, PcieLink
from hostler.hardware.machines import load
from hostler.models.shape import Layer, ModelShape
from hostler.placement.wish import Site, Wish, rooms_of, wish_of

MIB = 2**20
GIB = 2**30


def gpu(number: int, gib: float, *, bandwidth: float = 1e12, name: str = "", display: bool = False) -> Device:
    return Device(
        id=f"gpu{number}",
        kind="nvidia",
        name=name or f"card {number}",
        total=int(gib * GIB),
        free=int(gib * GIB),
        bandwidth=Figure(bandwidth, "made up"),
        rates={"f16": Figure(bandwidth * 80, "made up"), "f32": Figure(bandwidth * 40, "made up")},
        display=display,
        pcie=PcieLink(generation=4, width=16, max_generation=4, max_width=16),
    )


def machine(*gpus: Device, host_gib: float = 64) -> Machine:
    host = Device(
        id="host",
        kind="host",
        name="memory",
        total=int(host_gib * GIB),
        free=int(host_gib * GIB),
        bandwidth=Figure(5e10, "made up"),
        rates={"f32": Figure(1e12, "made up")},
    )
    return Machine(name="made up", devices=(*gpus, host), cpu=Cpu(model="made up", cores=8, threads=16))


def site(where: Machine | str) -> Site:
    found = load(where) if isinstance(where, str) else where
    return Site(machine=found, rooms=rooms_of(found), usable=tuple(device.id for device in found.gpus))


def mixture(layers: int = 8, *, experts_mib: int = 1024, dense_mib: int = 64, dense_first: int = 0) -> ModelShape:
    """A model with routed experts in all blocks but the first ``dense_first``."""
    blocks = tuple(
        Layer(
            index=index,
            memory="full",
            attention=dense_mib * MIB,
            feed_forward=0,
            experts=experts_mib * MIB if index >= dense_first else 0,
            shared_experts=0,
            recurrent=0,
            other=0,
            key_width=1024,
            value_width=1024,
            query_width=8192,
        )
        for index in range(layers)
    )
    return ModelShape(
        architecture="mixture",
        parameters=10**10,
        active_parameters=10**9,
        layers=blocks,
        input=200 * MIB,
        output=200 * MIB,
        tied=False,
        other=0,
        experts=64,
        active=4,
        window=0,
        embedding=2048,
        feed_forward_width=8192,
        heads=16,
        vocabulary=100_000,
        context=131_072,
        quantisation="Q4_K_M",
        expert_width=1024,
    )


def dense(layers: int = 16, *, mib: int = 512) -> ModelShape:
    return mixture(layers, experts_mib=0, dense_mib=mib)


def wish(shape: ModelShape, **settings: object) -> Wish:
    profile = msgspec.convert({"model": "m.gguf", **settings}, Profile, dec_hook=decode)
    return wish_of(profile, shape, task="chat")
