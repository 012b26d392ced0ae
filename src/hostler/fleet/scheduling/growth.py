"""Who was planned small beside others is loaded anew with the room that is back. Pure; the rules are the scheduler's.

An engine cannot take more memory while it runs, so this costs a load. Nobody waits for it:

1. The room of its whole plan has been free for :data:`ROOM_S`, and twice as long each time it was done before.
2. It is idle for :data:`IDLE_S`, and for :data:`DEAR` times what its load and its last conversation take, which may
   have to be read again; likely to be asked for; neither pinned nor held nor one of a set, and not told when to leave.
3. Nobody waits, loads or is about to come back, and all who are likely to be asked for are loaded: they need no room.
4. It is prepared, and that gives a better plan indeed. Then 2 and 3 are looked at once more.
5. It stops, with its prompts saved, and is loaded as one that comes back: where it fits beside all others.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from hostler.fleet.scheduling import eviction
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.room import LIKELY, Room, back_s
from hostler.fleet.scheduling.turn import less, live, total

ROOM_S = 60.0
MOST_ROOM_S = 960.0
IDLE_S = 60.0
DEAR = 5.0  # idle for so many times what bringing it back takes

REASON = "is loaded again with the room that is back"


class Growth(Room):
    """Decides that on what :class:`Room` knows."""

    def _look_for_growth(self) -> None:
        """1. to 4.: how long there has been room for whom, and perhaps one of them is prepared."""
        now, before = self.at.now, self.state.roomy
        roomy = {i.id: before.get(i.id, now) for i in self._all() if i.full is not None and self._fits(i, i.full)}
        if roomy != before:
            self.state = replace(self.state, roomy=roomy)
        if self._growing() or self.state.preparing or not self._calm():
            return
        able = [i for i in self._all() if self._waited_enough(i) and self._may_grow(i)]
        chosen = max(able, key=lambda i: eviction.cooled(i.heat, now - i.last_used), default=None)
        if chosen is not None:
            preparing = self.state.preparing | {chosen.profile}
            self.state = replace(self.state, growing=chosen.profile, preparing=preparing)
            self.effects.append(m.Prepare(chosen.profile))

    def _grow(self, want: m.Want) -> None:
        """4. and 5., once it is prepared."""
        profile, self.state = self.state.growing, replace(self.state, growing="")
        instance = live(self.state, profile)
        if instance is None or not self._calm() or not self._may_grow(instance):
            return
        if (
            want.full is not None
            or want.clears
            or want.context < instance.context
            or not self._fits(instance, want.need)
        ):
            self._stays_small(profile)
            return
        wants = {**self.state.wants, profile: replace(want, made=self.at.now)}
        grown = {**self.state.grown, profile: self.state.grown.get(profile, 0) + 1}
        self.state = replace(self.state, growing=profile, wants=wants, grown=grown)
        self._stop(instance, REASON)
        self.effects.append(m.Bring(profile, instance.context))

    def _stays_small(self, profile: str) -> None:
        """Until its next load."""
        self.state = replace(self.state, growing="")
        if instance := live(self.state, profile):
            self._put(replace(instance, full=None))

    def _calm(self) -> bool:
        away = (heat for profile, heat in self.state.heat.items() if live(self.state, profile) is None)
        missed = any(self._likelihood(heat) >= LIKELY for heat in away)
        return self._quiet() and not self.state.ousted and not self.state.draining and not missed

    def _growing(self) -> bool:
        """Whether one is on its way; one that found no room after all is not."""
        profile = self.state.growing
        if profile and profile not in self.state.preparing and all(w.profile != profile for w in self.state.waiting):
            self.state = replace(self.state, growing="")
        return bool(self.state.growing)

    def _fits(self, instance: m.Instance, need: Mapping[str, int]) -> bool:
        """Whether it could take so much while all others stay."""
        others = total(i.holds for i in self._all() if i.id != instance.id)
        return not eviction.shortage(need, less(self.at.budget, others))

    def _waited_enough(self, instance: m.Instance) -> bool:
        since, times = self.state.roomy.get(instance.id), self.state.grown.get(instance.profile, 0)
        return since is not None and self.at.now - since >= min(MOST_ROOM_S, ROOM_S * 2.0**times)

    def _may_grow(self, instance: m.Instance) -> bool:
        idle_s = self.at.now - instance.last_used
        likely = self._likelihood(m.Heat(instance.heat, instance.last_used)) >= LIKELY
        plain = instance.stay_s is None and instance.closed_for is None and not instance.doubted
        alone = not self.at.rules.of(instance.profile).together
        calm_s = max(IDLE_S, DEAR * (back_s(instance) + instance.redo_s))
        return plain and alone and likely and self._idle(instance) and idle_s >= calm_s
