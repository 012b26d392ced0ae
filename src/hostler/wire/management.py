"""The structs of the management API under ``/api``; shared by the gateway and its clients.

Sizes are bytes, durations seconds (``_s``) or milliseconds (``_ms``), times seconds since the Unix epoch.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from hostler.config.settings import Task
from hostler.events import InstanceState

ProfileState = InstanceState | Literal["unloaded"]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error: a stable ``code``, what happened, what to do, and who says so.

    Where an engine failed, ``cause`` is the class of failure and ``evidence`` what showed it: a line of its log, say.
    """

    code: str
    message: str
    hint: str = ""
    source: Literal["gateway", "engine"] = "gateway"
    retry_after_s: float | None = None
    cause: str = ""
    evidence: str = ""


class ProblemBody(msgspec.Struct, frozen=True):
    """The body of every management error."""

    error: Problem


class GatewayStatus(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /api/gateway``. ``unwritable``: parts of the state folder (ledger, audit, log, captures, prompts) that
    cannot be written now, with the reason."""

    version: str
    pid: int
    url: str
    home: str
    config_file: str
    config_error: str
    started_at: float
    draining: bool
    default: str | None
    running: int
    queued: int
    last_event: int
    ledger_dropped: int
    memory: tuple[DeviceMemory, ...]
    unwritable: dict[str, str] = {}


class DeviceMemory(msgspec.Struct, frozen=True, kw_only=True):
    """One device: its size, what is free now, and what engines of ours may hold and do hold."""

    device: str
    total: int
    free: int
    budget: int
    used: int


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """A profile that was loaded and comes back quickly: for how long already, how much of its files is in the page
    cache (0 to 1; None where the system does not tell), how many prompts are saved, about how long a load takes now.
    """

    parked_s: float
    cached: float | None
    prompts: int
    load_s: float


class ProfileInfo(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /api/profiles``: a profile, its model and the state of its instance.

    ``origin`` is ``config`` for a profile in the file, else where its model was found. ``need`` is the
    predicted bytes per device; empty when the model could not be read (``problem`` says why). ``failure`` is why its
    engine failed the last time, until it is tried again. ``parked`` is set for one that was loaded since the gateway
    started and is not now.
    """

    name: str
    description: str
    task: Task | None
    aliases: tuple[str, ...]
    model: str
    size: int | None
    context: int | None
    slots: int
    ttl_s: float | None
    pin: bool
    group: str
    hidden: bool
    origin: str
    default: bool
    state: ProfileState
    reason: str
    waiting: int
    load_s: float | None
    tokens_per_s: float | None
    need: dict[str, int]
    remote: str | None = None
    problem: Problem | None = None
    failure: Problem | None = None
    parked: Parked | None = None


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /api/instances``: one running engine process. ``bytes`` is measured, else predicted.

    ``changed`` says what is other than the profile asks, after it ran out of memory. ``warm``: it has generated since
    it was loaded, so that the next request pays for no first time. ``notes`` say what is the matter with it now.
    """

    id: str
    profile: str
    state: InstanceState
    pid: int | None
    model: str
    context: int
    slots: int
    bytes: dict[str, int]
    predicted_bytes: dict[str, int]
    leases: int
    served: int
    tokens_per_s: float | None
    idle_s: float | None
    ttl_s: float | None
    pinned: bool
    load_s: float | None
    started_at: float
    argv: tuple[str, ...] = ()
    #: Why it is loaded; ``leaves`` is its place among those that would make room, from 1, None when it would not.
    why: str = ""
    leaves: int | None = None
    #: The host that is asked, where it runs elsewhere; it then has neither process nor memory.
    remote: str | None = None
    changed: tuple[str, ...] = ()
    warm: bool = False
    notes: tuple[str, ...] = ()


class RequestInFlight(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /api/requests``: a queued or running request. A queued one has its place among those that wait for the
    same profile, and about how many seconds it will wait on: none when that is unknown, or longer than expected.
    ``after`` are the profiles whose room it needs, and which have to become idle first."""

    id: str
    profile: str
    instance: str | None
    api: str
    state: Literal["queued", "running"]
    age_s: float
    principal: str
    place: int | None = None
    wait_s: float | None = None
    after: tuple[str, ...] = ()


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A finished request, as the ledger keeps it.

    ``tokens_in`` counts the whole prompt, ``tokens_cached`` what of it was in a cache. ``prompt_ms`` and
    ``generated_ms`` (from the first token to the last) are as the engine says them, else those of the stream.
    """

    id: str
    at: float
    principal: str
    profile: str
    api: str
    status: int
    tokens_in: int | None
    tokens_cached: int | None
    tokens_out: int | None
    queue_ms: float
    load_ms: float
    first_byte_ms: float | None
    prompt_ms: float | None = None
    generated_ms: float | None = None
    total_ms: float
    cancelled: bool


class Requests(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /api/requests``: what is in flight, and the most recent finished ones, newest first."""

    in_flight: tuple[RequestInFlight, ...]
    recent: tuple[RequestRecord, ...]


class SwitchOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``POST /api/profiles/{name}/switch``; ``keep`` leaves the others loaded."""

    keep: bool = False


class UnloadOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``POST /api/profiles/{name}/unload``; ``now`` cuts running requests off instead of draining."""

    now: bool = False


class HoldOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``POST /api/load``: ``hold`` is a duration (``"30m"``, or seconds); ``id`` prolongs a hold that exists."""

    profile: str
    hold: str | float | None = None
    id: str | None = None


class HoldInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What ``/api/load`` did. ``id`` ends or prolongs the hold; None without one."""

    profile: str
    state: ProfileState
    id: str | None = None
    hold_s: float | None = None


class Switched(msgspec.Struct, frozen=True, kw_only=True):
    """What load, unload and switch did."""

    profile: str
    state: ProfileState
    unloaded: tuple[str, ...] = ()


class Pinned(msgspec.Struct, frozen=True, kw_only=True):
    """``POST`` and ``DELETE /api/profiles/{name}/pin``: whether it is pinned now, loaded or not."""

    profile: str
    state: ProfileState
    pinned: bool


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /api/gateway/reload``: names of the profiles that differ. ``warnings`` say what can never come true
    on this machine, such as pins that do not fit together; ``waiting`` names settings that were changed and take effect
    at the next start of the gateway."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


class Cancelled(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /api/requests/{id}/cancel``: the request that was told to end."""

    request: str


ConfigScalar = bool | int | float | str | None


class ConfigValue(msgspec.Struct, frozen=True, kw_only=True):
    """One setting in force: its dotted ``key``, its value, and who set it (default, file, environment, flag)."""

    key: str
    value: ConfigScalar | tuple[ConfigScalar, ...] | dict[str, ConfigScalar]
    source: str


class ReadyReport(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /ready``: 200 when ``ready``, else 503. ``unwritable`` is as in the status, and keeps nobody from being
    ready."""

    ready: bool
    draining: bool
    config_error: str
    profiles: dict[str, ProfileState]
    unwritable: dict[str, str] = {}
