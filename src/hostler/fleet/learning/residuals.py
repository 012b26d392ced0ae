"""Predicted bytes against what engines reported: told after each load, kept over restarts, taken into the next plan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from hostler.engines.protocol import LoadSpec
from hostler.events import PlacementMeasured, Sizes
from hostler.fleet.learning.remembered import Remembered
from hostler.hardware.facts import Kind
from hostler.models.shape import ModelShape
from hostler.placement.bytes import Classes
from hostler.placement.corrections import (
    CORRECTED,
    NONE,
    Corrections,
    Learnt,
    Residual,
    compared,
    faults,
    learn,
)
from hostler.placement.layout import HOST, Run
from hostler.placement.wish import Wish

KEPT: Final = 200
MIB: Final = 2**20
#: A device's total may be off by so much of it, and by so many bytes whatever it is.
TOTAL_SHARE: Final = 0.1
TOTAL_LEAST: Final = 16 * MIB

Sizing = Mapping[str, Mapping[Learnt, float]]


class Residuals:
    """What the loads of each (architecture, quantisation, flags, build) taught."""

    def __init__(self, file: Path) -> None:
        self._kept: Remembered[Corrections] = Remembered(file, Corrections, KEPT)

    def corrections(self, shape: ModelShape, build: str, wish: Wish | None = None) -> Corrections:
        """What a plan for that model, build and wish is corrected by (:attr:`hostler.placement.wish.Site.corrections`).

        A dictionary look-up; may be called from any thread. :data:`NONE` before the first load. Without a wish for a
        run with flash attention that answers with text.
        """
        flash = wish is None or wish.flash_attention
        pooled = wish is not None and (wish.pooled or wish.whole_inputs)
        key = _key(shape.architecture, shape.quantisation, build, flash=flash, pooled=pooled)
        return self._kept.get(key) or NONE

    def record(
        self, spec: LoadSpec, reported: Sizing, held: Mapping[str, int], kinds: Mapping[str, Kind]
    ) -> PlacementMeasured:
        """Learn from a load that has become ready, and say how it compares with its plan.

        ``reported`` is MiB by device and class, ``held`` bytes of the process by device, ``kinds`` what each device
        is. Nothing is learnt of a placement that was the engine's own.
        """
        run = spec.plan.run
        key = _key(
            spec.facts.architecture, spec.facts.quantisation, spec.build, flash=run.flash_attention, pooled=run.pooled
        )
        known = self._kept.get(key) or NONE
        comparable = {device: _told(sizes, run) for device, sizes in reported.items() if _comparable(spec, device)}
        if spec.plan.placement != "engine":
            plain = {device: _plain(classes, kinds, device, known) for device, classes in spec.plan.bytes.items()}
            self._kept.put(key, learn(known, compared(plain, _with_runtime(comparable, held), kinds)))
        residuals = compared(spec.plan.bytes, comparable, kinds)
        return PlacementMeasured(
            instance=spec.instance,
            profile=spec.profile,
            devices=_table(residuals),
            planned={device: size / MIB for device, size in spec.plan.need.items()},
            held={device: size / MIB for device, size in held.items()},
            warnings=(*faults(residuals), *_totals(residuals), *_beyond(spec.plan.need, held)),
        )

    def save(self) -> None:
        """Write what was learnt. Blocking; raises OSError."""
        self._kept.save()


def _key(architecture: str, quantisation: str, build: str, *, flash: bool, pooled: bool) -> str:
    """Of the flags those that change what is corrected, and that are known before a plan is made."""
    flags = f"{'flash' if flash else 'no flash'}{' pooled' if pooled else ''}"
    return f"{architecture} {quantisation}, {flags}, {build}"


def _comparable(spec: LoadSpec, device: str) -> bool:
    """A draft model's buffers are reported in the same words: they cannot be told from the model's."""
    classes = spec.plan.bytes.get(device)
    return classes is not None and not classes.draft


def _told(sizes: Mapping[Learnt, float], run: Run) -> Mapping[Learnt, float]:
    """Where answers are vectors the engine makes its output buffer as large as planned at the first of them only."""
    return {name: mib for name, mib in sizes.items() if not (run.pooled and name == "output")}


def _plain(classes: Classes, kinds: Mapping[str, Kind], device: str, known: Corrections) -> Classes:
    """``classes`` as they were before they were corrected by what is known."""
    kind = kinds.get(device, HOST)
    ratios = {each.name: each.ratio for each in known.known if each.kind == kind and each.name in CORRECTED}
    return msgspec.structs.replace(
        classes, **{name: round(getattr(classes, name) / ratio) for name, ratio in ratios.items()}
    )


def _with_runtime(reported: Sizing, held: Mapping[str, int]) -> Sizing:
    """On a GPU, what the process holds beside its buffers. On the host, pages of files make that no measure."""
    sizes: dict[str, Mapping[Learnt, float]] = {}
    for device, of in reported.items():
        beside = held.get(device, 0) / MIB - sum(of.values())
        sizes[device] = {**of, "runtime": beside} if device != HOST and beside > 0 else of
    return sizes


def _table(residuals: tuple[Residual, ...]) -> dict[str, dict[str, Sizes]]:
    table: dict[str, dict[str, Sizes]] = {}
    for each in residuals:
        table.setdefault(each.device, {})[each.name] = Sizes(each.predicted / MIB, each.reported / MIB)
    return table


def _beyond(planned: Mapping[str, int], held: Mapping[str, int]) -> list[str]:
    """In words, the devices of which the process holds more than all that was planned."""
    return [
        f"the process holds {size / MIB:.0f} MiB on {device}, {planned.get(device, 0) / MIB:.0f} MiB were planned"
        for device, size in held.items()
        if size - planned.get(device, 0) > max(TOTAL_SHARE * planned.get(device, 0), TOTAL_LEAST)
    ]


def _totals(residuals: tuple[Residual, ...]) -> list[str]:
    """In words, the devices whose total is off by more than it may be."""
    told: list[str] = []
    for device in dict.fromkeys(each.device for each in residuals):
        predicted = sum(each.predicted for each in residuals if each.device == device)
        reported = sum(each.reported for each in residuals if each.device == device)
        if abs(reported - predicted) > max(TOTAL_SHARE * predicted, TOTAL_LEAST):
            told.append(f"all on {device}: {predicted / MIB:.0f} MiB predicted, {reported / MIB:.0f} MiB reported")
    return told
