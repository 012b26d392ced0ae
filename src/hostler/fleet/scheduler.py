"""Who gets which instance, and when: pure.

:func:`step` takes the state, one message and the situation, and returns the new state with what is to be done.
It reads no clock, does no I/O and does not log, so every rule below is a property with a test:

1. A busy instance is never stopped to make room.
2. A load in flight is joined, never duplicated: one live instance per profile.
3. Requests for a resident profile go first, until another has waited for its starvation bound (the larger of
   ``starvation_s`` and three measured loads); then the instances whose room it needs take no new leases.
4. A waiter who left never causes a load, and nothing is evicted before the load has been prepared (header read,
   flags checked, build found).
5. An instance that was just loaded answers at least one request before it may be evicted.
6. Nothing above the budget is ever started; what can never fit is refused with the numbers.
7. Failures pause a profile (:func:`hostler.engines.state.after_failure`); a load that fails refuses its waiters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from msgspec.structs import replace

from hostler.config.quantities import format_bytes
from hostler.engines.state import Draining, Failure, Ready, Starting, Stopping, after_failure
from hostler.errors import CapacityError, Conflict, HostlerError, NeverFits, QueueFull
from hostler.errors import Draining as GatewayDraining
from hostler.fleet import eviction
from hostler.fleet import messages as m

V = TypeVar("V")


def step(state: m.State, message: m.Message, at: m.Situation) -> tuple[m.State, list[m.Effect]]:
    """The state after ``message``, and the effects in the order in which they are to be carried out."""
    turn = _Turn(state, at)
    turn.take(message)
    turn.advance()
    return turn.state, turn.effects


def next_wake(state: m.State, rules: m.Rules) -> float | None:
    """When a Tick is needed next if nothing else happens; None when never."""
    times = [_expiry(i) for i in state.instances.values()]
    blocked = {w.profile for w in state.waiting}
    times += [f.until for profile, f in state.failures.items() if profile in blocked]
    times += [w.since + _starvation(state, w.profile, rules) for w in state.waiting]
    return min((t for t in times if t is not None), default=None)


def live(state: m.State, profile: str) -> m.Instance | None:
    """The profile's instance that is starting or ready."""
    for instance in state.instances.values():
        if instance.profile == profile and isinstance(instance.state, (Starting, Ready)):
            return instance
    return None


def _expiry(instance: m.Instance) -> float | None:
    """When its TTL ends; None while it is busy, pinned or without one."""
    if instance.ttl_s is None or instance.pin or instance.leases or not isinstance(instance.state, Ready):
        return None
    return max(instance.last_used, instance.state.since) + instance.ttl_s


def _starvation(state: m.State, profile: str, rules: m.Rules) -> float:
    return max(rules.starvation_s, 3 * state.load_s.get(profile, 0.0))


def _without(table: Mapping[str, V], key: str) -> dict[str, V]:
    return {k: v for k, v in table.items() if k != key}


