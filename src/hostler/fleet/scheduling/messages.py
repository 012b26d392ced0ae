"""What the fleet's owner is told, what it decides, and the state in between: frozen data only.

Times are seconds of the monotonic clock; sizes are bytes per device.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hostler.engines.state import Failure, InstanceState
from hostler.errors import HostlerError
from hostler.fleet.scheduling.rules import Rules


class Reads(msgspec.Struct, frozen=True):
    """What a load asks of a disk: its name, and the part of its speed that it takes alone (0 to 1)."""

    disk: str
    share: float


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """What it takes to run a profile: found by preparing it, before anything is evicted for it.

    Idle residents leave the devices in ``clears`` before the load, whether there is room or not. ``made`` is when it
    was prepared: what was found then may place it where there is no room any more. ``load_s`` is what its load will
    about take, ``reload_s`` what one does whose files are in the page cache, ``reads`` what it asks of its disk; None
    when that is not known. ``full`` is what a better plan would take if those were gone who may leave; None without.
    """

    key: str
    need: Mapping[str, int]
    slots: int
    pin: bool
    ttl_s: float | None
    clears: tuple[str, ...] = ()
    made: float = 0.0
    load_s: float | None = None
    reload_s: float | None = None
    reads: Reads | None = None
    context: int = 0
    full: Mapping[str, int] | None = None


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One engine process as the scheduler sees it.

    ``stay_s`` is how long it may stay idle because a request said so, where that is sooner than its TTL.
    ``holds`` is the predicted need until the process is ready, then what it was measured to hold.
    ``closed_for`` names a starving profile that waits for this instance's room: no new leases meanwhile.
    ``served`` counts ended leases since the load. ``heat`` is how often it was come back to
    (:func:`hostler.fleet.scheduling.eviction.warmer`), as of ``last_used``; ``redo_s`` what it would take to have its
    latest conversation again, ``reload_s`` to load it from the page cache, where its files are for a while. ``back``:
    it was evicted, and came back beside others. ``doubted``: it lost a request, and was not seen alive since. ``full``
    as in :class:`Want`, unless it was found that this load will not get it.
    """

    id: str
    profile: str
    key: str
    state: InstanceState
    holds: Mapping[str, int]
    slots: int
    pin: bool
    ttl_s: float | None
    stay_s: float | None = None
    leases: int = 0
    served: int = 0
    last_used: float = 0.0
    closed_for: str | None = None
    heat: float = 1.0
    redo_s: float = 0.0
    reload_s: float | None = None
    reads: Reads | None = None
    context: int = 0
    back: bool = False
    doubted: bool = False
    full: Mapping[str, int] | None = None

    @property
    def idle_bound_s(self) -> float | None:
        """How long it may be idle; None for as long as there is room."""
        return min((bound for bound in (self.ttl_s, self.stay_s) if bound is not None), default=None)


class Waiter(msgspec.Struct, frozen=True, kw_only=True):
    """A request, or an operator's load (``lease`` False), that waits for a profile.

    ``urgent`` waiters do not wait for the starvation bound, ``batch`` ones let all others go first until it.
    ``principal`` is whose key it came with; ``turn`` is its turn among the keys that wait for the profile, set when it
    joins. A ``mate`` is loaded because its group is, where there is room beside it. One that comes ``back`` was
    evicted, and is loaded again if it fits beside all who are loaded now, with the context that it had: so many tokens.
    """

    ticket: int
    profile: str
    since: float
    lease: bool = True
    urgent: bool = False
    batch: bool = False
    principal: str = ""
    turn: int = 0
    mate: bool = False
    back: int | None = None


class Heat(msgspec.Struct, frozen=True):
    """How often a profile was come back to, as of ``at``; decays as :func:`hostler.fleet.scheduling.eviction.warmer`
    says."""

    value: float
    at: float


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A hold: its profile stays loaded until then. ``loaded``: for it, so that it leaves with it."""

    profile: str
    until: float
    loaded: bool


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All that the scheduler knows. ``wants`` and ``preparing`` are by profile; ``turns`` are the latest that each key
    was given, by profile and whether batch; ``load_s`` and ``lease_s`` what loads and answers of profiles took.
    ``pins`` are what operators said of profiles since the gateway started, other than their configuration; ``ousted``
    are profiles that were evicted and might come back beside others, with the context that they had. ``roomy`` says
    since when instances could have their ``full``, ``growing`` who is about to, ``grown`` how often each did."""

    instances: Mapping[str, Instance] = msgspec.field(default_factory=dict)
    waiting: tuple[Waiter, ...] = ()
    failures: Mapping[str, Failure] = msgspec.field(default_factory=dict)
    wants: Mapping[str, Want] = msgspec.field(default_factory=dict)
    preparing: frozenset[str] = frozenset()
    holds: Mapping[str, Held] = msgspec.field(default_factory=dict)
    pins: Mapping[str, bool] = msgspec.field(default_factory=dict)
    ousted: Mapping[str, int] = msgspec.field(default_factory=dict)
    roomy: Mapping[str, float] = msgspec.field(default_factory=dict)
    grown: Mapping[str, int] = msgspec.field(default_factory=dict)
    growing: str = ""
    load_s: Mapping[str, float] = msgspec.field(default_factory=dict)
    lease_s: Mapping[str, float] = msgspec.field(default_factory=dict)
    heat: Mapping[str, Heat] = msgspec.field(default_factory=dict)
    turns: Mapping[tuple[str, bool], Mapping[str, int]] = msgspec.field(default_factory=dict)
    next_instance: int = 1
    draining: bool = False


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What is outside the state: the time, and what all engines together may hold per device.

    Idle instances have to leave when engines hold more than that and ``slack``.
    """

    now: float
    budget: Mapping[str, int]
    rules: Rules
    slack: Mapping[str, int] = {}


# --- told ---------------------------------------------------------------------------------------------


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A new waiter. ``forgive`` clears the profile's failure first."""

    waiter: Waiter
    forgive: bool = False


