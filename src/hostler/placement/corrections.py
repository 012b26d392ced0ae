"""What earlier loads teach: predicted bytes against what the engine reported, and what follows for the next plan.

Pure. Only classes that are formulae or priors are corrected (compute, output, runtime); weights, caches and states are
exact, and where the engine reports others, something is wrong that a person should know (:func:`faults`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from hostler.hardware.facts import Kind

if TYPE_CHECKING:
    from hostler.placement.bytes import Classes

#: Classes that an engine (or the operating system, for runtime) reports of a load.
Learnt = Literal["weights", "kv", "recurrent", "compute", "output", "runtime"]
CORRECTED: Final[tuple[Learnt, ...]] = ("compute", "output", "runtime")

#: A correction goes no further than this, whatever was reported.
LEAST, MOST = 0.5, 2.0
#: Of how many loads the worst counts.
REMEMBERED = 5
#: Bytes by which an exact class may differ: the engine rounds, and aligns tensors.
TOLERANCE = 2**20


class Residual(msgspec.Struct, frozen=True, kw_only=True):
    """One class on one device after one load, in bytes. ``device`` is the id, ``kind`` what it is."""

    device: str
    kind: Kind
    name: Learnt
    predicted: int
    reported: int


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """For one class on one kind of device: reported by predicted of the latest loads, the newest last."""

    kind: Kind
    name: Learnt
    ratios: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """What the class is multiplied with: the worst of the loads that count."""
        return min(MOST, max(LEAST, *self.ratios)) if self.ratios else 1.0


class Corrections(msgspec.Struct, frozen=True):
    """What is known about one subject; an empty one changes nothing. Persist as it is (JSON or MessagePack)."""

    known: tuple[Correction, ...] = ()

    def applied(self, kind: Kind, classes: Classes) -> Classes:
        """``classes`` of a device of that kind, with what was learnt."""
        ratios = {each.name: each.ratio for each in self.known if each.kind == kind and each.name in CORRECTED}
        if not ratios:
            return classes
        return msgspec.structs.replace(
            classes, **{name: round(getattr(classes, name) * ratio) for name, ratio in ratios.items()}
        )


NONE: Final = Corrections()


def learn(corrections: Corrections, residuals: Iterable[Residual]) -> Corrections:
    """``corrections`` with one more load, of which ``residuals`` were found with :func:`compared`.

    What the load says nothing of keeps what it had. Of two devices of one kind the worse counts.
    """
    found: dict[tuple[Kind, Learnt], float] = {}
    for residual in residuals:
        if residual.name in CORRECTED and residual.predicted > 0:
            key = (residual.kind, residual.name)
            found[key] = max(found.get(key, 0.0), residual.reported / residual.predicted)
    before = {(each.kind, each.name): each.ratios for each in corrections.known}
    for key, ratio in found.items():
        before[key] = (*before.get(key, ()), ratio)[-REMEMBERED:]
    return Corrections(
        tuple(Correction(kind=kind, name=name, ratios=ratios) for (kind, name), ratios in before.items())
    )


def compared(
    predicted: Mapping[str, Classes], reported: Mapping[str, Mapping[Learnt, float]], traits: Mapping[str, Kind]
) -> tuple[Residual, ...]:
    """Predicted (uncorrected) against ``reported``: MiB per device id and class, as summed from the engine's log.

    Classes that the engine did not report are left out; so are devices of which nothing was predicted, and weights on
    the host of which more is reported than predicted: a mapped file counts there by the range that its tensors span,
    and a copy repacked for the processor counts beside it.
    """
    found = (
        Residual(
            device=device,
            kind=traits.get(device, "host"),
            name=name,
            predicted=_predicted(predicted[device], name),
            reported=round(mib * 2**20),
        )
        for device, sizes in reported.items()
        if device in predicted
        for name, mib in sizes.items()
    )
    return tuple(residual for residual in found if not _says_nothing(residual))


def _says_nothing(residual: Residual) -> bool:
    more = residual.reported > residual.predicted + TOLERANCE
    return residual.name == "weights" and residual.kind == "host" and more


def faults(residuals: Iterable[Residual]) -> tuple[str, ...]:
    """In words, where an exact class differs from what was reported by more than the tolerance."""
    return tuple(
        f"{residual.name} on {residual.device}: {residual.predicted / 2**20:.0f} MiB predicted, "
        f"{residual.reported / 2**20:.0f} MiB reported"
        for residual in residuals
        if residual.name not in CORRECTED and abs(residual.reported - residual.predicted) > TOLERANCE
    )


def _predicted(classes: Classes, name: Learnt) -> int:
    """The mapped table is among the weights that an engine reports."""
    own: int = getattr(classes, name)
    return own + classes.mapped if name == "weights" else own
