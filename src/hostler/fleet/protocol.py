"""What the rest of Hostler may ask the fleet.

The fleet has one owner; these calls are messages to it. They run on the event loop's thread and change
state only inside the owner. Names have been resolved to profiles before they come here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from hostler.config.sampling import Effort, RequestSettings, SamplingSettings
from hostler.config.settings import Ability, Priority, Profile, Speaks, Task
from hostler.engines.protocol import Endpoint
from hostler.errors import EngineLost, HostlerError, UnknownProfile
from hostler.events import InstanceState
from hostler.fleet.learning.defects import UNKNOWN, Defect
from hostler.models.facts import GgufFacts, Model
from hostler.models.reasoning import Thinking
from hostler.wire.management import Instance, Parked, RequestInFlight

#: What an engine was doing when it was hung up on: nothing heard yet (prefill, or not streamed), or a stream.
Abandoned = Literal["silent", "streaming"]


class Timing(msgspec.Struct, frozen=True):
    """What an engine says of one request: tokens that were cached, read and generated; milliseconds for these two."""

    cached: int
    prompt: int
    prompt_ms: float
    generated: int
    generated_ms: float

    @property
    def decode(self) -> float | None:
        """Generated tokens per second; the engine's clock starts when the first is there, which does not count."""
        steps = self.generated - 1
        return 1e3 * steps / self.generated_ms if steps > 0 and self.generated_ms > 0 else None

    @property
    def prefill(self) -> float | None:
        """Prompt tokens per second; None for a prompt that came from the cache."""
        return 1e3 * self.prompt / self.prompt_ms if self.prompt > 1 and self.prompt_ms > 0 else None

    @property
    def redo_s(self) -> float | None:
        """Seconds that reading the whole conversation again would take; None when nothing was read now."""
        speed = self.prefill
        return None if speed is None else (self.cached + self.prompt + self.generated) / speed

    @property
    def decode_depth(self) -> int:
        """Tokens in the cache in the middle of the answer."""
        return self.cached + self.prompt + self.generated // 2

    @property
    def prefill_depth(self) -> int:
        """Tokens in the cache in the middle of the prompt."""
        return self.cached + self.prompt // 2


class Conversation(msgspec.Struct, frozen=True):
    """How a request's conversation is recognised: a name that its client gave it, and a mark for each of its messages,
    of everything up to its end. ``size`` is theirs in bytes."""

    key: str = ""
    marks: tuple[int, ...] = ()
    size: int = 0


class Place(msgspec.Struct, frozen=True):
    """Which of its engine's slots a request goes to, -1 for any; ``fresh``: without what is in it."""

    slot: int
    fresh: bool


class Standing(msgspec.Struct, frozen=True):
    """Where a waiting request stands: place in the line for its profile (from 1), load stage, fraction (0 to 1,
    estimated), seconds that it has waited, and about how many more."""

    position: int
    stage: str
    fraction: float | None
    elapsed_s: float
    wait_s: float | None = None


