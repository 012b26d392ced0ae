"""What the fleet knows of an engine: how to run one, and what it tells while it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from hostler.config.settings import EngineSettings, LimitSettings, LogSettings, Rung, Speaks, Task
from hostler.models.facts import GgufFacts, Model
from hostler.placement.plan import Plan


class LoadSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything needed to run one profile on one engine; nothing is left to an engine's default.

    ``context`` is tokens for one request; the engine gets ``context * slots``. ``bytes`` is the predicted
    need per device, ``plan`` how it is placed and sized. ``build`` is what the plan was made for, "" when
    that is not known; ``rungs`` are what a further try may change after running out of memory. Without ``proves`` no
    work is asked of it to see that it is ready.
    """

    instance: str
    profile: str
    model: Model
    facts: GgufFacts
    task: Task
    embeddings: bool
    context: int
    slots: int
    engine: EngineSettings
    bytes: dict[str, int]
    plan: Plan
    build: str = ""
    rungs: tuple[Rung, ...] = ()
    proves: bool = True


class Remote(msgspec.Struct, frozen=True):
    """What is other where an instance is a server elsewhere: the path before its API's own (without a slash at its
    end), whether by TLS, which API, its name for the model, and whether the client's own key is sent, not ours."""

    base: str
    tls: bool
    speaks: Speaks
    model: str
    forward_key: bool


class Endpoint(msgspec.Struct, frozen=True):
    """Where a ready instance listens, and the key that only the gateway knows."""

    host: str
    port: int
    api_key: str
    remote: Remote | None = None


class Started(msgspec.Struct, frozen=True):
    """The process runs."""

    pid: int
    argv: tuple[str, ...]


class Stage(msgspec.Struct, frozen=True):
    """The log shows that the load reached a stage: `reading header`, `loading tensors`, `warming up`, ..."""

    name: str


class Buffer(msgspec.Struct, frozen=True):
    """The engine allocated a buffer: kind is model, kv, recurrent, compute or output; size in MiB."""

    device: str
    kind: str
    mib: float


class Splits(msgspec.Struct, frozen=True):
    """Into how many pieces the engine cut the graph of a prompt, and of a token, for its devices."""

    prompt: int
    token: int


class Complaint(msgspec.Struct, frozen=True):
    """The engine logged a warning or an error."""

    level: Literal["warning", "error"]
    text: str


class Ready(msgspec.Struct, frozen=True):
    """A real token (vector, score) was generated. ``tokens_per_s`` is None when too little was generated."""

    endpoint: Endpoint
    tokens_per_s: float | None = None


class Progress(msgspec.Struct, frozen=True):
    """What the busy slots of an engine have done: ``mark`` differs as soon as one of them has gone on."""

    busy: int
    mark: tuple[tuple[int, ...], ...]


Report = Started | Stage | Buffer | Splits | Complaint | Ready


class Runner(Protocol):
    """Runs engine processes. One call is one process, from start to reaped."""

    async def preflight(self, spec: LoadSpec) -> None:
        """Find every error that can be found without starting anything (build, flags, files).

        Raises an EngineError or ModelError. Called before any resident is evicted for this load.
        """
        ...

    async def run(self, spec: LoadSpec, report: Callable[[Report], None]) -> None:
        """Start the engine and supervise it until it ends.

        ``report`` is called on the event loop with each :data:`Report`, `Ready` at most once. Raises
        LoadFailed (or a subclass) when the engine ends before it is ready, EngineLost when it ends after.
        Cancelling this call is how an instance is stopped: terminate, grace, kill of the whole process
        group, reap, all shielded; when it returns, nothing of the process is left.
        """
        ...

    async def slots_busy(self, endpoint: Endpoint) -> int | None:
        """How many slots are computing now; None when the engine does not tell."""
        ...

    async def answers(self, endpoint: Endpoint) -> None:
        """Return when it answers anything at all. Raises EngineLost when it does not. Unbounded: the caller bounds it.

        Shows that its process lives, no more; costs it nothing, and disturbs nothing that it computes.
        """
        ...

    async def progress(self, endpoint: Endpoint) -> Progress | None:
        """What its slots have done so far; None when the engine does not tell. Raises EngineLost without an answer.

        Unbounded: the caller bounds it.
        """
        ...

    async def probe(self, endpoint: Endpoint, task: Task) -> float | None:
        """Make the engine do real work once; tokens/s or None. Raises EngineLost when it cannot."""
        ...

    def resident_bytes(self, pid: int, spec: LoadSpec) -> dict[str, int] | None:
        """What the process really holds per device now; None when it is gone. Model files count once."""
        ...


class RunnerSettings(msgspec.Struct, kw_only=True):
    """What a runner is built with. ``limits`` and the bounds of engines' logs may be replaced at any time: engines that
    run already keep to what stands here then."""

    limits: LimitSettings
    logs: Path
    state: Path
    cache: Path
    log_max_bytes: int = 10 * 2**20
    log_keep: int = 3

    def configure(self, limits: LimitSettings, log: LogSettings) -> None:
        """Take other bounds from now on."""
        self.limits, self.log_max_bytes, self.log_keep = limits, log.max_size, log.keep
