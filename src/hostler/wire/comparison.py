"""One model on several machines: ``hostler plan --hardware A --hardware B --json`` is a list of these."""

from __future__ import annotations

import msgspec

from hostler.wire.management import Problem
from hostler.wire.plan import PlannedMachine, PlanReport


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One machine of several: its plan, or why there is none."""

    machine: PlannedMachine
    plan: PlanReport | None = None
    problem: Problem | None = None
