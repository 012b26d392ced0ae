"""What the state allows and demands: grant, start, evict, close, expire. Pure; the rules are the scheduler's."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from msgspec.structs import replace

from hostler.config.quantities import format_bytes
from hostler.engines.state import Draining, Ready, Starting, Stopping
from hostler.errors import CapacityError, NeverFits
from hostler.fleet.scheduling import eviction
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.turn import (
    Moves,
    again,
    expiry,
    idle,
    is_open,
    less,
    live,
    starvation,
    stays,
    total,
    without,
)


class Decisions(Moves):
    """Decides on what :class:`Moves` holds."""

    def advance(self) -> None:
        """Grant, start, evict, expire: everything that the state now allows."""
        if self.state.waiting:
            self._grant_all()
        if self.state.waiting:
            self._make_resident()
        self._finish_idle()

    def _relieve(self) -> None:
        """Other programs took memory: idle instances leave until what engines hold is within the budget.

        A little over it is what margins are for: a prediction may be a little low, and who was placed to fill a device
        must not have to leave for that.
        """
        free = less(self.at.budget, total(i.holds for i in self.state.instances.values() if stays(i)))
        if not any(size < -self.at.slack.get(device, 0) for device, size in free.items()):
            return
        spare = [i for i in self.state.instances.values() if idle(i) and not self._wanted(i)]
        for victim in eviction.choose(dict.fromkeys(free, 0), free, [self._candidate(i) for i in spare]) or ():
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
        if waiter.lease and (not is_open(instance) or instance.leases >= instance.slots):
            return False
        if waiter.lease:
            self._put(replace(instance, leases=instance.leases + 1, last_used=self.at.now))
        self.effects.append(m.Grant(waiter.ticket, instance.id))
        return True

    def _make_resident(self) -> None:
        """Bring in the profiles that are waited for, the longest waiting first."""
        blocked = False
        for waiter in longest_waiting(self.state.waiting):
            profile = waiter.profile
            if live(self.state, profile) or profile in self.state.preparing:
                continue
            if failure := self._failing(profile):
                self._refuse_all(profile, again(failure, self.at.now))
                continue
            want = self.state.wants.get(profile)
            if want is None:
                self._prepare(profile)
                continue
            blocked = not self._place(waiter, want, may_evict=not blocked) or blocked
        self._reopen({w.profile for w in self.state.waiting if not live(self.state, w.profile)} if blocked else ())

    def _prepare(self, profile: str) -> None:
        self.state = replace(self.state, preparing=self.state.preparing | {profile})
        self.effects.append(m.Prepare(profile))

    def _place(self, waiter: m.Waiter, want: m.Want, *, may_evict: bool) -> bool:
        """Start the profile, or make room for it; False while it must wait for room."""
        pinned = total(i.holds for i in self.state.instances.values() if i.pin and stays(i))
        if missing := eviction.shortage(want.need, less(self.at.budget, pinned)):
            if want.made < self.at.now:  # there may be room elsewhere by now
                self._forget(waiter.profile)
                self._prepare(waiter.profile)
                return False
            self._refuse_all(waiter.profile, never_fits(waiter.profile, want.need, self.at.budget, pinned, missing))
            self._forget(waiter.profile)
            return True
        if want.clears and not self._cleared(waiter, want.clears, may_evict=may_evict):
            return False
        free = less(self.at.budget, total(i.holds for i in self.state.instances.values()))
        if not eviction.shortage(want.need, free):
            self._start(waiter.profile, want)
            return True
        if may_evict:
            self._make_room(waiter, want, free)
        return False

    def _cleared(self, waiter: m.Waiter, devices: Iterable[str], *, may_evict: bool) -> bool:
        """Whether nobody who is about to leave is left on ``devices``; idle residents are told to."""
        there = [i for i in self.state.instances.values() if any(i.holds.get(device) for device in devices)]
        idle = [i.id for i in there if self._evictable(i, waiter)]
        if idle and may_evict:
            self._evict(waiter.profile, tuple(idle))
        return not idle and not any(isinstance(i.state, Stopping) for i in there)

    def _make_room(self, waiter: m.Waiter, want: m.Want, free: Mapping[str, int]) -> None:
        leaving = [i for i in self.state.instances.values() if not stays(i)]
        soon = {device: size + total(i.holds for i in leaving).get(device, 0) for device, size in free.items()}
        idle = [i for i in self.state.instances.values() if self._evictable(i, waiter)]
        victims = eviction.choose(want.need, soon, [self._candidate(i) for i in idle])
        if victims:
            self._evict(waiter.profile, victims)
        elif victims is None and self._starving(waiter):
            self._close_for(waiter.profile, want, soon)

    def _evictable(self, instance: m.Instance, waiter: m.Waiter) -> bool:
        """Idle, and nobody waits for it unless it was closed for this waiter's profile; or a forsaken load."""
        if isinstance(instance.state, Starting):
            return not instance.pin and all(w.profile != instance.profile for w in self.state.waiting)
        return idle(instance) and (not self._wanted(instance) or instance.closed_for == waiter.profile)

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
        bound = 0.0 if waiter.urgent else starvation(self.state, waiter.profile, self.at.rules)
        return self.at.now - waiter.since >= bound

    def _close_for(self, profile: str, want: m.Want, soon: Mapping[str, int]) -> None:
        """Close the cheapest set of unpinned instances, busy ones too, whose room ``profile`` needs."""
        closed = [i for i in self.state.instances.values() if i.closed_for == profile]
        if closed and not eviction.shortage(want.need, total([soon, *(i.holds for i in closed)])):
            return
        able = [i for i in self.state.instances.values() if not i.pin and isinstance(i.state, Ready) and i.served]
        for chosen in eviction.choose(want.need, soon, [self._candidate(i) for i in able]) or ():
            self._put(replace(self.state.instances[chosen], closed_for=profile))

    def _reopen(self, without_room: Container[str]) -> None:
        """Instances that were kept closed for a profile that no longer waits for room take leases again."""
        kept = [i for i in self.state.instances.values() if i.closed_for is not None and isinstance(i.state, Ready)]
        closed = [i for i in kept if i.closed_for not in without_room]
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
        # The next load is prepared anew, because files may have changed; so is every other, which now has less room.
        self.state = replace(self.state, wants={})
        self.effects.append(m.Start(instance.id, profile))

    def _forget(self, profile: str) -> None:
        """The next load is prepared anew: files may have changed."""
        self.state = replace(self.state, wants=without(self.state.wants, profile))

    def _finish_idle(self) -> None:
        for instance in list(self.state.instances.values()):
            if instance.leases:
                continue
            if isinstance(instance.state, Draining):
                self._stop(instance, instance.state.reason)
            elif (end := expiry(instance)) is not None and self.at.now >= end:
                self._stop(instance, "idle for its TTL")


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


def longest_waiting(waiting: Iterable[m.Waiter]) -> list[m.Waiter]:
    """The first waiter of each profile, urgent ones before all others."""
    first: dict[str, m.Waiter] = {}
    for waiter in waiting:
        known = first.get(waiter.profile)
        if known is None or (waiter.urgent and not known.urgent):
            first[waiter.profile] = waiter
    return sorted(first.values(), key=lambda w: (not w.urgent, w.since))
