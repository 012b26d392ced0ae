"""Every event that there is: what happened, with stable names and fields."""

from __future__ import annotations

from typing import Literal

import msgspec

InstanceState = Literal["starting", "loading", "ready", "draining", "stopping", "stopped", "failed"]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every event carries: a monotonic ``id`` and ``at``, seconds since the Unix epoch.

    Both are set by the bus when the event is published.
    """

    id: int = 0
    at: float = 0.0


class GatewayStarted(Event, frozen=True, kw_only=True, tag="gateway.started"):
    """The gateway accepts requests at ``url``."""

    url: str
    version: str


class GatewayDraining(Event, frozen=True, kw_only=True, tag="gateway.draining"):
    """The gateway takes no new inference; ``leases`` are still running."""

    leases: int


class ConfigReloaded(Event, frozen=True, kw_only=True, tag="config.reloaded"):
    """The configuration was read again; names of the profiles that differ. ``warnings``: what can never come true;
    ``waiting``: settings that take effect at the next start."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()

    @property
    def level(self) -> Literal["info", "warning"]:
        """How it is logged."""
        return "warning" if self.warnings else "info"


class ConfigRejected(Event, frozen=True, kw_only=True, tag="config.rejected"):
    """A changed configuration is wrong; the old one stays in force."""

    reason: str


class InstanceChanged(Event, frozen=True, kw_only=True, tag="instance.state"):
    """An instance entered ``state``. ``reason`` and ``code`` are set when it failed or was evicted.

    Of a failure, ``cause`` is its class (docs/troubleshooting.md), ``evidence`` what showed it, ``hint`` what to do.
    """

    instance: str
    profile: str
    state: InstanceState
    reason: str = ""
    code: str = ""
    cause: str = ""
    evidence: str = ""
    hint: str = ""


class LoadProgress(Event, frozen=True, kw_only=True, tag="load.progress"):
    """A load reached ``stage``.

    ``fraction`` (0 to 1) is estimated from this profile's last measured load; None without one.
    """

    instance: str
    profile: str
    stage: str
    elapsed_s: float
    fraction: float | None = None
    estimated: bool = True


class EngineMemory(Event, frozen=True, kw_only=True, tag="engine.memory"):
    """The engine reported a buffer: ``kind`` is model, kv, recurrent, compute or output; size in MiB."""

    instance: str
    profile: str
    device: str
    kind: str
    mib: float


class Sizes(msgspec.Struct, frozen=True):
    """MiB of one class of memory: as the plan had it, and as the engine reported it."""

    predicted: float
    reported: float


class PlacementMeasured(Event, frozen=True, kw_only=True, tag="placement.measured"):
    """A load is over: ``devices`` compares it with its plan, by device and class (weights, kv, compute, ...).

    ``planned`` is MiB of everything by device, what grows later included, ``held`` what the process really holds now.
    ``warnings`` say what was off by more than it should.
    """

    instance: str
    profile: str
    devices: dict[str, dict[str, Sizes]]
    planned: dict[str, float] = {}
    held: dict[str, float] = {}
    warnings: tuple[str, ...] = ()

    @property
    def level(self) -> Literal["info", "warning"]:
        """How it is logged."""
        return "warning" if self.warnings else "info"


class LoadMeasured(Event, frozen=True, kw_only=True, tag="load.measured"):
    """A load took ``seconds`` from its start to its first generated tokens, ``stages`` of them in each stage.

    ``bytes`` is the size of the model's files, ``gb_per_s`` how many of them a second, whether from the disk or not.
    """

    instance: str
    profile: str
    seconds: float
    bytes: int
    gb_per_s: float
    stages: dict[str, float] = {}


class LoadForeseen(Event, frozen=True, kw_only=True, tag="load.foreseen"):
    """``profile`` has often followed ``after``: ``bytes`` of its files are being read into the page cache."""

    profile: str
    after: str
    bytes: int


class LoadRetried(Event, frozen=True, kw_only=True, tag="load.retried"):
    """A profile ran out of memory on ``device`` and is loaded once more (``attempt`` counts), with ``what`` changed.

    ``rung`` is ubatch, kv, host, context or evict. An engine that was lost in mid-run is loaded so when it is needed.
    """

    instance: str
    profile: str
    rung: str
    device: str
    what: str
    attempt: int

    @property
    def level(self) -> Literal["warning"]:
        """How it is logged."""
        return "warning"


class SlowerThanPredicted(Event, frozen=True, kw_only=True, tag="speed.low"):
    """An instance's first answers took longer than its plan said: tokens/s ``measured`` and ``predicted``.

    ``phase`` is decode or prefill, ``depth`` the tokens in the cache then. ``cause`` is the likely one, ``reason`` says
    it in words.
    """

    instance: str
    profile: str
    phase: Literal["decode", "prefill"]
    measured: float
    predicted: float
    depth: int
    cause: Literal["spill", "throttled", "other process", "unknown"]
    reason: str

    @property
    def level(self) -> Literal["warning"]:
        """How it is logged."""
        return "warning"


