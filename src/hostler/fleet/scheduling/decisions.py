"""What the state allows and demands: grant, start, evict, close, expire. Pure; the rules are the scheduler's."""

from __future__ import annotations

from collections.abc import Container, Mapping

from msgspec.structs import replace

from hostler.engines.state import Draining, Ready, Starting
from hostler.fleet.scheduling import eviction
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.growth import REASON, Growth
from hostler.fleet.scheduling.line import in_order, most_pressing
from hostler.fleet.scheduling.room import never_fits, no_room_beside
from hostler.fleet.scheduling.turn import again, ahead_of, expiry, held, is_open, less, live, total


class Decisions(Growth):
    """Decides who is given what; :class:`Room` decides who leaves for it, :class:`Growth` who is loaded anew."""

    def advance(self) -> None:
        """Grant, start, evict, expire: everything that the state now allows."""
        if self.state.waiting:
            self._grant_all()
        if self.state.waiting:
            self._make_resident()
        self._finish_idle()

    def _grant_all(self) -> None:
        granted: set[int] = set()
        for waiter in in_order(self.state, self.at.rules, self.at.now):
            instance = live(self.state, waiter.profile)
            if instance is not None and isinstance(instance.state, Ready) and self._give(waiter, instance):
                granted.add(waiter.ticket)
        if granted:
            self.state = replace(self.state, waiting=tuple(w for w in self.state.waiting if w.ticket not in granted))

    def _give(self, waiter: m.Waiter, instance: m.Instance) -> bool:
        if waiter.lease and (not is_open(instance, self.at.rules.residency) or instance.leases >= instance.slots):
            return False
        if instance.doubted:
            return False
        if waiter.lease:
            heat = eviction.warmer(instance.heat, self.at.now - instance.last_used)
            self._put(replace(instance, leases=instance.leases + 1, last_used=self.at.now, heat=heat))
        self.effects.append(m.Grant(waiter.ticket, instance.id))
        return True

    def _make_resident(self) -> None:
        """Bring in the profiles that are waited for: those for which room is being made, then the most pressing.

        Room that is being made for one is not for another, least of all for who is leaving it.
        """
        blocked: list[str] = []
        promised: dict[str, int] = {}
        for waiter in self._in_order():
            profile = waiter.profile
            if live(self.state, profile):
                continue
            if profile in self.state.preparing:
                if self._makes_room(profile):  # what it needs now is not known yet: for a moment nobody else gets room
                    blocked.append(profile)
                    break
                continue
            if any(self.at.rules.apart(profile, other) for other in blocked):
                continue  # it would be in the way of the one that is more pressing
            if failure := self._failing(profile):
                self._refuse_all(profile, again(failure, self.at.now))
                continue
            want = self.state.wants.get(profile)
            if want is None:
                self._prepare(profile)
                continue
            if not self._place(waiter, want, promised, may_evict=not blocked):
                blocked.append(profile)
                promised = total([promised, want.need]) if self._makes_room(profile) else promised
        self._reopen({w.profile for w in self.state.waiting if not live(self.state, w.profile)} if blocked else ())

    def _in_order(self) -> list[m.Waiter]:
        """One waiter of each profile: urgent ones, those for which room is being made, then the most pressing."""
        pressing = most_pressing(self.state, self.at.rules, self.at.now)
        return sorted(pressing, key=lambda w: not w.urgent and not self._makes_room(w.profile))

    def _prepare(self, profile: str) -> None:
        self.state = replace(self.state, preparing=self.state.preparing | {profile})
        self.effects.append(m.Prepare(profile))

    def _place(self, waiter: m.Waiter, want: m.Want, promised: Mapping[str, int], *, may_evict: bool) -> bool:
        """Start the profile, or make room for it; False while it must wait for room."""
        pinned = total(i.holds for i in self._kept())
        if missing := eviction.shortage(want.need, less(self.at.budget, pinned)):
            if want.made < self.at.now:  # there may be room elsewhere by now
                self._forget(waiter.profile)
                self._prepare(waiter.profile)
                return False
            self._refuse_all(waiter.profile, never_fits(waiter.profile, want.need, self.at.budget, pinned, missing))
            self._forget(waiter.profile)
            return True
        if waiter.back is not None and not self._fits_beside(waiter.profile, waiter.back, want):
            self._refuse_where(lambda w: w.ticket == waiter.ticket, no_room_beside(waiter.profile))
            return True
        if ahead_of(self.state, want, self.at.rules):
            return False
        if not self._apart(waiter, may_evict=may_evict):
            return False
        if want.clears and not self._cleared(waiter, want.clears, may_evict=may_evict):
            return False
        free = less(self.at.budget, total(i.holds for i in self.state.instances.values()))
        if not eviction.shortage(want.need, self._unpromised(free, promised)):
            self._start(waiter.profile, want)
            return True
        if may_evict:
            self._make_room(waiter, want, free)
        return False

    def _fits_beside(self, profile: str, context: int, want: m.Want) -> bool:
        """Whether it can be loaded while all others who are there stay, with that context."""
        free = less(self.at.budget, total(i.holds for i in self.state.instances.values() if i.profile != profile))
        rivals = any(self.at.rules.apart(profile, i.profile) for i in self.state.instances.values())
        fits = not want.clears and not eviction.shortage(want.need, free)
        return fits and not rivals and want.context >= context

    def _reopen(self, without_room: Container[str]) -> None:
        """Instances that were kept closed for a profile that no longer waits for room take leases again."""
        kept = [i for i in self.state.instances.values() if i.closed_for is not None and isinstance(i.state, Ready)]
        closed = [i for i in kept if i.closed_for not in without_room]
        for instance in closed:
            self._put(replace(instance, closed_for=None))
        if closed:
            self._grant_all()

    def _start(self, profile: str, want: m.Want) -> None:
        number, grows = self.state.next_instance, self.state.growing == profile
        back = not grows and all(w.back is not None for w in self.state.waiting if w.profile == profile)
        instance = m.Instance(
            id=f"{profile}-{number}",
            profile=profile,
            key=want.key,
            state=Starting(self.at.now),
            holds=want.need,
            slots=want.slots,
            pin=self.state.pins.get(profile, want.pin),
            ttl_s=want.ttl_s,
            last_used=self.at.now,
            heat=self._heat(profile) + (0.0 if grows else 1.0),  # nobody has come back to it
            reload_s=want.reload_s,
            reads=want.reads,
            context=want.context,
            back=back,
            full=None if grows else want.full,
        )
        growing = "" if grows else self.state.growing
        self.state = replace(self.state, next_instance=number + 1, growing=growing)
        self._put(instance)
        # The next load is prepared anew, because files may have changed; so is every other, which now has less room.
        self.state = replace(self.state, wants={})
        reason = REASON if grows else "comes back beside others" if back else ""
        self.effects.append(m.Start(instance.id, profile, reason))
        self._bring_mates(profile)

    def _heat(self, profile: str) -> float:
        """What is left of how often it was come back to."""
        known = self.state.heat.get(profile)
        return 0.0 if known is None else eviction.cooled(known.value, self.at.now - known.at)

    def _bring_mates(self, profile: str) -> None:
        """The others of its group are loaded too; one that fails is not."""
        waited = {w.profile for w in self.state.waiting}
        for mate in self.at.rules.terms:
            if not self.at.rules.mates(profile, mate) or mate in waited or self._failing(mate):
                continue
            if live(self.state, mate) is None:
                self.effects.append(m.Bring(mate))

    def _finish_idle(self) -> None:
        for instance in list(self.state.instances.values()):
            if instance.leases:
                continue
            if isinstance(instance.state, Draining):
                self._stop(instance, instance.state.reason)
            elif held(self.state, instance.profile):
                continue
            elif (end := expiry(instance)) is not None and self.at.now >= end:
                self._stop(instance, "idle for its TTL")
