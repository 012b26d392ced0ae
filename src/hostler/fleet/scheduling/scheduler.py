"""Who gets which instance, and when: pure.

:func:`step` takes the state, one message and the situation, and returns the new state with what is to be done.
It reads no clock, does no I/O and does not log, so every rule below is a property with a test:

1. A busy instance is never stopped to make room.
2. A load in flight is joined, never duplicated: one live instance per profile.
3. Requests for a resident profile go first, until another has waited for its starvation bound (the larger of
   ``starvation_s`` and three measured loads), or its waiters together longer than the swap is worth; then the instances
   whose room it needs take no new leases.
4. A waiter who left never causes a load, and nothing is evicted before the load has been prepared (header read,
   flags checked, build found).
5. An instance that was just loaded answers at least ``residency`` requests, while any wait, before it makes room.
6. Nothing above the budget is ever started; what can never fit is refused with the numbers.
7. Failures pause a profile (:func:`hostler.engines.state.after_failure`); a load that fails refuses its waiters. One
   that ran out of memory and is tried again in another way (:mod:`hostler.fleet.recovery.ladder`) has not failed.
8. Requests of one profile go in turns of their keys, ``batch`` ones after all others until the starvation bound.
9. What is pinned or held neither makes room nor leaves when idle; what was loaded for a hold leaves with the last one.
10. Profiles of an exclusive group are never loaded at once: one begins to load when the other has begun to stop, and
    is gone where its room is needed. Mates leave together or not at all.
11. Loads begin at the same time where all fit, as many as ``loads`` allows and as their disk can feed.
12. Who was evicted comes back beside the others when a plan for what room is left lets all stay, with the context that
    it had, and it is likely to be asked for; nobody leaves for that.
13. Nothing is granted on an instance that lost a request until it was seen alive: who lost it waits for its end.
14. Who was planned small beside others is loaded again with the room that has been back for a while, when it is idle
    and nobody waits or loads: once for each load that was asked for, and after a longer while each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from hostler.engines.state import Ready, Starting, Stopping
from hostler.errors import Conflict, HostlerError, NeverFits, QueueFull
from hostler.errors import Draining as GatewayDraining
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.decisions import Decisions
from hostler.fleet.scheduling.forecast import for_newcomer
from hostler.fleet.scheduling.line import joining, starvation
from hostler.fleet.scheduling.rules import Rules
from hostler.fleet.scheduling.swift import lasted
from hostler.fleet.scheduling.turn import again, expiry, is_open, live, spared, without

__all__ = ["live", "next_wake", "step"]


def step(state: m.State, message: m.Message, at: m.Situation) -> tuple[m.State, list[m.Effect]]:
    """The state after ``message``, and the effects in the order in which they are to be carried out."""
    turn = _Turn(state, at)
    turn.take(message)
    turn.advance()
    return turn.state, turn.effects


def next_wake(state: m.State, rules: Rules, after: float) -> float | None:
    """When a Tick is needed next if nothing else happens; None when never.

    ``after`` is the time of the last step: what was due by then has been seen to, and if it is still due it
    waits for something else than time.
    """
    times = [expiry(i) for i in state.instances.values()]
    times += [hold.until for hold in state.holds.values()]
    blocked = {w.profile for w in state.waiting}
    times += [f.until for profile, f in state.failures.items() if profile in blocked]
    times += [w.since + starvation(state, w.profile, rules) for w in state.waiting]
    return min((t for t in times if t is not None and t > after), default=None)


#: How much longer a hold lasts each time that it would be over and its profile is still being loaded.
_LOADING_S: Final = 1.0


class _Turn(Decisions):
    """Takes messages; decisions follow."""

    def take(self, message: m.Message) -> None:
        """Apply what happened; decisions follow in :meth:`advance`."""
        _HANDLERS[type(message)](self, message)

    def _ask(self, message: m.Ask) -> None:
        waiter = message.waiter
        if message.forgive:
            self.state = replace(self.state, failures=without(self.state.failures, waiter.profile))
        if refusal := self._refusal(waiter):
            self.effects.append(m.Refuse(waiter.ticket, refusal))
            return
        if not self._grantable(waiter):
            waiter, self.state = joining(self.state, waiter)
        self.state = replace(self.state, waiting=(*self.state.waiting, waiter))

    def _refusal(self, waiter: m.Waiter) -> HostlerError | None:
        if self.state.draining:
            return GatewayDraining("The gateway is stopping.")
        if failure := self._failing(waiter.profile):
            return again(failure, self.at.now)
        if waiter.lease and len(self.state.waiting) >= self.at.rules.queue and not self._grantable(waiter):
            return self._full(waiter)
        return None

    def _full(self, waiter: m.Waiter) -> QueueFull:
        """The refusal of one too many: its place if it could wait, and when it would about have its turn."""
        stands = for_newcomer(self.state, waiter, self.at)
        patience = 5.0 if stands.wait_s is None else stands.wait_s
        error = QueueFull(f"{len(self.state.waiting)} requests already wait.", retry_after_s=max(1.0, patience))
        error.place = stands.place
        return error

    def _grantable(self, waiter: m.Waiter) -> bool:
        instance = live(self.state, waiter.profile)
        open_ = instance is not None and is_open(instance, self.at.rules.residency)
        return open_ and instance is not None and instance.leases < instance.slots

    def _leave(self, message: m.Leave) -> None:
        self.state = replace(self.state, waiting=tuple(w for w in self.state.waiting if w.ticket != message.ticket))
        for profile in self.state.wants.keys() - {w.profile for w in self.state.waiting}:
            self._forget(profile)

    def _release(self, message: m.Release) -> None:
        instance = self.state.instances.get(message.instance)
        if instance is None:
            return
        served = instance.served + 1
        redo_s = instance.redo_s if message.redo_s is None else message.redo_s
        self._put(replace(instance, leases=instance.leases - 1, served=served, last_used=self.at.now, redo_s=redo_s))
        if message.held_s is not None:
            self.state = replace(self.state, lease_s=lasted(self.state, instance.profile, message.held_s))
        if message.healthy and instance.profile in self.state.failures:
            self.state = replace(self.state, failures=without(self.state.failures, instance.profile))

    def _doubted(self, message: m.Doubted | m.Trusted) -> None:
        if instance := self.state.instances.get(message.instance):
            self._put(replace(instance, doubted=isinstance(message, m.Doubted)))

    def _prepared(self, message: m.Prepared) -> None:
        self.state = replace(self.state, preparing=self.state.preparing - {message.profile})
        asked = [w for w in self.state.waiting if w.profile == message.profile]
        if message.profile == self.state.growing and any(w.back is None for w in asked):
            self.state = replace(self.state, growing="")  # a load like others, or none
        if asked and live(self.state, message.profile) is None:
            want = replace(message.want, made=self.at.now)
            if want.load_s is not None:
                self.state = replace(self.state, load_s={message.profile: want.load_s, **self.state.load_s})
            self.state = replace(self.state, wants={**self.state.wants, message.profile: want})
        elif message.profile == self.state.growing:
            self._grow(message.want)

    def _prepare_failed(self, message: m.PrepareFailed) -> None:
        self.state = replace(self.state, preparing=self.state.preparing - {message.profile})
        if message.profile == self.state.growing:
            self._stays_small(message.profile)
        if live(self.state, message.profile) is not None:
            return  # what runs has not failed
        if isinstance(message.error, NeverFits):  # no failure: the next request may find more room
            self._refuse_all(message.profile, message.error)
        else:
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
        heat = {**self.state.heat, instance.profile: m.Heat(instance.heat, instance.last_used)}
        self.state = replace(self.state, instances=without(self.state.instances, instance.id), heat=heat)
        loading = isinstance(instance.state, Starting)
        if message.error is None or isinstance(instance.state, Stopping) or (loading and message.again):
            return
        self._fail(instance.profile, message.error, loading=loading)

    def _hold(self, message: m.Hold) -> None:
        known = self.state.holds.get(message.id)
        loaded = live(self.state, message.profile) is None if known is None else known.loaded
        until = message.until if known is None else max(message.until, known.until)
        hold = m.Held(profile=message.profile, until=until, loaded=loaded)
        self.state = replace(self.state, holds={**self.state.holds, message.id: hold})
        self._keep(message.profile)

    def _unhold(self, message: m.Unhold) -> None:
        """What was loaded for a hold leaves with the last one of its profile, unless somebody waits for it."""
        over = self.state.holds.get(message.id)
        if over is None:
            return
        holds = without(self.state.holds, message.id)
        heirs = [name for name, hold in holds.items() if hold.profile == over.profile]
        if over.loaded and heirs:
            holds[heirs[0]] = replace(holds[heirs[0]], loaded=True)
        self.state = replace(self.state, holds=holds)
        if over.loaded and not heirs and all(w.profile != over.profile for w in self.state.waiting):
            for instance in self._of(over.profile):
                if not instance.pin:
                    self._drain_instance(instance, "what it was loaded for is over")

    def _unload(self, message: m.Unload) -> None:
        holds = {name: hold for name, hold in self.state.holds.items() if hold.profile != message.profile}
        self.state = replace(self.state, holds=holds)
        self.state = replace(self.state, ousted=without(self.state.ousted, message.profile))
        if self.state.pins.get(message.profile):
            self.state = replace(self.state, pins=without(self.state.pins, message.profile))
        self._refuse_where(lambda w: w.profile == message.profile and w.back is not None, _undone(message.profile))
        for instance in self._of(message.profile):
            starting = isinstance(instance.state, Starting)
            if message.now or starting:
                self._stop(instance, message.reason)
            else:
                self._drain_instance(instance, message.reason)
            if starting:
                self._refuse_loads(message.profile)

    def _refuse_loads(self, profile: str) -> None:
        self._refuse_where(lambda w: w.profile == profile and not w.lease, _undone(profile))

    def _unload_others(self, message: m.UnloadOthers) -> None:
        self.state = replace(self.state, ousted={})
        self._refuse_where(lambda w: w.profile != message.profile and w.back is not None, _undone(message.profile))
        for instance in list(self.state.instances.values()):
            if instance.profile != message.profile and not spared(self.state, instance):
                self._drain_instance(instance, message.reason)

    def _pin(self, message: m.Pin) -> None:
        self.state = replace(self.state, pins={**self.state.pins, message.profile: message.pin})
        for instance in self._of(message.profile):
            self._put(replace(instance, pin=message.pin))
        self._keep(message.profile)

    def _stay(self, message: m.Stay) -> None:
        for instance in self._of(message.profile):
            self._put(replace(instance, stay_s=message.seconds))

    def _retire(self, message: m.Retire) -> None:
        if instance := self.state.instances.get(message.instance):
            self._drain_instance(instance, message.reason)

    def _configured(self, message: m.Configured) -> None:
        known = message.profiles
        pins = {name: pin for name, pin in self.state.pins.items() if name in known and known[name][1] != pin}
        for instance in list(self.state.instances.values()):
            now = message.profiles.get(instance.profile)
            if now is None:
                self._drain_instance(instance, "its profile was removed")
            elif now[0] != instance.key:
                self._drain_instance(instance, "its settings changed")
            else:
                self._put(replace(instance, pin=pins.get(instance.profile, now[1]), ttl_s=now[2]))
        # A want is as old as the configuration it was made from, and a failure may be mended.
        heat = {name: known for name, known in self.state.heat.items() if name in message.profiles}
        holds = {name: hold for name, hold in self.state.holds.items() if hold.profile in message.profiles}
        anew = replace(self.state, wants={}, failures={}, heat=heat, holds=holds, pins=pins, ousted={})
        self.state = replace(anew, grown={}, growing="")

    def _drain(self, _: m.Drain) -> None:
        self.state = replace(self.state, draining=True)
        self._refuse_where(lambda w: True, GatewayDraining("The gateway is stopping."))

    def _tick(self, _: m.Tick) -> None:
        loads = {w.profile for w in self.state.waiting if not w.lease}
        for name, hold in [(name, hold) for name, hold in self.state.holds.items() if self.at.now >= hold.until]:
            if hold.profile in loads:  # none is over before its load is
                longer = replace(hold, until=self.at.now + _LOADING_S)
                self.state = replace(self.state, holds={**self.state.holds, name: longer})
            else:
                self._unhold(m.Unhold(name))
        self._relieve()
        self._look_for_growth()
        self._bring_back()


def _undone(profile: str) -> Conflict:
    return Conflict(f"Loading {profile!r} was ended by an unload.")


_HANDLERS: dict[type, Callable[..., None]] = {
    m.Ask: _Turn._ask,
    m.Leave: _Turn._leave,
    m.Release: _Turn._release,
    m.Doubted: _Turn._doubted,
    m.Trusted: _Turn._doubted,
    m.Prepared: _Turn._prepared,
    m.PrepareFailed: _Turn._prepare_failed,
    m.Loaded: _Turn._loaded,
    m.Measured: _Turn._measured,
    m.Gone: _Turn._gone,
    m.Unload: _Turn._unload,
    m.UnloadOthers: _Turn._unload_others,
    m.Hold: _Turn._hold,
    m.Unhold: _Turn._unhold,
    m.Pin: _Turn._pin,
    m.Stay: _Turn._stay,
    m.Retire: _Turn._retire,
    m.Configured: _Turn._configured,
    m.Drain: _Turn._drain,
    m.Tick: _Turn._tick,
}