def _total(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for device, size in part.items():
            total[device] = total.get(device, 0) + size
    return total


def _less(budget: Mapping[str, int], used: Mapping[str, int]) -> dict[str, int]:
    return {device: size - used.get(device, 0) for device, size in budget.items()}


class _Turn:
    """One step in the making: the state so far and the effects so far."""

    def __init__(self, state: m.State, at: m.Situation) -> None:
        self.state = state
        self.at = at
        self.effects: list[m.Effect] = []

    # --- messages -------------------------------------------------------------------------------------

    def take(self, message: m.Message) -> None:
        """Apply what happened; decisions follow in :meth:`advance`."""
        _HANDLERS[type(message)](self, message)

    def _ask(self, message: m.Ask) -> None:
        waiter = message.waiter
        if message.forgive:
            self.state = replace(self.state, failures=_without(self.state.failures, waiter.profile))
        if refusal := self._refusal(waiter):
            self.effects.append(m.Refuse(waiter.ticket, refusal))
            return
        self.state = replace(self.state, waiting=(*self.state.waiting, waiter))

    def _refusal(self, waiter: m.Waiter) -> HostlerError | None:
        if self.state.draining:
            return GatewayDraining("The gateway is stopping.")
        if failure := self._failing(waiter.profile):
            return _again(failure, self.at.now)
        if waiter.lease and len(self.state.waiting) >= self.at.rules.queue and not self._grantable(waiter):
            patience = self.state.load_s.get(waiter.profile, 5.0)
            return QueueFull(f"{len(self.state.waiting)} requests already wait.", retry_after_s=max(1.0, patience))
        return None

    def _grantable(self, waiter: m.Waiter) -> bool:
        instance = live(self.state, waiter.profile)
        return instance is not None and _open(instance) and instance.leases < instance.slots

    def _leave(self, message: m.Leave) -> None:
        self.state = replace(self.state, waiting=tuple(w for w in self.state.waiting if w.ticket != message.ticket))

    def _release(self, message: m.Release) -> None:
        instance = self.state.instances.get(message.instance)
        if instance is None:
            return
        served = instance.served + 1
        self._put(replace(instance, leases=instance.leases - 1, served=served, last_used=self.at.now))
        if message.healthy and instance.profile in self.state.failures:
            self.state = replace(self.state, failures=_without(self.state.failures, instance.profile))

    def _prepared(self, message: m.Prepared) -> None:
        preparing = self.state.preparing - {message.profile}
        self.state = replace(self.state, preparing=preparing, wants={**self.state.wants, message.profile: message.want})

    def _prepare_failed(self, message: m.PrepareFailed) -> None:
        self.state = replace(self.state, preparing=self.state.preparing - {message.profile})
        self._fail(message.profile, message.error, loading=True)

    def _loaded(self, message: m.Loaded) -> None:
        instance = self.state.instances.get(message.instance)
        if instance is None or not isinstance(instance.state, Starting):
            return
        took = self.at.now - instance.state.since
        self._put(replace(instance, state=Ready(self.at.now, took), holds=message.holds, last_used=self.at.now))
        self.state = replace(self.state, load_s={**self.state.load_s, instance.profile: took})

    def _measured(self, message: m.Measured) -> None:
        if instance := self.state.instances.get(message.instance):
            self._put(replace(instance, holds=message.holds))
            self._relieve()

    def _gone(self, message: m.Gone) -> None:
        instance = self.state.instances.get(message.instance)
        if instance is None:
            return
        self.state = replace(self.state, instances=_without(self.state.instances, instance.id))
        if message.error is not None and not isinstance(instance.state, Stopping):
            loading = isinstance(instance.state, Starting)
            self._fail(instance.profile, message.error, loading=loading)

    def _unload(self, message: m.Unload) -> None:
        for instance in self._of(message.profile):
            starting = isinstance(instance.state, Starting)
            if message.now or starting:
                self._stop(instance, message.reason)
            else:
                self._drain_instance(instance, message.reason)
            if starting:
                self._refuse_loads(message.profile)

    def _refuse_loads(self, profile: str) -> None:
        error = Conflict(f"Loading {profile!r} was ended by an unload.")
        self._refuse_where(lambda w: w.profile == profile and not w.lease, error)

    def _unload_others(self, message: m.UnloadOthers) -> None:
        for instance in list(self.state.instances.values()):
            if instance.profile != message.profile and not instance.pin:
                self._drain_instance(instance, message.reason)

    def _retire(self, message: m.Retire) -> None:
        if instance := self.state.instances.get(message.instance):
            self._drain_instance(instance, message.reason)

    def _configured(self, message: m.Configured) -> None:
        for instance in list(self.state.instances.values()):
            now = message.profiles.get(instance.profile)
            if now is None:
                self._drain_instance(instance, "its profile was removed")
            elif now[0] != instance.key:
                self._drain_instance(instance, "its settings changed")
            else:
                self._put(replace(instance, pin=now[1], ttl_s=now[2]))
        # A want is as old as the configuration it was made from, and a failure may be mended.
        self.state = replace(self.state, wants={}, failures={})

    def _drain(self, _: m.Drain) -> None:
        self.state = replace(self.state, draining=True)

    def _tick(self, _: m.Tick) -> None:
        self._relieve()

    # --- decisions ------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Grant, start, evict, expire: everything that the state now allows."""
        if self.state.waiting:
            self._grant_all()
        if self.state.waiting:
            self._make_resident()
        self._finish_idle()

    def _relieve(self) -> None:
        """Other programs took memory: idle instances leave until what engines hold is within the budget."""
        free = _less(self.at.budget, _total(i.holds for i in self.state.instances.values() if _stays(i)))
        if not any(size < 0 for size in free.values()):
            return
        idle = [i for i in self.state.instances.values() if _idle(i) and not self._wanted(i)]
        for victim in eviction.choose(dict.fromkeys(free, 0), free, [self._candidate(i) for i in idle]) or ():
            self._stop(self.state.instances[victim], "other programs need its memory")

    def _grant_all(self) -> None:
        rest: list[m.Waiter] = []
        granted = False
        for waiter in self.state.waiting:
            instance = live(self.state, waiter.profile)
            if instance is None or not isinstance(instance.state, Ready) or not self._give(waiter, instance):
                rest.append(waiter)
            else:
                granted = True
        if granted:
            self.state = replace(self.state, waiting=tuple(rest))

    def _give(self, waiter: m.Waiter, instance: m.Instance) -> bool:
        if waiter.lease and (not _open(instance) or instance.leases >= instance.slots):
            return False
        if waiter.lease:
            self._put(replace(instance, leases=instance.leases + 1, last_used=self.at.now))
        self.effects.append(m.Grant(waiter.ticket, instance.id))
        return True

    def _make_resident(self) -> None:
        """Bring in the profiles that are waited for, the longest waiting first."""
        blocked = False
        for waiter in _longest_waiting(self.state.waiting):
            profile = waiter.profile
            if live(self.state, profile) or profile in self.state.preparing:
                continue
            if failure := self._failing(profile):
                self._refuse_all(profile, _again(failure, self.at.now))
                continue
            want = self.state.wants.get(profile)
            if want is None:
                self.state = replace(self.state, preparing=self.state.preparing | {profile})
                self.effects.append(m.Prepare(profile))
                continue
            blocked = not self._place(waiter, want, may_evict=not blocked) or blocked
        if not blocked:
            self._reopen()

    def _place(self, waiter: m.Waiter, want: m.Want, *, may_evict: bool) -> bool:
        """Start the profile, or make room for it; False while it must wait for room."""
        pinned = _total(i.holds for i in self.state.instances.values() if i.pin and _stays(i))
        if missing := eviction.shortage(want.need, _less(self.at.budget, pinned)):
            self._refuse_all(waiter.profile, never_fits(waiter.profile, want.need, self.at.budget, pinned, missing))
            self._forget(waiter.profile)
            return True
        free = _less(self.at.budget, _total(i.holds for i in self.state.instances.values()))
        if not eviction.shortage(want.need, free):
            self._start(waiter.profile, want)
            return True
        if may_evict:
            self._make_room(waiter, want, free)
        return False

    def _make_room(self, waiter: m.Waiter, want: m.Want, free: Mapping[str, int]) -> None:
        leaving = [i for i in self.state.instances.values() if not _stays(i)]
        soon = {device: size + _total(i.holds for i in leaving).get(device, 0) for device, size in free.items()}
        idle = [i for i in self.state.instances.values() if self._evictable(i, waiter)]
        victims = eviction.choose(want.need, soon, [self._candidate(i) for i in idle])
        if victims:
            self._evict(waiter.profile, victims)
        elif victims is None and self._starving(waiter):
            self._close_for(waiter.profile, want, soon)

    def _evictable(self, instance: m.Instance, waiter: m.Waiter) -> bool:
        """Idle, and nobody waits for it unless it was closed for this waiter's profile."""
        return _idle(instance) and (not self._wanted(instance) or instance.closed_for == waiter.profile)

    def _wanted(self, instance: m.Instance) -> bool:
        return any(w.profile == instance.profile and w.lease for w in self.state.waiting)

    def _candidate(self, instance: m.Instance) -> eviction.Candidate:
        load_s = instance.state.load_s if isinstance(instance.state, Ready) else 0.0
        return eviction.Candidate(instance.id, instance.holds, self.at.now - instance.last_used, load_s)

    def _evict(self, profile: str, victims: tuple[str, ...]) -> None:
        chosen = [self.state.instances[v] for v in victims]
        self.effects.append(m.Evict(profile, tuple(i.profile for i in chosen)))
        for instance in chosen:
            self._stop(instance, f"makes room for {profile!r}")

    def _starving(self, waiter: m.Waiter) -> bool:
        bound = 0.0 if waiter.urgent else _starvation(self.state, waiter.profile, self.at.rules)
        return self.at.now - waiter.since >= bound

    def _close_for(self, profile: str, want: m.Want, soon: Mapping[str, int]) -> None:
        """Close the cheapest set of unpinned instances, busy ones too, whose room ``profile`` needs."""
        closed = [i for i in self.state.instances.values() if i.closed_for == profile]
        if closed and not eviction.shortage(want.need, _total([soon, *(i.holds for i in closed)])):
            return
        able = [i for i in self.state.instances.values() if not i.pin and isinstance(i.state, Ready) and i.served]
        for chosen in eviction.choose(want.need, soon, [self._candidate(i) for i in able]) or ():
            self._put(replace(self.state.instances[chosen], closed_for=profile))

    def _reopen(self) -> None:
        """Nobody waits for room any more: instances that were kept closed take leases again."""
        closed = [i for i in self.state.instances.values() if i.closed_for is not None and isinstance(i.state, Ready)]
        for instance in closed:
            self._put(replace(instance, closed_for=None))
        if closed:
            self._grant_all()

    def _start(self, profile: str, want: m.Want) -> None:
        number = self.state.next_instance
        instance = m.Instance(
            id=f"{profile}-{number}",
            profile=profile,
            key=want.key,
            state=Starting(self.at.now),
            holds=want.need,
            slots=want.slots,
            pin=want.pin,
            ttl_s=want.ttl_s,
            last_used=self.at.now,
        )
        self.state = replace(self.state, next_instance=number + 1)
        self._put(instance)
        self._forget(profile)
        self.effects.append(m.Start(instance.id, profile))

    def _forget(self, profile: str) -> None:
        """The next load is prepared anew: files may have changed."""
        self.state = replace(self.state, wants=_without(self.state.wants, profile))

    def _finish_idle(self) -> None:
        for instance in list(self.state.instances.values()):
            if instance.leases:
                continue
            if isinstance(instance.state, Draining):
                self._stop(instance, instance.state.reason)
            elif (expiry := _expiry(instance)) is not None and self.at.now >= expiry:
                self._stop(instance, "idle for its TTL")

    # --- small moves ----------------------------------------------------------------------------------

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
        self.state = replace(self.state, failures={**self.state.failures, profile: failure})
        self.effects.append(m.Fail(profile, error))
        if loading:
            self._refuse_all(profile, error)

    def _refuse_all(self, profile: str, error: HostlerError) -> None:
        self._refuse_where(lambda w: w.profile == profile, error)

    def _refuse_where(self, chosen: Callable[[m.Waiter], bool], error: HostlerError) -> None:
        refused = [w for w in self.state.waiting if chosen(w)]
        self.effects.extend(m.Refuse(w.ticket, error) for w in refused)
        self.state = replace(self.state, waiting=tuple(w for w in self.state.waiting if not chosen(w)))


def never_fits(
    profile: str,
    need: Mapping[str, int],
    budget: Mapping[str, int],
    pinned: Mapping[str, int],
    missing: Mapping[str, int],
) -> CapacityError:
    """The refusal with the numbers of the device that is shortest."""
    device = max(missing, key=lambda d: missing[d])
    text = (
        f"Profile {profile!r} needs {format_bytes(need[device])} on {device}, "
        f"where engines may hold {format_bytes(budget.get(device, 0))}"
    )
    if held := pinned.get(device, 0):
        text += f" and pinned profiles hold {format_bytes(held)} of it"
    return NeverFits(f"{text}.")


def _again(failure: Failure, now: float) -> HostlerError:
    """The failure's error, told again to somebody who asks during the pause."""
    error = type(failure.error)(failure.error.message, hint=failure.error.hint)
    error.retry_after_s = None if failure.until is None else max(1.0, failure.until - now)
    return error


def _open(instance: m.Instance) -> bool:
    """Takes new leases: ready, and not closed for a starving profile unless it has yet to answer anything."""
    return isinstance(instance.state, Ready) and (instance.closed_for is None or not instance.served)


def _idle(instance: m.Instance) -> bool:
    """Nobody uses it and it may leave."""
    return not instance.pin and not instance.leases and isinstance(instance.state, Ready)


def _stays(instance: m.Instance) -> bool:
    return isinstance(instance.state, (Starting, Ready))


def _longest_waiting(waiting: Iterable[m.Waiter]) -> list[m.Waiter]:
    """The first waiter of each profile, urgent ones before all others."""
    first: dict[str, m.Waiter] = {}
    for waiter in waiting:
        known = first.get(waiter.profile)
        if known is None or (waiter.urgent and not known.urgent):
            first[waiter.profile] = waiter
    return sorted(first.values(), key=lambda w: (not w.urgent, w.since))


_HANDLERS: dict[type, Callable[..., None]] = {
    m.Ask: _Turn._ask,
    m.Leave: _Turn._leave,
    m.Release: _Turn._release,
    m.Prepared: _Turn._prepared,
    m.PrepareFailed: _Turn._prepare_failed,
    m.Loaded: _Turn._loaded,
    m.Measured: _Turn._measured,
    m.Gone: _Turn._gone,
    m.Unload: _Turn._unload,
    m.UnloadOthers: _Turn._unload_others,
    m.Retire: _Turn._retire,
    m.Configured: _Turn._configured,
    m.Drain: _Turn._drain,
    m.Tick: _Turn._tick,
}
