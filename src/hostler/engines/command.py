"""The command line for a plan: every flag explicit, nothing left to an engine's default. Pure."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from hostler.engines.arguments import (
    check_conflicts,
    known_by_binary,
    known_by_wheel,
    overridden,
    parse,
    spellings,
)
from hostler.engines.builds import Build
from hostler.engines.protocol import LoadSpec
from hostler.errors import FlagUnsupported
from hostler.models.facts import GgufFacts

HOST = "127.0.0.1"

# Weights passed per second and core in prefill. Measured: SmolLM2-135M Q4_1, llama.cpp's CPU backend with AVX2,
# 2 cores, 237 tokens/s of 134.5 M weights each. Other quantisations and CPUs differ by up to 2x either way.
PREFILL_WEIGHTS_PER_CORE_S = 1.6e10
BATCH_S = 2.0
LEAST_BATCH, LARGEST_BATCH, LARGEST_UBATCH = 32, 2048, 512

# Copies of a sliding-window or recurrent state per slot, kept so that a changed prompt need not start over.
CHECKPOINTS = 4

# Flags that older builds lack; their behaviour without them is what the flag asks for, or harmless.
_MAY_LACK = frozenset(
    (
        "--no-kv-unified",
        "--fit",
        "--ctx-checkpoints",
        "--load-mode",
        "--no-ui",
        "--cache-ram",
        "--jinja",
        "--warmup",
        "--no-cache-idle-slots",
    )
)

Option = tuple[str, ...]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine gives to a run: cores to use, the port (0: the kernel picks), a folder for saved slots."""

    cores: int
    port: int
    slot_folder: Path


class Command(msgspec.Struct, frozen=True):
    """What to execute, and what to add to the environment."""

    argv: tuple[str, ...]
    env: dict[str, str]


def command(spec: LoadSpec, build: Build, place: Place) -> Command:
    """The command that runs ``spec`` with ``build``.

    Raises FlagConflict or FlagUnsupported for ``extra_args`` and for a build that lacks what Hostler needs.
    """
    check_extra_args(spec, build)
    theirs = overridden(spec.engine.extra_args)
    options = [option for option in _options(spec, build, place) if option[0] not in theirs]
    ours = [argument for option in _takeable(options, build) for argument in option]
    return Command((*_program(build), *ours, *spec.engine.extra_args), dict(spec.engine.env))


def check_extra_args(spec: LoadSpec, build: Build) -> None:
    """Raises FlagConflict or FlagUnsupported when ``extra_args`` cannot be passed to ``build``."""
    extra = spec.engine.extra_args
    check_conflicts(extra, spec.profile)
    if build.kind == "embedded":
        known_by_wheel(parse(extra, build.title), build.title)
    else:
        known_by_binary(extra, build.flags, build.title)


def batch_size(facts: GgufFacts, cores: int) -> int:
    """Prompt tokens per batch so that one takes at most 2 s on ``cores`` CPU cores.

    A hang-up during prefill is noticed only between batches. Tokens/s is estimated as cores x
    :data:`PREFILL_WEIGHTS_PER_CORE_S` / parameters; the result is the power of two below what 2 s allow,
    within 32 and 2048. A mixture of experts is taken as dense, which errs to the small side.
    """
    per_second = cores * PREFILL_WEIGHTS_PER_CORE_S / max(facts.parameters, 1)
    allowed = int(per_second * BATCH_S)
    return min(max(1 << max(allowed.bit_length() - 1, 0), LEAST_BATCH), LARGEST_BATCH)


def batches(spec: LoadSpec, build: Build, cores: int) -> tuple[int, int]:
    """``--batch-size`` and ``--ubatch-size``.

    1. What the profile says. 2. For vectors and scores a whole input must fit one ubatch: as much as the
    context, at most 2048. 3. On a GPU llama.cpp's own sizes. 4. On a CPU :func:`batch_size`.
    """
    engine = spec.engine
    if spec.task in ("embedding", "rerank"):
        batch = engine.batch or min(spec.context, LARGEST_BATCH)
        return batch, min(engine.ubatch or batch, batch)
    batch = engine.batch or (LARGEST_BATCH if build.devices else batch_size(spec.facts, cores))
    # With pooled vectors beside chat, the ubatch also bounds the input of /v1/embeddings.
    ubatch = engine.ubatch or (batch if spec.embeddings else LARGEST_UBATCH)
    return batch, min(ubatch, batch)


