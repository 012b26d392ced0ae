"""A small model's facts and a plan to run it, for tests that need one and care for none in particular."""

from __future__ import annotations

from pathlib import Path

from hostler.config.settings import EngineSettings
from hostler.engines.protocol import LoadSpec
from hostler.hardware.facts import HOST, Cpu, Device, Figure, Machine
from hostler.models.facts import GgufFacts, Model
from hostler.models.shape import Layer, ModelShape
from hostler.placement.plan import Plan
from hostler.placement.planner import plan
from hostler.placement.wish import Site, Wish, rooms_of

GIB = 2**30

#: As SmolLM2-135M's header says.
FACTS = GgufFacts(
    architecture="llama",
    name="small",
    parameters=134_500_000,
    tensor_bytes=96_000_000,
    quantisation="Q4_1",
    layers=30,
    context_length=8192,
    embedding_length=576,
    vocabulary=49152,
    heads=9,
    kv_heads=(3,) * 30,
    key_length=64,
    value_length=64,
)

#: The same model as placement sees it.
SHAPE = ModelShape(
    architecture="llama",
    parameters=134_500_000,
    active_parameters=134_500_000,
    layers=tuple(
        Layer(
            index=index, memory="full", attention=550_000, feed_forward=1_660_000, experts=0, shared_experts=0,
            recurrent=0, other=4_608, key_width=192, value_width=192, query_width=1152,
        )
        for index in range(30)
    ),
    input=30_081_024,
    output=30_081_024,
    tied=True,
    other=2_304,
    experts=0,
    active=0,
    window=0,
    embedding=576,
    feed_forward_width=1536,
    heads=9,
    vocabulary=49152,
    context=8192,
    quantisation="Q4_1",
)  # fmt: skip

#: Two cores, 24 GiB and no GPU.
MACHINE = Machine(
    name="small",
    devices=(
        Device(
            id=HOST, kind=HOST, name="two cores", total=24 * GIB, free=20 * GIB, bandwidth=Figure(20e9, "a test"),
            rates={"f32": Figure(2e11, "a test")},
        ),
    ),
    cpu=Cpu(model="two cores", cores=2, threads=4, flags=("avx2",)),
)  # fmt: skip


def on_host(wish: Wish) -> Plan:
    """The plan for that wish of the small model on the small machine."""
    return plan(SHAPE, wish, Site(machine=MACHINE, rooms=rooms_of(MACHINE)))


SPEC = LoadSpec(
    instance="coder-1",
    profile="coder",
    model=Model(name="small", files=(Path("/models/small.gguf"),), size=1, origin="path"),
    facts=FACTS,
    task="chat",
    embeddings=False,
    context=4096,
    slots=1,
    engine=EngineSettings(),
    bytes={},
    plan=on_host(Wish(context=4096)),
)
