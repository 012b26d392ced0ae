"""A plan: flags, predicted bytes per device and class, predicted speed, and the reasons."""

from __future__ import annotations

import msgspec

from hostler.config.settings import Placement
from hostler.placement.bytes import Classes
from hostler.placement.layout import HOST, Layout, Run
from hostler.placement.speed import Speed
from hostler.placement.wish import Room


class Chosen(msgspec.Struct, frozen=True):
    """Arguments that the engine gets, and why."""

    argv: tuple[str, ...]
    reason: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything goes, what it takes and how fast it will be.

    ``bytes`` has one entry per device that holds something. ``speeds`` are at an empty cache, at half and at the whole
    context. ``flags`` are those of placement and sizes; the rest of the command line does not depend on the machine.
    ``notes`` are guesses and warnings, in words. ``goes`` names the residents that would have to leave.
    ``request_s`` is the time of the usual request, seconds; ``shared`` are the GPUs whose memory is the host's.
    """

    run: Run
    layout: Layout
    bytes: dict[str, Classes]
    rooms: dict[str, Room]
    speeds: tuple[Speed, ...]
    flags: tuple[Chosen, ...]
    env: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    placement: Placement = "auto"
    goes: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    request_s: float = 0.0

    @property
    def need(self) -> dict[str, int]:
        """Bytes per device, as the fleet counts: those of a GPU in ``shared`` memory are the host's too."""
        need = {device: classes.total for device, classes in self.bytes.items() if classes.total}
        both = sum(need.get(device, 0) for device in self.shared)
        return {**need, HOST: need.get(HOST, 0) + both} if both else need

    @property
    def argv(self) -> tuple[str, ...]:
        """Every argument of ``flags``."""
        return tuple(argument for chosen in self.flags for argument in chosen.argv)
