"""What the fleet shows of its state: snapshots for people and the management API."""

from __future__ import annotations

import msgspec

from hostler.config.remotes import host_of
from hostler.engines.state import Draining, Failure, Ready, Starting
from hostler.errors import HostlerError
from hostler.events import InstanceChanged, InstanceState
from hostler.fleet.learning.measurements import Measurement
from hostler.fleet.leases import Asked, HeldLease
from hostler.fleet.parked import Parked
from hostler.fleet.protocol import ProfileStanding
from hostler.fleet.run import Run
from hostler.fleet.scheduling import messages as m
from hostler.wire.management import Instance, RequestInFlight
from hostler.wire.management import Parked as ParkedShown


def instance(known: m.Instance, run: Run, now: float) -> Instance:
    """One instance, at ``now`` (monotonic seconds)."""
    idle = isinstance(known.state, Ready) and not known.leases
    return Instance(
        id=known.id,
        profile=known.profile,
        state=state_name(known, run),
        pid=run.pid,
        model=run.spec.model.name,
        context=run.spec.context,
        slots=known.slots,
        bytes=dict(known.holds),
        predicted_bytes=run.spec.bytes,
        leases=known.leases,
        served=known.served,
        tokens_per_s=run.tokens_per_s,
        idle_s=now - known.last_used if idle else None,
        ttl_s=known.idle_bound_s,
        pinned=known.pin,
        load_s=run.load_s,
        started_at=run.started_at,
        # The name of a file may be no text.
        argv=tuple(word.encode("utf-8", "backslashreplace").decode() for word in run.argv),
        remote=host_of(run.spec.engine),
        changed=run.changes.words,
        warm=run.pid is not None and run.endpoint is not None and (run.spec.proves or known.served > 0),
    )


def state_name(known: m.Instance, run: Run) -> InstanceState:
    """The word for an instance's state: loading once there is a process."""
    match known.state:
        case Starting():
            return "loading" if run.pid is not None else "starting"
        case Ready():
            return "ready"
        case Draining():
            return "draining"
        case _:
            return "stopping"


def running(lease: HeldLease, now: float) -> RequestInFlight:
    """A request that has its instance."""
    return RequestInFlight(
        id=lease.request,
        profile=lease.profile,
        instance=lease.instance,
        api=lease.api,
        state="running",
        age_s=now - lease.asked,
        principal=lease.principal,
    )


def queued(asked: Asked, now: float) -> RequestInFlight:
    """A request that waits."""
    return RequestInFlight(
        id=asked.request,
        profile=asked.profile,
        instance=None,
        api=asked.api,
        state="queued",
        age_s=now - asked.since,
        principal=asked.principal,
    )


def resident(known: m.Instance, run: Run, waiting: int) -> ProfileStanding:
    """A profile that has an instance."""
    return ProfileStanding(
        state=state_name(known, run), waiting=waiting, load_s=run.load_s, tokens_per_s=run.tokens_per_s
    )


def failed(profile: str, error: HostlerError) -> InstanceChanged:
    """The event of a failure."""
    return InstanceChanged(
        instance="",
        profile=profile,
        state="failed",
        reason=error.message,
        code=error.code,
        cause=error.cause,
        evidence=error.evidence,
        hint=error.hint,
    )


def absent(known: Measurement | None, failure: Failure | None, waiting: int, now: float) -> ProfileStanding:
    """A profile without one: never loaded, unloaded, or failed."""
    standing = ProfileStanding(
        state="unloaded",
        waiting=waiting,
        load_s=known.load_s if known else None,
        tokens_per_s=known.tokens_per_s if known else None,
    )
    if failure is None:
        return standing
    retry = None if failure.until is None else max(0.0, failure.until - now)
    return msgspec.structs.replace(
        standing,
        state="failed",
        reason=failure.error.message,
        code=failure.error.code,
        retry_in_s=retry,
        error=failure.error,
    )


def parked(known: Parked | None, now: float) -> ParkedShown | None:
    """What is left of a profile's instance; None of one that was never loaded."""
    if known is None:
        return None
    return ParkedShown(
        parked_s=max(0.0, now - known.since), cached=known.cached, prompts=known.prompts, load_s=known.load_s
    )
