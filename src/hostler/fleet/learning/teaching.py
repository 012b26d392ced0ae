"""What ordinary requests teach of a device's speed, where nothing better was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import astuple, replace

from hostler.engines.protocol import LoadSpec
from hostler.engines.speed.efficiencies import keep, learnt
from hostler.fleet.learning.pace import enough_prompt
from hostler.fleet.protocol import Timing
from hostler.hardware.facts import Machine
from hostler.models.facts import Model
from hostler.models.shape import ModelShape
from hostler.placement.efficiency import Efficiencies, Fitted, key_of

if TYPE_CHECKING:
    from hostler.placement.fitting import Request


class Teaching:
    """Fits efficiencies to the first answers of an instance; see :attr:`hostler.fleet.learning.watch.Eyes.teach`.

    ``shape`` reads a model's header and ``machine`` tells the devices; both block. What was fitted for the same
    architecture and quantisation on a device stays: a calibration knows more than a few answers.
    """

    def __init__(self, shape: Callable[[Model], ModelShape], machine: Callable[[], Machine], cache: Path) -> None:
        self._shape = shape
        self._machine = machine
        self._cache = cache

    def __call__(self, spec: LoadSpec, timings: Sequence[Timing]) -> None:
        """Learn from ``timings`` of ``spec``. Blocking; raises ModelError when the model has gone meanwhile."""
        from hostler.placement.fitting import fit, observe

        if not spec.plan.speeds:
            return  # nothing was predicted: a program of which nobody knows how it computes
        shape, machine = self._shape(spec.model), self._machine()
        known = learnt(self._cache, machine.fingerprint, spec.build)
        requests = _requests(timings, enough_prompt(spec.plan))
        sample = observe(shape, spec.plan.run, spec.plan.layout, requests)
        added = _added(known, fit([sample], machine, known), key_of(shape))
        if added != known:
            keep(self._cache, machine.fingerprint, spec.build, added)


def _requests(timings: Sequence[Timing], enough: int) -> list[Request]:
    """As they are fitted; a prompt that is too short to say anything is as one that was cached."""
    from hostler.placement.fitting import Request

    told = (t if t.prompt >= enough else replace(t, cached=t.cached + t.prompt, prompt=0) for t in timings)
    return [Request(*astuple(each)) for each in told]


def _added(known: Efficiencies, fitted: Efficiencies, key: str) -> Efficiencies:
    """``known`` with what ``fitted`` has of devices that were not measured with such a model yet."""
    new: dict[str, Fitted] = {
        device: found
        for device, found in fitted.fitted.items()
        if key in found.of and (device not in known.fitted or key not in known.fitted[device].of)
    }
    return replace(known, fitted={**known.fitted, **new})
