"""What a gateway's own events and figures say against it: pure.

Told every event since the storm began and a look at its memory now and then, it knows

1. loads that were made twice: two live instances of one profile;
2. moments in which engines held more than the configured budget of a device;
3. waits that were longer than they may be, and which instances a request was given;
4. which instances were killed by the storm, so that what was cut off with them is nobody's fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from hostler import events
from hostler.wire.management import DeviceMemory, Instance

LIVE: Final = ("starting", "loading", "ready")
#: A load that is killed so often in a row has failed, as any other would.
LOAD_KILLS: Final = 3


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """One wait for an instance. ``allowed_s`` is its bound, ``starvation_s`` what of it is the fleet's rule."""

    request: str
    profile: str
    waited_s: float
    position: int
    starvation_s: float
    allowed_s: float


class Loads(msgspec.Struct, kw_only=True):
    """What was loaded: how often, how long the longest took, who was swapped out."""

    count: int = 0
    longest_s: float = 0.0
    swaps: int = 0
    crashes: int = 0
    reloads: int = 0


class Witness:
    """Collects; :attr:`doubles` and :attr:`over` are sentences, empty when all is well."""

    def __init__(self, ceilings: Mapping[str, int], starvation_s: float = 30.0) -> None:
        self._ceilings = ceilings
        self._starvation_s = starvation_s
        self._live: dict[str, str] = {}
        self._granted: dict[str, list[events.LeaseGranted]] = {}
        self._places: dict[str, int] = {}
        self._load_s: dict[str, float] = {}
        self._held_s: dict[str, float] = {}
        self._starts: dict[str, float] = {}
        self._killed: set[str] = set()
        self._load_kills: dict[str, int] = {}
        self._given_up: set[str] = set()
        self.last = 0
        self.missed = 0
        self.looks = 0
        self.peak: dict[str, int] = {}
        #: When each profile last had an engine that became ready, in seconds since the epoch.
        self.ready_at: dict[str, float] = {}
        self.loads = Loads()
        self.doubles: list[str] = []
        self.over: list[str] = []

    # --- told -------------------------------------------------------------------------------------------

    def event(self, event: events.AnyEvent) -> None:
        """One event, in order."""
        self.last = max(self.last, event.id)
        match event:
            case events.Gap(first=first, last=last):
                self.missed += last - first + 1
            case events.InstanceChanged():
                self._changed(event)
            case events.RequestQueued(request=request, position=position):
                self._places[request] = max(position, self._places.get(request, 0))
            case events.LeaseGranted(request=request):
                self._granted.setdefault(request, []).append(event)
            case events.LeaseEnded(profile=profile, held_s=held_s):
                self._held_s[profile] = max(held_s, self._held_s.get(profile, 0.0))
            case events.Swap():
                self.loads.swaps += 1
            case events.ConfigReloaded():
                self.loads.reloads += 1

    def _changed(self, event: events.InstanceChanged) -> None:
        if event.state == "failed":  # names no instance; a profile has one that lives
            self._forget(event.profile)
            self.loads.crashes += 1
        elif event.state in LIVE:
            self._lives(event)
        else:
            self._live.pop(event.instance, None)

    def _lives(self, event: events.InstanceChanged) -> None:
        if event.state == "starting":
            self._starts[event.instance] = event.at
            self.loads.count += 1
            others = [name for name, profile in self._live.items() if profile == event.profile]
            if others:
                self.doubles.append(f"{event.instance} was started while {', '.join(others)} lived")
        if event.state == "ready":
            self.ready_at[event.profile] = event.at
        if event.state == "ready" and (began := self._starts.pop(event.instance, None)) is not None:
            took = event.at - began
            self._load_s[event.profile] = max(took, self._load_s.get(event.profile, 0.0))
            self.loads.longest_s = max(took, self.loads.longest_s)
            self._load_kills.pop(event.profile, None)
        self._live[event.instance] = event.profile

    def _forget(self, profile: str) -> None:
        self._live = {name: other for name, other in self._live.items() if other != profile}

    def look(self, instances: Sequence[Instance], memory: Sequence[DeviceMemory]) -> None:
        """The instances and the memory at one moment."""
        self.looks += 1
        live = [each.profile for each in instances if each.state in LIVE]
        for profile in {each for each in live if live.count(each) > 1}:
            self.doubles.append(f"{live.count(profile)} instances of {profile} lived at once")
        for device in memory:
            self.peak[device.device] = max(device.used, self.peak.get(device.device, 0))
            ceiling = self._ceilings.get(device.device)
            if ceiling is not None and device.used > ceiling:
                held = ", ".join(f"{each.id} ({each.state})" for each in instances)
                self.over.append(f"{device.used} bytes of {ceiling} on {device.device}, held by {held}")

    def killed(self, instance: str, profile: str) -> None:
        """The storm killed that instance's engine."""
        self._killed.add(instance)
        if instance in self._starts:
            times = self._load_kills[profile] = self._load_kills.get(profile, 0) + 1
            self._given_up |= {profile} if times >= LOAD_KILLS else set()

    # --- asked ------------------------------------------------------------------------------------------

    @property
    def kills(self) -> int:
        """How many engines the storm killed."""
        return len(self._killed)

    def fell(self, request: str, profile: str) -> bool:
        """Whether the storm itself is to blame for what became of the request.

        It had an instance that was killed, or loads of its profile were killed until the gateway gave up.
        """
        on_killed = any(granted.instance in self._killed for granted in self._granted.get(request, ()))
        return on_killed or profile in self._given_up

    def waits(self) -> list[Wait]:
        """The longest wait of every request that had to wait for its instance."""
        longest = {
            request: max(granted, key=lambda one: one.waited_s) for request, granted in self._granted.items() if granted
        }
        return [self._wait(granted) for granted in longest.values() if granted.waited_s > 0.001]

    def _wait(self, granted: events.LeaseGranted) -> Wait:
        """A waiter goes before all others after its starvation bound; then it waits for those whose room or slot it
        takes, for as many loads as others wait for too, and for who stood before it."""
        profile, place = granted.profile, self._places.get(granted.request, 1)
        starvation = max(self._starvation_s, 3 * self._load_s.get(profile, 0.0))
        held = max(self._held_s.values(), default=0.0)
        others = max(1, len(self._load_s))
        allowed = starvation + others * (held + self.loads.longest_s) + place * self._held_s.get(profile, held)
        return Wait(
            request=granted.request,
            profile=profile,
            waited_s=granted.waited_s,
            position=place,
            starvation_s=starvation,
            allowed_s=allowed,
        )
