"""What nearly every message comes to: a lease on an instance with room, and its end while nobody waits. Pure.

A step of the scheduler looks at everything that may follow from a message. Here nothing does, and every request passes
twice; both functions say None where a step is needed, and else what it would come to.
"""

from __future__ import annotations

from msgspec.structs import replace

from hostler.engines.state import Ready
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.eviction import warmer
from hostler.fleet.scheduling.turn import is_open, live


def granted(state: m.State, profile: str, now: float) -> tuple[m.State, str] | None:
    """The state with one more lease of ``profile``, and its instance."""
    instance = live(state, profile)
    if instance is None or instance.leases >= instance.slots or not is_open(instance, residency=0):
        return None
    if state.draining or profile in state.failures or (state.waiting and _awaited(state, profile)):
        return None
    heat = warmer(instance.heat, now - instance.last_used)
    one = replace(instance, leases=instance.leases + 1, last_used=now, heat=heat)
    return replace(state, instances={**state.instances, one.id: one}), one.id


def released(state: m.State, message: m.Release, now: float) -> m.State | None:
    """The state with one lease fewer, for an instance that neither ends nor begins to be idle for a time that ends."""
    instance = state.instances.get(message.instance)
    if instance is None or state.waiting or instance.profile in state.failures:
        return None
    if not isinstance(instance.state, Ready) or instance.ttl_s is not None or instance.stay_s is not None:
        return None
    redo_s = instance.redo_s if message.redo_s is None else message.redo_s
    one = replace(instance, leases=instance.leases - 1, served=instance.served + 1, last_used=now, redo_s=redo_s)
    lease_s = state.lease_s if message.held_s is None else lasted(state, instance.profile, message.held_s)
    return replace(state, instances={**state.instances, one.id: one}, lease_s=lease_s)


def lasted(state: m.State, profile: str, seconds: float) -> dict[str, float]:
    """What answers take, with one more of ``profile``: about the last five count."""
    before = state.lease_s.get(profile, seconds)
    return {**state.lease_s, profile: 0.8 * before + 0.2 * seconds}


def _awaited(state: m.State, profile: str) -> bool:
    return any(waiter.profile == profile for waiter in state.waiting)