class EngineMessage(Event, frozen=True, kw_only=True, tag="engine.message"):
    """The engine logged a warning or an error."""

    instance: str
    profile: str
    level: Literal["warning", "error"]
    text: str


class EngineTrouble(Event, frozen=True, kw_only=True, tag="engine.trouble"):
    """An instance is in trouble that its process does not tell by ending; it is started anew.

    ``cause`` is the class of failure: hang or wedged_slot.
    """

    instance: str
    profile: str
    cause: str
    reason: str

    @property
    def level(self) -> Literal["warning"]:
        """How it is logged."""
        return "warning"


class MemoryHeld(Event, frozen=True, kw_only=True, tag="memory.held"):
    """An engine is gone, and ``missing`` bytes of a device did not come back within ``waited_s``.

    ``holders`` are the processes that hold memory there, as ``name (pid 123): 4.0 GiB``; empty when none can be named.
    """

    profile: str
    device: str
    missing: int
    holders: tuple[str, ...]
    waited_s: float

    @property
    def level(self) -> Literal["warning"]:
        """How it is logged."""
        return "warning"


class Swap(Event, frozen=True, kw_only=True, tag="fleet.swap"):
    """Idle instances of ``evicted`` profiles leave so that ``profile`` can load."""

    profile: str
    evicted: tuple[str, ...]
    reason: str


class RequestQueued(Event, frozen=True, kw_only=True, tag="request.queued"):
    """A request waits for an instance; ``position`` counts from 1."""

    request: str
    profile: str
    position: int


class LeaseGranted(Event, frozen=True, kw_only=True, tag="lease.granted"):
    """A request got its instance after ``waited_s``."""

    request: str
    profile: str
    instance: str
    waited_s: float


class LeaseEnded(Event, frozen=True, kw_only=True, tag="lease.ended"):
    """A request is over. ``status`` is the HTTP status sent to the client, 499 when it left."""

    request: str
    profile: str
    instance: str
    status: int
    held_s: float


class LedgerDropped(Event, frozen=True, kw_only=True, tag="ledger.dropped"):
    """The ledger could not keep up or write; ``total`` rows were dropped since start."""

    total: int
    reason: str


class StateUnwritable(Event, frozen=True, kw_only=True, tag="state.unwritable"):
    """A part of the state folder cannot be written (``active``), or can be again. Requests are served on."""

    part: Literal["ledger", "audit", "log", "captures", "prompts"]
    active: bool
    reason: str = ""

    @property
    def level(self) -> Literal["info", "warning"]:
        """How it is logged."""
        return "warning" if self.active else "info"


class PromptCache(Event, frozen=True, kw_only=True, tag="prompts.cache"):
    """Prompts of an instance were ``saved`` before its end, ``restored`` after its start, or ``used`` by a request.

    ``tokens`` and ``bytes`` of all ``slots``; ``seconds`` that it took, or of computing that it spared when used.
    """

    action: Literal["saved", "restored", "used"]
    instance: str
    profile: str
    slots: int
    tokens: int
    bytes: int
    seconds: float


class PromptCacheProblem(Event, frozen=True, kw_only=True, tag="prompts.problem"):
    """Saved prompts were ``dropped``; none can be saved now (``unavailable``), or by that engine (``unsupported``)."""

    what: Literal["dropped", "unavailable", "unsupported"]
    reason: str
    profile: str = ""
    files: int = 0

    @property
    def level(self) -> Literal["warning"]:
        """How it is logged."""
        return "warning"


class DeviceThrottling(Event, frozen=True, kw_only=True, tag="device.throttling"):
    """A device runs slower than it could, for ``reasons``; or, when not ``active``, it does no longer."""

    device: str
    active: bool
    reasons: tuple[str, ...] = ()


class DeviceLost(Event, frozen=True, kw_only=True, tag="device.lost"):
    """A device that was there does not answer; ``reason`` is what its driver says."""

    device: str
    reason: str


class DeviceFound(Event, frozen=True, kw_only=True, tag="device.found"):
    """A device that was lost answers again."""

    device: str


class MachineSlept(Event, frozen=True, kw_only=True, tag="machine.slept"):
    """The machine slept, or its clock was set, for ``seconds``; ``rechecked`` profiles are asked for a token."""

    seconds: float
    rechecked: tuple[str, ...]


class Gap(Event, frozen=True, kw_only=True, tag="gap"):
    """A reader was too slow: events ``first`` to ``last`` are gone."""

    first: int = msgspec.field(name="from")
    last: int = msgspec.field(name="to")


AnyEvent = (
    GatewayStarted
    | GatewayDraining
    | ConfigReloaded
    | ConfigRejected
    | InstanceChanged
    | LoadProgress
    | EngineMemory
    | PlacementMeasured
    | LoadMeasured
    | LoadForeseen
    | LoadRetried
    | SlowerThanPredicted
    | EngineMessage
    | EngineTrouble
    | MemoryHeld
    | Swap
    | RequestQueued
    | LeaseGranted
    | LeaseEnded
    | LedgerDropped
    | StateUnwritable
    | PromptCache
    | PromptCacheProblem
    | DeviceThrottling
    | DeviceLost
    | DeviceFound
    | MachineSlept
    | Gap
)