def _options(spec: LoadSpec, build: Build, place: Place) -> list[Option]:
    return [
        *_model(spec),
        ("--host", HOST),
        ("--port", str(place.port)),
        *_sizes(spec, build, place.cores),
        *_memory(spec, build),
        *_task(spec),
        ("--slots",),
        ("--metrics",),
        ("--props",),
        ("--no-ui",),
        ("--jinja",),
        ("--warmup",),
        ("--slot-save-path", str(place.slot_folder)),
        ("--log-verbosity", "4"),
    ]


def _model(spec: LoadSpec) -> list[Option]:
    projector = [("--mmproj", str(spec.model.projector))] if spec.model.projector else []
    return [("--model", str(spec.model.path)), *projector, ("--alias", spec.profile)]


def _sizes(spec: LoadSpec, build: Build, cores: int) -> list[Option]:
    threads = str(spec.engine.threads or cores)
    batch, ubatch = batches(spec, build, cores)
    return [
        ("--ctx-size", str(spec.context * spec.slots)),
        ("--parallel", str(spec.slots)),
        # Each slot has its own `context` tokens, whatever the others do.
        ("--no-kv-unified",),
        ("--batch-size", str(batch)),
        ("--ubatch-size", str(ubatch)),
        ("--threads", threads),
        ("--threads-batch", threads),
    ]


def _memory(spec: LoadSpec, build: Build) -> list[Option]:
    engine = spec.engine
    # A quantised V cache exists only with flash attention.
    idle = [] if engine.cache_ram else [("--no-cache-idle-slots",)]
    keys, values = engine.cache_type_k or "f16", engine.cache_type_v or "f16"
    flash = "auto" if values in ("f32", "f16", "bf16") else "on"
    return [
        ("--cache-type-k", keys),
        ("--cache-type-v", values),
        ("--flash-attn", flash),
        # With devices to fill, the engine places the layers; on a CPU there is nothing to fit.
        ("--fit", "on" if build.devices else "off"),
        ("--cache-ram", str(engine.cache_ram // 2**20)),
        *idle,
        ("--ctx-checkpoints", str(CHECKPOINTS)),
        ("--load-mode", "mmap"),
    ]


def _task(spec: LoadSpec) -> list[Option]:
    if spec.task == "rerank":
        return [("--reranking",)]
    if spec.task == "embedding" or spec.embeddings:
        return [("--embeddings",), ("--pooling", spec.facts.pooling or "mean")]
    return []


def _takeable(options: Sequence[Option], build: Build) -> list[Option]:
    """``options`` in the spelling that ``build`` knows, without those that it may lack and does."""
    if not build.flags:
        return list(options)
    taken: list[Option] = []
    for name, *value in options:
        known = _known_spelling(name, build)
        if known is not None:
            taken.append((known, *value))
        elif name not in _MAY_LACK:
            raise FlagUnsupported(f"{build.title} does not take `{name}`, which Hostler needs.")
    return taken


def _known_spelling(name: str, build: Build) -> str | None:
    if name in build.flags:
        return name
    if name.startswith("--no-"):
        return "--no-webui" if name == "--no-ui" and "--no-webui" in build.flags else None
    positive = (each for each in spellings(name) if not each.startswith(("--no-", "-no-")))
    return next((each for each in positive if each in build.flags), None)


def _program(build: Build) -> tuple[str, ...]:
    # -P: the working directory must not be able to replace a module.
    python = (sys.executable, "-P", "-m")
    if build.kind == "embedded":
        return (*python, "hostler.engines.embedded")
    return (*python, "hostler.engines.guard", str(build.path))
