"""A scheduler's step in the making: the state so far, the effects so far, and the small moves both grow by.

Pure. What the moves are for is decided in :mod:`hostler.fleet.scheduling.decisions`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from msgspec.structs import replace

from hostler.engines.state import Draining, Failure, Ready, Starting, Stopping, after_failure
from hostler.errors import EngineLost, HostlerError
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.rules import Rules

V = TypeVar("V")


class Moves:
    """The state so far and the effects so far."""

    def __init__(self, state: m.State, at: m.Situation) -> None:
        self.state = state
        self.at = at
        self.effects: list[m.Effect] = []

    def _put(self, instance: m.Instance) -> None:
        self.state = replace(self.state, instances={**self.state.instances, instance.id: instance})

    def _of(self, profile: str) -> list[m.Instance]:
        return [i for i in self.state.instances.values() if i.profile == profile]

    def _stop(self, instance: m.Instance, reason: str) -> None:
        if not isinstance(instance.state, Stopping):
            self._put(replace(instance, state=Stopping(self.at.now, reason)))
            self.effects.append(m.Stop(instance.id, reason))

    def _drain_instance(self, instance: m.Instance, reason: str) -> None:
        if isinstance(instance.state, Starting):
            self._stop(instance, reason)
        elif isinstance(instance.state, Ready):
            self._put(replace(instance, state=Draining(self.at.now, reason)))
            self.effects.append(m.Close(instance.id, reason))

    def _keep(self, profile: str) -> None:
        """Whoever waits for the room of what is pinned or held now has to look for it elsewhere."""
        for instance in self._of(profile):
            if instance.closed_for is not None and (instance.pin or held(self.state, profile)):
                self._put(replace(instance, closed_for=None))

    def _failing(self, profile: str) -> Failure | None:
        """The failure that still refuses requests."""
        failure = self.state.failures.get(profile)
        if failure is None or (failure.until is not None and self.at.now >= failure.until):
            return None
        return failure

    def _fail(self, profile: str, error: HostlerError, *, loading: bool) -> None:
        rules = self.at.rules
        failure = after_failure(
            self.state.failures.get(profile),
            error,
            self.at.now,
            tries=rules.load_tries,
            backoff_s=rules.backoff_s,
            loading=loading,
        )
        if failure.until is None:
            error = _for_good(profile, failure)
            failure = replace(failure, error=error)
        self.state = replace(self.state, failures={**self.state.failures, profile: failure})
        self.effects.append(m.Fail(profile, error))
        if loading:
            self._refuse_all(profile, error)

    def _forget(self, profile: str) -> None:
        """The next load is prepared anew: files may have changed."""
        self.state = replace(self.state, wants=without(self.state.wants, profile))

    def _refuse_all(self, profile: str, error: HostlerError) -> None:
        self._refuse_where(lambda w: w.profile == profile, error)

    def _refuse_where(self, chosen: Callable[[m.Waiter], bool], error: HostlerError) -> None:
        refused = [w for w in self.state.waiting if chosen(w)]
        self.effects.extend(m.Refuse(w.ticket, error) for w in refused)
        self.state = replace(self.state, waiting=tuple(w for w in self.state.waiting if not chosen(w)))
        for profile in {w.profile for w in refused} - {w.profile for w in self.state.waiting}:
            self._forget(profile)


def live(state: m.State, profile: str) -> m.Instance | None:
    """The profile's instance that is starting or ready."""
    for instance in state.instances.values():
        if instance.profile == profile and isinstance(instance.state, (Ready, Starting)):
            return instance
    return None


def expiry(instance: m.Instance) -> float | None:
    """When its TTL ends; None while it is busy, pinned or without one."""
    bound_s = instance.idle_bound_s
    if bound_s is None or instance.pin or instance.leases or not isinstance(instance.state, Ready):
        return None
    return max(instance.last_used, instance.state.since) + bound_s


def again(failure: Failure, now: float) -> HostlerError:
    """The failure's error, told again to somebody who asks during the pause."""
    error = _copy(failure.error, failure.error.hint)
    error.retry_after_s = None if failure.until is None else max(1.0, failure.until - now)
    return error


def _for_good(profile: str, failure: Failure) -> HostlerError:
    """The error of a failure that stays, which also says what ends it."""
    stays = (
        f"It failed {failure.tries} times in a row and is not tried again until its profile, model or build changes, "
        f"or a device is there again; `hostler load {profile}` tries it now."
    )
    do = failure.error.hint.removeprefix(EngineLost.default_hint).strip()
    return _copy(failure.error, f"{do}{'' if not do or do.endswith('.') else '.'} {stays}".lstrip())


def _copy(error: HostlerError, hint: str) -> HostlerError:
    copy = type(error)(error.message, hint=hint)
    copy.cause, copy.evidence = error.cause, error.evidence
    return copy


def is_open(instance: m.Instance, residency: int) -> bool:
    """Takes new leases: ready, not doubted, and not closed for another profile unless it has yet to answer what a load
    is owed."""
    if instance.doubted or not isinstance(instance.state, Ready):
        return False
    return instance.closed_for is None or instance.served < residency


def idle(instance: m.Instance) -> bool:
    """Nobody uses it and it may leave."""
    return not instance.pin and not instance.leases and isinstance(instance.state, Ready)


def held(state: m.State, profile: str) -> bool:
    """Whether somebody holds the profile: it neither makes room nor leaves when idle."""
    return any(hold.profile == profile for hold in state.holds.values())


def ahead_of(state: m.State, want: m.Want, rules: Rules) -> list[m.Instance]:
    """The loads that have to end before this one begins: as many as may load at once do, or its disk has no speed left.

    Two loads that a disk cannot feed both end sooner one after the other.
    """
    loading = [i for i in state.instances.values() if isinstance(i.state, Starting)]
    if rules.loads is not None and len(loading) >= rules.loads:
        return loading
    reads = want.reads
    if reads is None:
        return []
    beside = [i for i in loading if i.reads is not None and i.reads.disk == reads.disk]
    return beside if sum(i.reads.share for i in beside if i.reads) + reads.share > 1.0 else []


def stays(instance: m.Instance) -> bool:
    return isinstance(instance.state, (Starting, Ready))


def elsewhere(instance: m.Instance) -> bool:
    """Whether it is a remote: on no device, not even with nothing, so that its leaving makes no room."""
    return not instance.holds


def spared(state: m.State, instance: m.Instance) -> bool:
    """Whether a switch to another profile leaves it."""
    return instance.pin or elsewhere(instance) or held(state, instance.profile)


def without(table: Mapping[str, V], key: str) -> dict[str, V]:
    return {k: v for k, v in table.items() if k != key}


def total(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for device, size in part.items():
            total[device] = total.get(device, 0) + size
    return total


def less(budget: Mapping[str, int], used: Mapping[str, int]) -> dict[str, int]:
    return {device: size - used.get(device, 0) for device, size in budget.items()}
