"""Loads that ran out of memory: which rung of the ladder comes next, and what a profile that runs now runs with.

What worked is kept over restarts, for as long as the profile's settings and its build stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

import msgspec

from hostler.config.settings import Rung
from hostler.engines.protocol import LoadSpec
from hostler.errors import EngineError, HostlerError, Shortage
from hostler.events import LoadRetried
from hostler.fleet.learning.remembered import Remembered
from hostler.fleet.learning.reported import Reported, device_id
from hostler.fleet.recovery.ladder import NONE, Changes, Step, Tried, next_changes
from hostler.placement.bytes import Classes
from hostler.placement.layout import HOST
from hostler.placement.plan import Plan

KEPT: Final = 200


class Around(msgspec.Struct, frozen=True):
    """What the fleet tells of a device: bytes free on it now (None: unknown), and those of idle residents there."""

    free: Callable[[str], int | None]
    idle: Callable[[str], dict[str, int]]


class _Walk(msgspec.Struct, frozen=True, kw_only=True):
    """A ladder in the middle: the load that failed and the changes it had, and those of the next one."""

    tried: Tried
    before: Changes
    next: Changes
    spec: LoadSpec
    error: EngineError
    closed: frozenset[Rung] = frozenset()


class Retries:
    """The changes of each instance key."""

    def __init__(self, file: Path) -> None:
        self._kept: Remembered[Changes] = Remembered(file, Changes, KEPT)
        self._walks: dict[str, _Walk] = {}

    def of(self, key: str) -> Changes:
        """How the next load differs from what its profile asks."""
        walk = self._walks.get(key)
        return walk.next if walk is not None else self._kept.get(key) or NONE

    def failed(
        self, key: str, run: tuple[LoadSpec, Changes, Reported], error: HostlerError, around: Around
    ) -> Step | None:
        """Take the next rung; None when ``error`` was not for want of memory, or the ladder ends.

        At its end everything is forgotten: a later load starts afresh, since what was short may be there again.
        """
        if not isinstance(error, EngineError) or error.shortage is None:
            return None
        spec, changes, reported = run
        tried = tried_of(spec, error.shortage, reported, around)
        then = next_changes(tried, spec.rungs, changes)
        if then is None:
            self._end(key, changes, error)
            return None
        self._walks[key] = _Walk(tried=tried, before=changes, next=then, spec=spec, error=error)
        return then.steps[-1]

    def refused(self, key: str) -> Step | None:
        """The changed profile cannot be planned: another rung, the changes forgotten, or, at the end, the error.

        None when the next load has no changes left.
        """
        walk = self._walks.get(key)
        if walk is None:
            self._kept.forget(key)
            return None
        closed = walk.closed | {walk.next.steps[-1].rung}
        then = next_changes(walk.tried, walk.spec.rungs, walk.before, closed)
        if then is None:
            self._end(key, walk.before, walk.error)
            raise walk.error
        self._walks[key] = msgspec.structs.replace(walk, next=then, closed=closed)
        return then.steps[-1]

    def suits(self, key: str, build: str) -> bool:
        """Whether the changes were found with that build; those of another are forgotten."""
        changes = self.of(key)
        if not changes.steps or changes.build == build:
            return True
        self._walks.pop(key, None)
        self._kept.forget(key)
        return False

    def worked(self, key: str) -> bool:
        """It runs: what was changed stays so. Whether that is news, to be saved."""
        walk = self._walks.pop(key, None)
        if walk is not None:
            self._kept.put(key, walk.next)
        return walk is not None

    def keep_only(self, keys: Collection[str]) -> bool:
        """Forget what no profile is set to any more; whether there was anything."""
        self._walks = {key: walk for key, walk in self._walks.items() if key in keys}
        return self._kept.keep_only(keys)

    def save(self) -> None:
        """Write what is remembered. Blocking; raises OSError."""
        self._kept.save()

    def _end(self, key: str, changes: Changes, error: EngineError) -> None:
        self._walks.pop(key, None)
        self._kept.forget(key)
        if changes.steps:
            error.hint = f"Tried as well: {'; '.join(step.what for step in changes.steps)}. {error.default_hint}"


def retried(instance: str, profile: str, changes: Changes) -> LoadRetried:
    """The event of the last step of ``changes``."""
    step = changes.steps[-1]
    return LoadRetried(
        instance=instance,
        profile=profile,
        rung=step.rung,
        device=step.device,
        what=step.what,
        attempt=len(changes.steps),
    )


def tried_of(spec: LoadSpec, shortage: Shortage, reported: Reported, around: Around) -> Tried:
    """The load that failed, as the ladder needs it."""
    device = device_id(shortage.device, spec.plan)
    run, planned = spec.plan.run, spec.plan.bytes.get(device, Classes())
    runtime = planned.runtime if device != HOST else 0
    return Tried(
        device=device,
        missing=_missing(shortage, reported.bytes_on(device) + runtime, around.free(device)),
        context=run.context,
        ubatch=run.ubatch,
        cache_k=run.cache_k,
        cache_v=run.cache_v,
        flash_attention=run.flash_attention,
        pooled=spec.embeddings or spec.task in ("embedding", "rerank"),
        planned=planned,
        movable=_movable(spec.plan, device),
        idle=around.idle(device),
        build=spec.build,
    )


def _missing(shortage: Shortage, held: int, free: int | None) -> int:
    """What the engine had and asked for, less what is free now that it is gone; 0 when that is not known."""
    if not shortage.wanted or free is None:
        return 0
    return min(max(0, held + shortage.wanted - free), shortage.wanted)


def _movable(plan: Plan, device: str) -> bool:
    """Whether the planner could put less of the model on ``device``, and that would leave more of it."""
    if plan.placement == "manual" or device in plan.shared:
        return False
    return device in (*plan.layout.layers, *plan.layout.experts)
