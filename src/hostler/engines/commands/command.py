"""The command line for a plan: every flag explicit, nothing left to an engine's default. Pure."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from hostler.engines.builds import DRAFT_SIMPLE, Build
from hostler.engines.commands.arguments import (
    check_conflicts,
    known_by_binary,
    known_by_wheel,
    overridden,
    parse,
    spellings,
)
from hostler.engines.protocol import LoadSpec
from hostler.errors import FlagUnsupported
from hostler.placement.plan import Plan

HOST = "127.0.0.1"

# Copies of a sliding-window or recurrent state per slot, kept so that a changed prompt need not start over.
CHECKPOINTS = 4

# The launcher of the embedded build gives the engine every device; it has no argument for choosing some.
_NOT_EMBEDDED = frozenset(("--device", "--spec-draft-device"))

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
        "--no-warmup",
        "--no-cache-idle-slots",
        "--spec-draft-device",
    )
)

# Models that are of no use but to draft (``common_speculative_types_from_gguf``).
_MADE_TO_DRAFT = frozenset(("dflash", "eagle3"))

Option = tuple[str, ...]

# How builds from before --load-mode say it.
_OLDER: dict[Option, str] = {("--load-mode", "none"): "--no-mmap", ("--load-mode", "dio"): "--direct-io"}


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What a run gets besides its plan: the port (0: the kernel picks), a folder for saved slots."""

    port: int
    slot_folder: Path


class Command(msgspec.Struct, frozen=True):
    """What to execute, and what to add to the environment."""

    argv: tuple[str, ...]
    env: dict[str, str]


def command(spec: LoadSpec, build: Build, place: Place) -> Command:
    """The command that runs ``spec`` with ``build``; sizes, types and places are those of its plan.

    Raises FlagConflict or FlagUnsupported for ``extra_args`` and for a build that lacks what Hostler needs.
    """
    check_extra_args(spec, build)
    theirs = overridden(spec.engine.extra_args)
    options = [option for option in _options(spec, build, place) if option[0] not in theirs]
    ours = [argument for option in _takeable(options, build) for argument in option]
    env = {**spec.plan.env, **spec.engine.env}
    return Command((*_program(build), *ours, *spec.engine.extra_args), env)


def check_extra_args(spec: LoadSpec, build: Build) -> None:
    """Raises FlagConflict or FlagUnsupported when ``extra_args`` cannot be passed to ``build``."""
    extra = spec.engine.extra_args
    check_conflicts(extra, spec.profile)
    if build.kind == "embedded":
        known_by_wheel(parse(extra, build.title), build.title)
    else:
        known_by_binary(extra, build.flags, build.title)


def _options(spec: LoadSpec, build: Build, place: Place) -> list[Option]:
    return [
        *_model(spec),
        ("--host", HOST),
        ("--port", str(place.port)),
        *_planned(spec, build),
        *_kept(spec),
        *_task(spec),
        ("--slots",),
        ("--metrics",),
        ("--props",),
        ("--no-ui",),
        ("--jinja",),
        _warm_up(spec),
        ("--slot-save-path", str(place.slot_folder)),
        ("--log-verbosity", "4"),
    ]


def _model(spec: LoadSpec) -> list[Option]:
    projector = [("--mmproj", str(spec.model.projector))] if spec.model.projector else []
    return [("--model", str(spec.model.path)), *projector, ("--alias", spec.profile)]


def _planned(spec: LoadSpec, build: Build) -> list[Option]:
    """The plan's arguments, one option for each flag."""
    options: list[Option] = []
    for argument in spec.plan.argv:
        if argument.startswith("--"):
            options.append((argument,))
        else:
            options[-1] = (*options[-1], argument)
    if build.devices and spec.plan.placement == "auto" and not spec.plan.layout.gpus:
        options = [*(option for option in options if option[0] != "--n-gpu-layers"), *_without_gpus(spec, build)]
    options += [*_draft(spec.plan), *_drafting(spec.plan, build)]
    return [option for option in options if build.kind != "embedded" or option[0] not in _NOT_EMBEDDED]


def _without_gpus(spec: LoadSpec, build: Build) -> list[Option]:
    """Left to itself the engine would fill every GPU, those too of which the plan knows nothing.

    With no layers on it a GPU would still compute long prompts and images, and hold buffers for that.
    """
    none = [("--device", "none")] if "--device" in build.flags else []
    projector = [("--no-mmproj-offload",)] if spec.model.projector else []
    return [("--n-gpu-layers", "0"), *none, *projector]


def _drafting(plan: Plan, build: Build) -> list[Option]:
    """How the model drafts that `extra_args` name: without that it is loaded, holds its memory, and is never asked.

    One that was made to draft says so itself, which a binary reads from its header.
    """
    draft = plan.run.draft
    if draft is None or draft.architecture in _MADE_TO_DRAFT or any(layer.prediction for layer in draft.layers):
        return []
    takes = build.kind == "embedded" or DRAFT_SIMPLE in build.flags
    return [("--spec-type", DRAFT_SIMPLE)] if takes else []


def _draft(plan: Plan) -> list[Option]:
    """Where the model lies that drafts: by itself it would go where the other one does, to every card of it."""
    argv, layout = plan.argv, plan.layout
    if plan.run.draft is None or plan.placement != "auto" or "--device" not in argv:
        return []
    names = dict(zip(layout.gpus, argv[argv.index("--device") + 1].split(","), strict=True))
    return [("--spec-draft-device", names.get(layout.draft, "none"))]


def _kept(spec: LoadSpec) -> list[Option]:
    """What of earlier prompts is kept."""
    cache_ram = spec.engine.cache_ram
    idle = [] if cache_ram else [("--no-cache-idle-slots",)]
    return [("--cache-ram", str(cache_ram // 2**20)), *idle, ("--ctx-checkpoints", str(CHECKPOINTS))]


def _task(spec: LoadSpec) -> list[Option]:
    if spec.task == "rerank":
        return [("--reranking",)]
    if spec.task == "embedding" or spec.embeddings:
        return [("--embeddings",), ("--pooling", spec.facts.pooling or "mean")]
    return []


def _warm_up(spec: LoadSpec) -> Option:
    """The engine's own empty run touches every expert, the projector and the model that drafts; where there are none
    the proof that it is ready touches as much, and one pass is enough."""
    thorough = spec.facts.experts or spec.model.projector or spec.plan.run.draft or not spec.proves
    return ("--warmup",) if thorough else ("--no-warmup",)


def _takeable(options: Sequence[Option], build: Build) -> list[Option]:
    """``options`` in the spelling that ``build`` knows, without those that it may lack and does."""
    if not build.flags:
        return list(options)
    taken: list[Option] = []
    for option in options:
        name, *value = option
        older = _OLDER.get((name, *value)) if name not in build.flags else None
        if older is not None and older in build.flags:
            taken.append((older,))
            continue
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
        return (*python, "hostler.engines.processes.embedded")
    return (*python, "hostler.engines.processes.guard", str(build.path))
