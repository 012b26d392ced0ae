"""Making room for a profile: who leaves, who is kept apart, who is waited for. Pure; the rules are the scheduler's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from hostler.config.quantities import format_bytes
from hostler.engines.state import Ready, Starting, Stopping
from hostler.errors import CapacityError, NeverFits
from hostler.fleet.scheduling import eviction
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.line import starving
from hostler.fleet.scheduling.rules import Rules
from hostler.fleet.scheduling.turn import Moves, held, idle, less, stays, total

SWAP_S = 1.0  # no swap is cheaper: draining, starting, the first token
CALM_S = 4.0  # after a load, until anybody comes back beside it
LIKELY = 0.4  # to be asked for again: loaded once within a quarter of an hour, or come back to since
PATIENCE = 3.0  # waited seconds that outweigh one second of a swap


class Room(Moves):
    """Decides who leaves on what :class:`Moves` holds."""

    def _relieve(self) -> None:
        """Other programs took memory: idle instances leave until what engines hold is within the budget.

        A little over it is what margins are for: a prediction may be a little low, and who was placed to fill a device
        must not have to leave for that.
        """
        free = less(self.at.budget, total(i.holds for i in self.state.instances.values() if stays(i)))
        if not any(size < -self.at.slack.get(device, 0) for device, size in free.items()):
            return
        spare = [i for i in self.state.instances.values() if self._idle(i) and not self._wanted(i)]
        for victim in eviction.choose(dict.fromkeys(free, 0), free, self._candidates(spare)) or ():
            self._stop(self.state.instances[victim], "other programs need its memory")

    def _kept(self) -> list[m.Instance]:
        """Instances that never leave by themselves: pinned, or a mate of a pinned one."""
        there = [i for i in self.state.instances.values() if stays(i)]
        pinned = [i for i in there if i.pin]
        return [i for i in there if i.pin or any(self._mates(i, p) for p in pinned)]

    def _mates(self, one: m.Instance, other: m.Instance) -> bool:
        return self.at.rules.mates(one.profile, other.profile)

    def _apart(self, waiter: m.Waiter, *, may_evict: bool) -> bool:
        """Whether nobody is left whom the waiter's profile excludes; the idle are told to leave, the busy waited for.

        One that stops serves nobody any more: its room alone is waited for. A waiter that a pinned instance excludes is
        refused.
        """
        rivals = self._rivals(waiter.profile)
        if pinned := next((i for i in rivals if i.pin and stays(i)), None):
            self._refuse_all(waiter.profile, excluded(waiter.profile, pinned.profile, self.at.rules))
            self._forget(waiter.profile)
            return False
        leaving = tuple(i.id for i in rivals if self._evictable(i, waiter))
        if leaving and may_evict:
            self._evict(waiter.profile, leaving)
        elif (
            rivals
            and may_evict
            and (starving(self.state, waiter, self.at.rules, self.at.now) or self._pays(rivals, waiter.profile))
        ):
            self._close(waiter.profile, (i.id for i in rivals if self._closable(i)))
        return not self._rivals(waiter.profile)

    def _rivals(self, profile: str) -> list[m.Instance]:
        there = (i for i in self.state.instances.values() if not isinstance(i.state, Stopping))
        return [i for i in there if self.at.rules.apart(profile, i.profile)]

    def _cleared(self, waiter: m.Waiter, devices: Iterable[str], *, may_evict: bool) -> bool:
        """Whether nobody who is about to leave is left on ``devices``; idle residents are told to."""
        there = [i for i in self.state.instances.values() if any(i.holds.get(device) for device in devices)]
        idle = [i.id for i in there if self._evictable(i, waiter)]
        if idle and may_evict:
            self._evict(waiter.profile, tuple(idle))
        return not idle and not any(isinstance(i.state, Stopping) for i in there)

    def _makes_room(self, profile: str) -> bool:
        """Whether somebody leaves, or takes no new leases, for this profile."""
        return any(i.closed_for == profile for i in self.state.instances.values())

    def _unpromised(self, free: Mapping[str, int], promised: Mapping[str, int]) -> Mapping[str, int]:
        """What of the free room may be taken: what is promised to others has to be there when all have left."""
        if not promised:
            return free
        leaving = [i for i in self.state.instances.values() if i.closed_for is not None or not stays(i)]
        spare = less(total([free, *(i.holds for i in leaving)]), promised)
        return {device: max(0, min(size, spare.get(device, 0))) for device, size in free.items()}

    def _make_room(self, waiter: m.Waiter, want: m.Want, free: Mapping[str, int]) -> None:
        leaving = [i for i in self.state.instances.values() if not stays(i)]
        soon = {device: size + total(i.holds for i in leaving).get(device, 0) for device, size in free.items()}
        victims = self._chosen(waiter, want, soon, [i for i in self._all() if self._evictable(i, waiter)])
        if victims:
            self._evict(waiter.profile, victims)
        elif victims is None and waiter.mate:
            self._refuse_where(lambda w: w.ticket == waiter.ticket, no_room_beside(waiter.profile))
        elif victims is None:
            self._close_for(waiter, want, soon)

    def _chosen(
        self, waiter: m.Waiter, want: m.Want, soon: Mapping[str, int], able: list[m.Instance]
    ) -> tuple[str, ...] | None:
        """The cheapest of those who are able to leave; mates of the waiter's profile only where nothing else helps."""
        strangers = [i for i in able if not self.at.rules.mates(i.profile, waiter.profile)]
        chosen = eviction.choose(want.need, soon, self._candidates(strangers))
        if chosen is not None or waiter.mate or len(strangers) == len(able):
            return chosen
        return eviction.choose(want.need, soon, self._candidates(able))

    def _all(self) -> list[m.Instance]:
        return list(self.state.instances.values())

    def _evictable(self, instance: m.Instance, waiter: m.Waiter) -> bool:
        """Idle, and nobody waits for it unless it was closed for this waiter's profile; or a forsaken load."""
        if isinstance(instance.state, Starting):
            kept = instance.pin or held(self.state, instance.profile)
            return not kept and all(w.profile != instance.profile for w in self.state.waiting)
        return self._idle(instance) and (not self._wanted(instance) or instance.closed_for == waiter.profile)

    def _idle(self, instance: m.Instance) -> bool:
        """Nobody uses or holds it."""
        return idle(instance) and not held(self.state, instance.profile)

    def _wanted(self, instance: m.Instance) -> bool:
        return any(w.profile == instance.profile and w.lease for w in self.state.waiting)

    def _candidates(self, able: Iterable[m.Instance]) -> list[eviction.Candidate]:
        """Those who may leave. Mates leave together or not at all."""
        sets: dict[str, list[m.Instance]] = {}
        for instance in able:
            terms = self.at.rules.of(instance.profile)
            sets.setdefault(f"group {terms.group}" if terms.together else instance.id, []).append(instance)
        whole = [chosen for chosen in sets.values() if self._complete(chosen)]
        return [eviction.joined([self._candidate(i) for i in chosen]) for chosen in whole]

    def _complete(self, chosen: list[m.Instance]) -> bool:
        """Whether no mate of these would be left behind."""
        ids = {i.id for i in chosen}
        there = (i for i in self.state.instances.values() if stays(i) and i.id not in ids)
        return not any(self._mates(i, chosen[0]) for i in there)

    def _candidate(self, instance: m.Instance) -> eviction.Candidate:
        idle_s = self.at.now - instance.last_used
        return eviction.Candidate(
            id=instance.id,
            bytes=instance.holds,
            idle_s=idle_s,
            load_s=back_s(instance),
            heat=eviction.cooled(instance.heat, idle_s),
            redo_s=instance.redo_s,
            batch=self.at.rules.of(instance.profile).batch,
        )

    def _evict(self, profile: str, victims: tuple[str, ...]) -> None:
        chosen = [self.state.instances[v] for v in victims]
        self.state = replace(self.state, ousted={**self.state.ousted, **{i.profile: i.context for i in chosen}})
        self.effects.append(m.Evict(profile, tuple(i.profile for i in chosen)))
        for instance in chosen:
            self._put(replace(instance, closed_for=profile))
            self._stop(self.state.instances[instance.id], f"makes room for {profile!r}")

    def _close_for(self, waiter: m.Waiter, want: m.Want, soon: Mapping[str, int]) -> None:
        """Close the cheapest set of instances, busy ones too, whose room is needed: when it has waited for its bound,
        or when the swap is worth what it costs."""
        profile = waiter.profile
        closed = [i for i in self.state.instances.values() if i.closed_for == profile]
        if closed and not eviction.shortage(want.need, total([soon, *(i.holds for i in closed)])):
            return
        chosen = self._chosen(waiter, want, soon, [i for i in self._all() if self._closable(i)]) or ()
        instances = [self.state.instances[name] for name in chosen]
        if starving(self.state, waiter, self.at.rules, self.at.now) or self._pays(instances, profile):
            self._close(profile, chosen)

    def _bring_back(self) -> None:
        """Who was evicted comes back, planned for the room that is left, if it is likely to be asked for again.

        Not before things have calmed down: whoever it left for is ready for :data:`CALM_S`, nobody waits or loads. An
        instance that holds all there is, because it was loaded alone, so becomes one that leaves room for another.
        """
        if not self.state.ousted or not self._quiet():
            return
        known = self.state.heat
        likely = [p for p in self.state.ousted if p in known and self._likelihood(known[p]) >= LIKELY]
        self.effects.extend(m.Bring(profile, self.state.ousted[profile]) for profile in likely if not self._of(profile))
        self.state = replace(self.state, ousted={})

    def _quiet(self) -> bool:
        """Nobody waits or loads, and whoever did is ready for a while."""
        there = self._all()
        ready = all(isinstance(i.state, Ready) and self.at.now - i.state.since >= CALM_S for i in there)
        return ready and not self.state.waiting

    def _likelihood(self, heat: m.Heat) -> float:
        left = eviction.cooled(heat.value, self.at.now - heat.at)
        return left / (1.0 + left)

    def _closable(self, instance: m.Instance) -> bool:
        """Ready, not pinned, and it has answered what a load is owed."""
        owed = self.at.rules.residency
        kept = instance.pin or held(self.state, instance.profile)
        return not kept and isinstance(instance.state, Ready) and instance.served >= owed

    def _close(self, profile: str, chosen: Iterable[str]) -> None:
        for name in chosen:
            self._put(replace(self.state.instances[name], closed_for=profile))

    def _pays(self, leaving: Iterable[m.Instance], profile: str) -> bool:
        """Whether the seconds waited for ``profile`` outweigh those that the swap costs everybody whom it delays.

        A swap costs its load, and loading again, with the prompts to read again, whoever leaves. Batch requests can
        wait.
        """
        leaving = list(leaving)
        names = {i.profile for i in leaving}
        delayed = sum(1 for w in self.state.waiting if w.profile in names)
        want, known = self.state.wants.get(profile), self.state.load_s
        load_s = want.load_s if want is not None and want.load_s is not None else known.get(profile, 0.0)
        cost = load_s + sum(back_s(i) + i.redo_s for i in leaving)
        waited = sum(self.at.now - w.since for w in self.state.waiting if w.profile == profile and not w.batch)
        return bool(leaving) and waited >= PATIENCE * max(SWAP_S, cost) * (1 + delayed)


def back_s(instance: m.Instance) -> float:
    """What loading it again would take: from the page cache if that was ever measured, else as it did."""
    if not isinstance(instance.state, Ready):
        return 0.0
    return instance.state.load_s if instance.reload_s is None else instance.reload_s


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


def excluded(profile: str, pinned: str, rules: Rules) -> CapacityError:
    """The refusal of a profile whose group has a pinned one loaded."""
    group = rules.of(profile).group
    return NeverFits(
        f"Profile {profile!r} and {pinned!r}, which is pinned, exclude each other in group {group!r}.",
        hint=f"Unload {pinned!r}, or change `[groups.{group}]`.",
    )


def no_room_beside(profile: str) -> CapacityError:
    """The refusal of a mate, or of one that would come back; nobody but the events hears of it."""
    return NeverFits(f"There is no room for {profile!r} beside the others.")