class Leave(msgspec.Struct, frozen=True):
    """The waiter is gone."""

    ticket: int


class Release(msgspec.Struct, frozen=True):
    """A lease ended. ``healthy``: the engine answered to its last byte.

    ``redo_s`` is what having its conversation again would take; None when the engine did not say. ``held_s`` is how
    long it was held.
    """

    instance: str
    healthy: bool
    redo_s: float | None = None
    held_s: float | None = None


class Doubted(msgspec.Struct, frozen=True):
    """The instance lost a request: nothing is granted on it until it is Trusted, or Gone."""

    instance: str


class Trusted(msgspec.Struct, frozen=True):
    """The instance was seen alive after it was doubted."""

    instance: str


class Prepared(msgspec.Struct, frozen=True):
    """The profile can be loaded as ``want`` says."""

    profile: str
    want: Want


class PrepareFailed(msgspec.Struct, frozen=True):
    """The profile cannot be loaded: missing or broken model, flag conflict, no build."""

    profile: str
    error: HostlerError


class Loaded(msgspec.Struct, frozen=True):
    """The instance is ready and holds ``holds``."""

    instance: str
    holds: Mapping[str, int]


class Measured(msgspec.Struct, frozen=True):
    """The instance was seen to hold ``holds``."""

    instance: str
    holds: Mapping[str, int]


class Gone(msgspec.Struct, frozen=True):
    """The process is reaped and its memory returned. ``error`` is None when it was stopped.

    ``again``: its load is tried once more in another way, and did not fail yet.
    """

    instance: str
    error: HostlerError | None
    again: bool = False


class Unload(msgspec.Struct, frozen=True):
    """Drain the profile's instance; ``now`` stops it without waiting for its leases."""

    profile: str
    now: bool
    reason: str


class UnloadOthers(msgspec.Struct, frozen=True):
    """Drain every unpinned instance of other profiles that is here."""

    profile: str
    reason: str


class Hold(msgspec.Struct, frozen=True):
    """Keep the profile loaded until then, or for longer if the hold exists already."""

    id: str
    profile: str
    until: float


class Unhold(msgspec.Struct, frozen=True):
    """The hold is over."""

    id: str


class Pin(msgspec.Struct, frozen=True):
    """Pin the profile, loaded or not, or unpin it, whatever its configuration says; until that changes."""

    profile: str
    pin: bool


class Stay(msgspec.Struct, frozen=True):
    """The profile's instance leaves after so many idle seconds if its TTL does not end sooner; None: only with that."""

    profile: str
    seconds: float | None


class Retire(msgspec.Struct, frozen=True):
    """Drain this instance (a stuck slot, say); a later request starts a new one."""

    instance: str
    reason: str


class Configured(msgspec.Struct, frozen=True):
    """The configuration changed: key, pin and TTL by profile, for those that exist now."""

    profiles: Mapping[str, tuple[str, bool, float | None]]


class Drain(msgspec.Struct, frozen=True):
    """Take no new work."""


class Tick(msgspec.Struct, frozen=True):
    """Time has passed, or the budget changed."""


Message = (
    Ask
    | Leave
    | Release
    | Doubted
    | Trusted
    | Prepared
    | PrepareFailed
    | Loaded
    | Measured
    | Gone
    | Unload
    | UnloadOthers
    | Hold
    | Unhold
    | Pin
    | Stay
    | Retire
    | Configured
    | Drain
    | Tick
)


# --- decided ------------------------------------------------------------------------------------------


class Grant(msgspec.Struct, frozen=True):
    """The waiter has the instance."""

    ticket: int
    instance: str


class Refuse(msgspec.Struct, frozen=True):
    """The waiter gets ``error``."""

    ticket: int
    error: HostlerError


class Prepare(msgspec.Struct, frozen=True):
    """Find out what the profile needs, and every error that can be found without starting it."""

    profile: str


class Start(msgspec.Struct, frozen=True):
    """Start an engine for the profile; the reason where nobody asked for it."""

    instance: str
    profile: str
    reason: str = ""


class Stop(msgspec.Struct, frozen=True):
    """End the instance's process."""

    instance: str
    reason: str


class Close(msgspec.Struct, frozen=True):
    """The instance drains: shown, nothing to do."""

    instance: str
    reason: str


class Evict(msgspec.Struct, frozen=True):
    """Tell that ``victims`` (profiles) leave for ``profile``; their Stop effects follow."""

    profile: str
    victims: tuple[str, ...]


class Fail(msgspec.Struct, frozen=True):
    """Tell that the profile failed."""

    profile: str
    error: HostlerError


class Bring(msgspec.Struct, frozen=True):
    """Ask for the profile too, as a mate: one of its group is being loaded; or to have it ``back`` beside others, with
    that context."""

    profile: str
    back: int | None = None


Effect = Grant | Refuse | Prepare | Start | Stop | Close | Evict | Fail | Bring
