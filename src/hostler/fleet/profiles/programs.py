"""What it takes to run a profile that no header tells of: what a `command` declares, else what it was seen to hold;
nothing at all for a `remote`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hostler.config.diff import instance_key
from hostler.config.settings import Profile
from hostler.engines.protocol import LoadSpec
from hostler.engines.talking.readiness import PROVABLE
from hostler.errors import ModelError
from hostler.fleet.scheduling.messages import Want
from hostler.models.facts import GgufFacts, Model
from hostler.placement.bytes import Classes
from hostler.placement.layout import HOST, Layout, Run
from hostler.placement.plan import Plan
from hostler.placement.wish import DEFAULT_CONTEXT, Room


def is_program(profile: Profile) -> bool:
    """Whether a program of the user's runs it, or a server elsewhere, of which no header tells anything."""
    return profile.engine.kind in ("command", "remote")


def is_remote(profile: Profile) -> bool:
    """Whether a server elsewhere runs it, so that its model is none of this disk."""
    return profile.engine.kind == "remote"


def called_of(profile: Profile) -> str | None:
    """What the model is called in requests; None where what the client says will do."""
    return profile.model if is_remote(profile) else profile.engine.model_name or None


def unplannable(name: str, profile: Profile) -> ModelError:
    """Why there is no plan for it."""
    if is_remote(profile):
        return ModelError(f"Profile {name!r} runs elsewhere: there is nothing to plan.", hint="")
    return ModelError(
        f"Profile {name!r} runs a program of its own: there is nothing to plan.",
        hint=f"`memory` in [profiles.{name}.engine] declares what it holds.",
    )


def spec_of(name: str, profile: Profile, model: Model | None, rooms: Mapping[str, Room]) -> tuple[LoadSpec, Want]:
    """How to run it, and what the fleet has to know.

    ``model`` is None when `model` names nothing on this disk: it is then told to the program as it is written. With
    nothing declared it needs nothing on any device, which stands until it was seen to hold something.
    """
    model = model or Model(name=profile.model, files=(Path(profile.model),), size=0, origin="path")
    declared = need_of(profile)
    need = declared or ({} if is_remote(profile) else dict.fromkeys(rooms, 0))
    context = profile.context if isinstance(profile.context, int) else DEFAULT_CONTEXT
    gpus = tuple(device for device in declared if device != HOST)
    plan = Plan(
        run=Run(context=context, slots=profile.slots),
        layout=Layout(gpus=gpus, layers=(), experts=(), output=HOST),
        bytes={device: Classes(runtime=size) for device, size in declared.items()},
        rooms=dict(rooms),
        speeds=(),
        flags=(),
        placement="manual",
    )
    spec = LoadSpec(
        instance="",
        profile=name,
        model=model,
        facts=_NO_FACTS,
        task=profile.task or "chat",
        embeddings=profile.embeddings,
        context=context,
        slots=profile.slots,
        engine=profile.engine,
        bytes=need,
        plan=plan,
        proves=profile.task in PROVABLE,
    )
    want = Want(key=instance_key(profile), need=need, slots=profile.slots, pin=profile.pin, ttl_s=profile.ttl)
    return spec, want


def need_of(profile: Profile) -> dict[str, int]:
    """Bytes per device as declared."""
    return {device: int(size) for device, size in profile.engine.memory.items()}


_NO_FACTS = GgufFacts(
    architecture="", name="", parameters=0, tensor_bytes=0, quantisation="", layers=0, context_length=0,
    embedding_length=0, vocabulary=0, heads=0, kv_heads=(), key_length=0, value_length=0,
)  # fmt: skip
