"""A small model's facts and a plan to run it, for tests that need one and care for none in particular."""

from __future__ import annotations

from pathlib import Path

from hostler.config.settings import EngineSettings
from hostler.engines.protocol import LoadSpec
from hostler.models.facts import GgufFacts, Model

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
)