class Lease(Protocol):
    """One request's right to use one instance, from grant to last byte."""

    request: str
    profile: str
    instance: str
    endpoint: Endpoint
    queue_ms: float
    load_ms: float
    #: None when the engine is to be told nothing of slots.
    place: Place | None
    #: Set before the `on_cancel` callback when an operator cancelled; False there means that the engine is lost.
    cancelled: bool
    #: Whether the engine may compute for others at the same time.
    beside: bool
    #: Why the engine was lost, set like `cancelled`; None when that is not known.
    lost: EngineLost | None

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` (at most once) when an operator cancels the request or the engine is lost."""
        ...

    def measured(self, tokens_per_s: float, timing: Timing | None = None) -> None:
        """Tell the generation speed that the engine reported for this request, and all of its timing if it did."""
        ...

    def timed(self, timing: Timing) -> None:
        """Tell what the engine said of this request, however short it was."""
        ...

    def doubt(self) -> None:
        """Tell, before the end, that the engine broke the connection: nothing is granted on its instance until it was
        seen alive, or is gone. So who asks again at once waits in line for that."""
        ...

    async def why(self, within_s: float) -> EngineLost | None:
        """Why the engine was lost, as its log and its end show: as soon as that is known, None when it is not within
        ``within_s`` seconds. Of a remote nothing is ever known."""
        ...

    def end(self, status: int, *, abandoned: Abandoned | None = None) -> None:
        """Give the instance back; later calls do nothing.

        ``abandoned`` says that the engine was hung up on before its last byte: the fleet then watches
        until the slot is really free and recycles the engine if it never is.
        """
        ...


class Ticket(Protocol):
    """A request's place in line; becomes a lease or an error."""

    #: Where it stood when it joined, from 1; 0 for one that was served at once.
    place: int

    async def wait(self) -> Lease:
        """The lease. Raises the refusal (a HostlerError). Cancelling the wait leaves the line."""
        ...

    def standing(self) -> Standing:
        """Where it stands now."""
        ...

    def leave(self) -> None:
        """Leave the line; a load that only this ticket wanted is not started. Idempotent."""
        ...


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What one request asks of a profile. ``tokens`` (prompt and answer) is an estimate, ``context`` what the client
    wants to have room for, 0 where it does not say; ``suits`` says whether a profile does what the API wants at all."""

    suits: Callable[[Served], bool] = lambda _: True
    tokens: int = 0
    context: int = 0
    abilities: frozenset[Ability] = frozenset()


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What the request path needs of a profile; looked up once per request.

    ``called`` is what its program or its remote calls the model, None where the client's word will do. ``slots`` is how
    many requests its engine answers at once. ``notes``: a chat stream that waits hears in its reasoning field where it
    stands. ``speaks`` is the API of a remote, which has that one alone; None of an engine that runs here. ``choose`` is
    there when the client's name is an `auto` name: it gives the profile for one request's needs, and after it those to
    fall back to.
    """

    name: str
    task: Task
    embeddings: bool
    sampling: SamplingSettings
    context: int
    abilities: frozenset[Ability] = frozenset()
    called: str | None = None
    slots: int = 1
    notes: bool = False
    #: Its engine tells what a stream took; others have to be asked.
    counts: bool = True
    #: What need not be put right, because its engine is known to be right there.
    sound: frozenset[Defect] = UNKNOWN
    #: Lines of system prompts that change each time are left out.
    steady: bool = True
    #: Its chat template refuses two turns of one side in a row.
    alternates: bool = False
    #: What it is asked and answers is kept.
    capture: bool = False
    #: Pictures that are addresses are fetched for it.
    remote_images: bool = False
    speaks: Speaks | None = None
    choose: Callable[[Needs], tuple[Served, ...]] | None = None
    #: The preset whose sampling and reasoning these are; "" of none.
    preset: str = ""
    #: How much to reason when a request does not say.
    reasoning: Effort | None = None
    #: What its chat template understands of reasoning; None where nobody here knows.
    thinking: Thinking | None = None
    #: Fields of requests that are not the client's to say; None where all are.
    request: RequestSettings | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A profile as lists show it. ``origin`` is `config`, `auto`, or where its model was found.

    ``problem`` says why it cannot be loaded as it stands; the facts are then None.
    """

    name: str
    profile: Profile
    origin: str
    model: Model | None
    facts: GgufFacts | None
    task: Task | None
    context: int | None
    need: dict[str, int]
    problem: HostlerError | None


class Catalogue(Protocol):
    """Every profile that can be asked for: those in the config and one for each model that was found."""

    def resolve(self, name: str | None) -> Served:
        """The profile that a client's ``model`` means; None takes the default, else the most recent one.

        A few dictionary look-ups. Raises UnknownProfile with the nearest names.
        """
        ...

    async def refresh(self) -> None:
        """Look at the disk again, so that a model dropped in just now can be asked for by name.

        Call it when `resolve` knows no such name, then resolve again; calls in quick succession share a scan.
        """
        ...

    def entries(self) -> list[Entry]:
        """All profiles, hidden ones too: the config's in file order, then found models by name."""
        ...

    def default(self) -> str | None:
        """The profile that a request without ``model`` goes to now."""
        ...


async def found(catalogue: Catalogue, name: str) -> Served:
    """The profile that ``name`` means, if need be after another look at the disk; raises UnknownProfile."""
    try:
        return catalogue.resolve(name)
    except UnknownProfile:
        await catalogue.refresh()
        return catalogue.resolve(name)


class ProfileStanding(msgspec.Struct, frozen=True, kw_only=True):
    """What the fleet knows of a profile: the state of its instance, or why there is none.

    ``pin`` is what an operator said, None when nobody did; ``parked`` what is left of an instance that is gone.
    """

    state: InstanceState | Literal["unloaded"]
    reason: str = ""
    code: str = ""
    retry_in_s: float | None = None
    error: HostlerError | None = None
    load_s: float | None = None
    tokens_per_s: float | None = None
    waiting: int = 0
    pin: bool | None = None
    parked: Parked | None = None


class Fleet(Protocol):
    """The owner of all instances."""

    def lease_now(
        self, profile: str, request: str, principal: str, api: str, *, conversation: Conversation | None = None
    ) -> Lease | None:
        """The fast path: a lease if a ready instance has room and nobody waits before; else None.

        ``conversation`` is None where the engine cannot be told which slot to take.
        """
        ...

    def ask(
        self,
        profile: str,
        request: str,
        principal: str,
        api: str,
        *,
        priority: Priority | None = None,
        conversation: Conversation | None = None,
    ) -> Ticket:
        """Join the line for ``profile``, with its own priority or another. Raises QueueFull or Draining at once."""
        ...

    async def load(self, profile: str) -> None:
        """Make ``profile`` resident; also clears a failure. Raises why it cannot be. Joins a load in flight."""
        ...

    async def hold(self, profile: str, seconds: float, hold: str | None = None) -> str:
        """Make ``profile`` resident as :meth:`load` does and keep it for so long; the hold's name. What was loaded for
        it leaves with it. With ``hold`` an existing one is prolonged; raises NotFound when it is over."""
        ...

    async def end_hold(self, hold: str) -> str:
        """End a hold before its time; its profile. Returns when what was loaded for it is gone; raises NotFound."""
        ...

    def pin(self, profile: str, pin: bool) -> None:
        """Pin or unpin ``profile``, loaded or not, whatever its configuration says: until that changes, the gateway
        ends, or (pinned) it is unloaded on request."""
        ...

    async def unload(self, profile: str, *, now: bool = False) -> bool:
        """Drain and stop its instance; False when there is none. ``now`` cuts running requests off."""
        ...

    async def switch(self, profile: str, *, keep: bool = False) -> tuple[str, ...]:
        """Load ``profile``, then (unless ``keep``) drain and unload every other unpinned one; their names.

        Others leave first when the room is needed.
        """
        ...

    def cancel(self, request: str) -> bool:
        """Cancel a queued or running request; False when there is none of that id."""
        ...

    def instances(self) -> list[Instance]: ...

    def requests(self) -> list[RequestInFlight]: ...

    def profile(self, name: str) -> ProfileStanding: ...

    def recent(self) -> str | None:
        """The most recently used profile that still exists."""
        ...
