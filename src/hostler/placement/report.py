"""A plan as programs read it: the same facts in the stable structs of :mod:`hostler.wire.plan`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hostler.hardware.facts import Machine
from hostler.models.shape import ModelShape
from hostler.placement.alternatives import Alternative
from hostler.placement.bytes import Classes
from hostler.placement.layout import HOST, Layout
from hostler.placement.plan import Plan
from hostler.placement.speed import Range, Speed
from hostler.wire.plan import (
    Asking,
    Interval,
    PlannedAlternative,
    PlannedBytes,
    PlannedDevice,
    PlannedFlag,
    PlannedLayout,
    PlannedMachine,
    PlannedModel,
    PlannedRun,
    PlannedSpeed,
    PlanReport,
    Span,
)


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is planned: the profile's name (or how the model was named), the model, and its bytes on disk."""

    profile: str
    model: str
    shape: ModelShape
    size: int


def report(subject: Subject, machine: Machine, plan: Plan, alternatives: Sequence[Alternative] = ()) -> PlanReport:
    """Everything about ``plan`` that people and programs are told."""
    return PlanReport(
        profile=subject.profile,
        machine=machine_of(machine),
        model=_model(subject),
        run=_run(plan),
        layout=_layout(plan.layout),
        devices=_devices(subject.shape, machine, plan),
        speeds=tuple(_speed(speed) for speed in plan.speeds),
        placement=plan.placement,
        flags=tuple(PlannedFlag(argv=flag.argv, reason=flag.reason) for flag in plan.flags),
        env=plan.env,
        alternatives=tuple(_alternative(each) for each in alternatives if each.effect),
        notes=plan.notes,
        goes=plan.goes,
    )


def machine_of(machine: Machine) -> PlannedMachine:
    """What a plan tells of its machine."""
    price = machine.price
    return PlannedMachine(
        name=machine.name,
        description=machine.description,
        described=machine.described,
        price=None if price is None else Asking(amount=price.amount, currency=price.currency, source=price.source),
    )


def _model(subject: Subject) -> PlannedModel:
    shape = subject.shape
    return PlannedModel(
        name=subject.model,
        architecture=shape.architecture,
        quantisation=shape.quantisation,
        parameters=shape.parameters,
        active_parameters=shape.active_parameters,
        size=subject.size,
        context=shape.context,
        layers=sum(not layer.prediction for layer in shape.layers),
        experts=shape.experts,
        active_experts=shape.active,
    )


def _run(plan: Plan) -> PlannedRun:
    run = plan.run
    return PlannedRun(
        context=run.context,
        slots=run.slots,
        cache_k=run.cache_k,
        cache_v=run.cache_v,
        batch=run.batch,
        ubatch=run.ubatch,
        flash_attention=run.flash_attention,
        threads=run.threads,
        mapped=run.mapped,
        prompt_cache=int(run.prompt_cache),
        checkpoints=run.checkpoints,
        projector=run.projector,
    )


def _layout(layout: Layout) -> PlannedLayout:
    return PlannedLayout(
        gpus=layout.gpus,
        split=layout.split,
        layers=spans(layout.layers),
        experts=spans(layout.experts),
        output=layout.output,
        projector=layout.projector,
        shares=layout.shares,
    )


def spans(places: Sequence[str]) -> tuple[Span, ...]:
    """Neighbours on one device as one span."""
    found: list[Span] = []
    for layer, device in enumerate(places):
        if found and found[-1].device == device:
            found[-1] = msgspec.structs.replace(found[-1], last=layer)
        else:
            found.append(Span(first=layer, last=layer, device=device))
    return tuple(found)


def _devices(shape: ModelShape, machine: Machine, plan: Plan) -> tuple[PlannedDevice, ...]:
    """Every device that has a room, whether the plan uses it or not."""
    need = plan.need
    left = {name: room.available - need.get(name, 0) for name, room in plan.rooms.items()}
    experts = _experts(shape, plan.layout)
    found = []
    for device in machine.devices:
        room = plan.rooms.get(device.id)
        if room is None:
            continue
        # A GPU in the host's memory ends where that ends.
        free = min(left[device.id], left.get(HOST, left[device.id])) if device.unified else left[device.id]
        found.append(
            PlannedDevice(
                id=device.id,
                kind=device.kind,
                name=device.name,
                unified=device.unified,
                total=room.total,
                foreign=room.foreign,
                margin=int(room.margin),
                why=room.why,
                residents=room.residents,
                available=room.available,
                bytes=_bytes(plan.bytes.get(device.id, Classes()), experts.get(device.id, 0)),
                free=free,
            )
        )
    return tuple(found)


def _experts(shape: ModelShape, layout: Layout) -> dict[str, int]:
    """Bytes of routed experts per device; every layer is cut into shares where tensors are split."""
    found: dict[str, int] = {}
    for layer, device in zip(shape.layers, layout.experts, strict=True):
        cut = layout.split == "tensor" and device != HOST
        parts = zip(layout.gpus, layout.shares, strict=True) if cut else ((device, 1.0),)
        for each, share in parts:
            found[each] = found.get(each, 0) + round(share * layer.experts * (not layer.prediction))
    return found


def _bytes(classes: Classes, experts: int) -> PlannedBytes:
    within = min(experts, classes.weights)
    return PlannedBytes(
        total=classes.total,
        weights=classes.weights - within,
        experts=within,
        mapped=classes.mapped,
        kv=classes.kv,
        recurrent=classes.recurrent,
        compute=classes.compute,
        output=classes.output,
        projector=classes.projector,
        draft=classes.draft,
        checkpoints=classes.checkpoints,
        prompt_cache=int(classes.prompt_cache),
        runtime=classes.runtime,
    )


def _speed(speed: Speed) -> PlannedSpeed:
    return PlannedSpeed(
        depth=speed.depth,
        decode=_interval(speed.decode),
        prefill=_interval(speed.prefill),
        splits=speed.splits,
        bound=speed.bound,
        shares=speed.shares,
    )


def _interval(given: Range) -> Interval:
    return Interval(low=given.low, value=given.value, high=given.high)


def _alternative(given: Alternative) -> PlannedAlternative:
    return PlannedAlternative(
        change=given.change,
        effect=given.effect,
        decode_ratio=given.decode_ratio,
        prefill_ratio=given.prefill_ratio,
        frees=given.frees,
        context=given.context,
        settings=given.settings,
    )
