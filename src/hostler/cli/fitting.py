"""Whether a variant that is still at the hub would fit this machine; known from its header alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
import msgspec

from hostler.config.quantities import format_bytes
from hostler.errors import HostlerError
from hostler.models.facts import GgufFacts
from hostler.models.hub import Repository, read_header
from hostler.models.variants import RemoteFile, Variant


class Fitting(msgspec.Struct, frozen=True):
    """One header stands for all variants: they differ in the bytes of their tensors, which are their files.

    ``facts`` is None when no header could be read; then nothing is known. ``budget`` is what engines may hold
    per device now, in bytes.
    """

    facts: GgufFacts | None
    projector: int
    budget: dict[str, int]

    @classmethod
    def of(
        cls, config_file: Path | None, repository: Repository, variants: Sequence[Variant], projector: RemoteFile | None
    ) -> Fitting:
        """Reads one header over HTTP (that of the variant with the fewest files), and the machine's memory."""
        smallest = min(variants, key=lambda variant: (len(variant.files), variant.size))
        try:
            facts = anyio.run(read_header, repository, smallest).facts
        except (HostlerError, OSError):  # nothing to say about it is no reason not to fetch
            facts = None
        return cls(facts, projector.size if projector else 0, _budget(config_file))

    def need(self, variant: Variant) -> dict[str, int] | None:
        """Predicted bytes per device with default settings."""
        if self.facts is None:
            return None
        from hostler.config.settings import Profile
        from hostler.engines.command import CHECKPOINTS
        from hostler.fleet.catalogue import context_of
        from hostler.placement.hostonly import Need, estimate

        facts = msgspec.structs.replace(self.facts, tensor_bytes=variant.size)
        profile = Profile(model=variant.label)
        return estimate(
            Need(
                facts=facts,
                context=context_of(profile, facts),
                slots=profile.slots,
                checkpoints=CHECKPOINTS,
                projector=self.projector,
            )
        )

    def fits(self, variant: Variant) -> bool | None:
        """Whether that is within the budget; None when it is not known."""
        need = self.need(variant)
        if need is None:
            return None
        return all(size <= self.budget.get(device, 0) for device, size in need.items())

    def over(self, variant: Variant) -> int:
        """Bytes beyond the budget, all devices together; 0 when it fits or nothing is known."""
        need = self.need(variant) or {}
        return sum(max(0, size - self.budget.get(device, 0)) for device, size in need.items())

    def words(self, variant: Variant) -> str:
        """The same in words; empty when it is not known."""
        need = self.need(variant)
        if need is None:
            return ""
        told = ", ".join(
            f"{format_bytes(size)} of {format_bytes(self.budget.get(device, 0))} on {device}"
            for device, size in need.items()
        )
        return f"fits: needs about {told}" if self.fits(variant) else f"does NOT fit: needs about {told}"


def _budget(config_file: Path | None) -> dict[str, int]:
    from hostler.cli.whereabouts import load_config
    from hostler.fleet.memory import Budget
    from hostler.reports import devices

    return Budget(load_config(config_file).config.memory, devices).bytes
