"""One engine process from start to reaped: what is known of it."""

from __future__ import annotations

import anyio
import anyio.abc

from hostler.clock import Clock
from hostler.engines.protocol import Endpoint, LoadSpec
from hostler.errors import EngineLost
from hostler.fleet.learning.defects import UNKNOWN, Defect
from hostler.fleet.learning.pace import Condition, Pace
from hostler.fleet.learning.reported import Reported
from hostler.fleet.prompts.seat import Seat
from hostler.fleet.recovery.ladder import Changes
from hostler.fleet.recovery.returned import Held
from hostler.fleet.slots import SlotWatch

ALMOST = 0.97


class Run:
    """As its task keeps it up to date.

    ``changes`` is how it differs from what its profile asks, ``before`` how its devices were when it became ready.
    ``seat`` keeps its prompts, ``tasks`` end with it; it is ``leaving`` while its prompts are saved. ``trouble`` says
    what is the matter with it, ``lost`` why it is ended although nobody asked for that. ``held`` is what it was
    last seen to hold of GPUs. It is ``doubted`` from the loss of a request until it was seen alive.
    """

    def __init__(self, spec: LoadSpec, key: str, clock: Clock, expected_s: float | None, changes: Changes) -> None:
        self.spec = spec
        self.key = key
        self.changes = changes
        self.began = clock.monotonic()
        self.started_at = clock.wall()
        self.expected_s = expected_s
        self.ready_at = float("inf")
        self.scope = anyio.CancelScope()
        self.slots = SlotWatch(clock)
        self.reported = Reported(spec.plan)
        self.pace = Pace(spec.plan)
        self.before: dict[str, Condition] = {}
        self.seat: Seat | None = None
        self.tasks: anyio.abc.TaskGroup | None = None
        self.leaving = self.doubted = False
        self.sound: frozenset[Defect] = UNKNOWN  # the defects that its build is known not to have
        self.cached: float | None = None  # how much of its files was in the page cache when it began
        self.trouble = ""
        self.lost: EngineLost | None = None
        self.held: dict[str, Held] = {}
        self.restoring_s = 0.0
        self.stage = "starting"
        self.pid: int | None = None
        self.argv: tuple[str, ...] = ()
        self.endpoint: Endpoint | None = None
        self.load_s: float | None = None
        self.reload_s: float | None = None
        self.tokens_per_s: float | None = None

    def progress(self, now: float) -> tuple[str, float | None]:
        """The stage, and the fraction estimated from the last measured load (None without one)."""
        if not self.expected_s:
            return self.stage, None
        return self.stage, min(ALMOST, (now - self.began) / self.expected_s)
