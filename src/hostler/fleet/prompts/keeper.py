"""Prompts that survive their engine: the shelf of saved slots, its bounds, and what is told of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

import anyio
import anyio.to_thread
import msgspec

from hostler import log
from hostler.clock import Clock
from hostler.config.quantities import format_bytes
from hostler.config.settings import KvSettings
from hostler.engines.protocol import LoadSpec
from hostler.events import Bus, PromptCacheProblem
from hostler.fleet.prompts.entries import Entry
from hostler.fleet.prompts.figures import Figures
from hostler.fleet.prompts.shelf import Draft, Shelf
from hostler.fleet.prompts.tenants import Tenancy
from hostler.fleet.prompts.worth import LEAST_TOKENS, leaving
from hostler.fleet.protocol import Conversation
from hostler.store.watching import trouble_in
from hostler.wire.caching import CacheCleared, CacheSettings, CacheStatus, SavedPrompt

T = TypeVar("T")
Job = Callable[[], Coroutine[object, object, None]]

#: What can fail: our folder, the file of figures, an engine that writes its slots, the room for what it writes.
Part = Literal["folder", "figures", "engine", "budget"]

FOLDER = "prompts"
SLOTS = "slots"  # where engines write, a folder for each instance; see hostler.engines.llamacpp

LARGEST = 30 * 2**30
SHARE = 4  # of what is free

SWEEP_S = 3600.0
SETTLE_S = 5.0  # for describing what was saved when the gateway ends


class Keeper:
    """Everything that is shared by the instances. All methods are called on the event loop's thread.

    A folder that cannot be read or written stops nothing: nothing is saved, which is told once.
    """

    def __init__(
        self, state: Path, settings: Callable[[], KvSettings], tenancy: Tenancy, bus: Bus, clock: Clock
    ) -> None:
        self._shelf = Shelf(state / FOLDER)
        self._slots = state / SLOTS
        self._tried: dict[Part, Path] = {"folder": self._shelf.folder, "figures": state}
        self._settings = settings
        self._bus = bus
        self._disk = anyio.Lock()
        self._jobs: deque[Job] = deque()
        self._nudge = anyio.Event()
        self._settled: anyio.Event | None = None  # while a job is pending
        self._opened = False
        self._ready: dict[str, Job] = {}
        self._problems: dict[Part, str] = {}
        self._misfit = 0
        self._unasked: set[str] = set()
        #: Which conversation is in a file, as long as the gateway runs.
        self.conversations: dict[str, Conversation] = {}
        self.tenancy = tenancy
        self.clock = clock
        self.figures = Figures(state)

    @property
    def on(self) -> bool:
        """Whether anything is saved or restored."""
        return self._settings().persist

    def slot_folder(self, spec: LoadSpec) -> Path:
        """Where the engine of ``spec`` reads and writes slots."""
        return self._slots / spec.instance

    async def tend(self) -> None:
        """Do what can be done later, and keep the bounds now and every hour, until cancelled."""
        while True:
            await self.sweep()
            with anyio.move_on_after(SWEEP_S):
                while True:
                    await self._work_off()
                    await self._nudge.wait()

    async def _work_off(self) -> None:
        while self._jobs:
            job = self._jobs.popleft()
            try:
                await job()
            except Exception as bug:  # noqa: BLE001 - the edge of a job: a bug in one must not end the gateway
                log.bug("prompts.job_failed", bug)
        self._nudge = anyio.Event()
        if self._settled is not None:
            self._settled.set()
            self._settled = None

    def later(self, job: Job) -> None:
        """Let :meth:`tend` do ``job`` after those before it."""
        self._jobs.append(job)
        self._settled = self._settled or anyio.Event()
        self._nudge.set()

    async def settled(self) -> None:
        """Return when every job is done. Unbounded: the caller bounds it."""
        if self._settled is not None:
            await self._settled.wait()

    async def on_disk(self, call: Callable[[Shelf], T], *, proves: bool = False) -> T | None:
        """``call`` with the open shelf, in a thread, one at a time; None when the disk did not let it.

        ``proves``: it writes, so that its success shows that the folder works again.
        """
        async with self._disk:
            try:
                if not self._opened:
                    broken = await anyio.to_thread.run_sync(self._shelf.open)
                    self._opened = proves = True
                    self.dropped(broken, "their description or file was broken")
                done = await anyio.to_thread.run_sync(call, self._shelf)
            except OSError as error:
                self.unavailable("folder", f"{self._shelf.folder}: {error.strerror or error}")
                return None
        if proves:
            self.available("folder")
        return done

    @contextmanager
    def measuring(self, profile: str) -> Iterator[None]:
        """Loads of ``profile`` are measured meanwhile: nothing is restored for nobody, which would count as theirs."""
        self._unasked.add(profile)
        try:
            yield
        finally:
            self._unasked.discard(profile)

    def measured(self, profile: str) -> bool:
        """Whether loads of it are :meth:`measuring`."""
        return profile in self._unasked

    def ready(self, instance: str, save: Job) -> None:
        """An instance has something in its slots that ``save`` writes; until :meth:`gone`."""
        self._ready[instance] = save

    def gone(self, instance: str) -> None:
        """That instance stops, or is gone."""
        self._ready.pop(instance, None)

    async def save_all(self) -> None:
        """Save what every instance holds, all at the same time, because the gateway ends; bounded."""
        async with anyio.create_task_group() as group:
            for instance in list(self._ready):
                group.start_soon(self._ready.pop(instance))
        with anyio.move_on_after(SETTLE_S):
            await self.settled()

    async def budget(self) -> int:
        """Bytes that may be kept; 0 when the folder cannot be used."""
        return await self.on_disk(self._budget) or 0

    async def takes(self, size: int) -> bool:
        """Whether a prompt of so many bytes may be kept, if need be alone; told when it is the first that may not."""
        budget = await self.budget()
        if size <= budget:
            if self._misfit <= budget:
                self.available("budget")
            return True
        self._misfit = size
        if budget:  # with nothing, somebody wants it so, or the folder fails
            share = "" if self._settings().budget else ", a quarter of what is free"
            most = f"{format_bytes(budget)} may be kept in all{share}"
            self.unavailable("budget", f"a prompt takes about {format_bytes(size)}, and {most}")
        return False

    def _budget(self, shelf: Shelf) -> int:
        wanted = self._settings().budget
        return wanted if wanted is not None else min(LARGEST, (shelf.free() + shelf.total) // SHARE)

    async def seal(self, drafts: Sequence[Draft]) -> list[Entry]:
        """Describe what was just written, and let the least useful go for it."""
        sealed = [
            entry
            for draft in drafts
            if (entry := await self.on_disk(lambda shelf, d=draft: shelf.seal(d), proves=True))  # type: ignore[misc]
        ]
        self.figures.add("saved", len(sealed))
        await self.sweep()
        await self.remember()
        return sealed

    async def sweep(self) -> None:
        """Remove what is too old, and the least useful of what is too much; everything when nothing is kept."""

        def swept(shelf: Shelf) -> set[str]:
            settings = self._settings()
            age_s = settings.age if settings.persist else -1.0
            shelf.drop(leaving(shelf.entries, self.clock.wall(), self._budget(shelf), age_s))
            return {entry.id for entry in shelf.entries}

        kept = await self.on_disk(swept)
        if kept is not None:
            self.conversations = {name: each for name, each in self.conversations.items() if name in kept}

    async def drop(self, entry: Entry, reason: str) -> None:
        """Remove a file that is of no use, and tell."""
        await self.on_disk(lambda shelf: shelf.drop([entry]))
        self.dropped(1, reason, entry.profile)

    async def used(self, name: str, spared_s: float) -> None:
        """A request went on from what was restored."""
        now = self.clock.wall()

        def noted(shelf: Shelf) -> None:
            if entry := shelf.get(name):
                hits, saved_s = entry.hits + 1, entry.saved_s + spared_s
                shelf.put(msgspec.structs.replace(entry, used_at=now, hits=hits, saved_s=saved_s))

        await self.on_disk(noted)
        await self.remember()

    async def remember(self) -> None:
        """Write the figures."""
        try:
            await anyio.to_thread.run_sync(self.figures.save)
        except OSError as error:
            self.unavailable("figures", f"the figures could not be written: {error.strerror or error}")
        else:
            self.available("figures")

    def dropped(self, files: int, reason: str, profile: str = "") -> None:
        if files:
            self._bus.publish(PromptCacheProblem(what="dropped", reason=reason, profile=profile, files=files))

    def unavailable(self, part: Part, reason: str) -> None:
        """A part fails, so that nothing can be saved; told when it begins."""
        if part not in self._problems:
            self._bus.publish(PromptCacheProblem(what="unavailable", reason=reason))
        self._problems[part] = reason

    def available(self, part: Part) -> None:
        """That part works, maybe again."""
        self._problems.pop(part, None)

    @property
    def problem(self) -> str:
        """Why nothing can be saved, or "". What a `budget` that somebody set keeps out is as they want it."""
        meant = {"budget"} if self._settings().budget is not None else set()
        return "; ".join(reason for part, reason in self._problems.items() if part not in meant) if self.on else ""

    def try_again(self) -> None:
        """See whether what could not be written can be now. Blocking."""
        for part, folder in self._tried.items():
            if part in self._problems and not trouble_in(folder):
                self.available(part)

    def unsupported(self, engine: str, profile: str, reason: str) -> None:
        """That engine will never do it; told once."""
        if not self.figures.support(engine).abandoned:
            self.given_up(profile, reason)
        self.figures.refused(engine, reason)

    def given_up(self, profile: str, reason: str) -> None:
        """Nothing more is saved with the engine of that profile."""
        self._bus.publish(PromptCacheProblem(what="unsupported", reason=reason, profile=profile))

    def count(self, profile: str) -> int:
        """How many prompts are kept of that profile."""
        return sum(1 for entry in self._shelf.entries if entry.profile == profile)

    async def status(self) -> CacheStatus:
        """What is kept and what it brought, the most recently used first."""
        await self.sweep()
        budget = await self.budget()
        entries = sorted(self._shelf.entries, key=lambda entry: entry.used_at, reverse=True)
        figures, rates = self.figures, self.figures.rates
        return CacheStatus(
            persist=self.on,
            bytes=sum(entry.bytes for entry in entries),
            budget=budget,
            prompts=tuple(_shown(entry) for entry in entries),
            saved=round(figures.total("saved")),
            restored=round(figures.total("restored")),
            used=round(figures.total("used")),
            saved_s=figures.total("saved_s"),
            save_bytes_per_s=rates.save,
            restore_bytes_per_s=rates.restore,
            problem="; ".join(self._problems.values()),
            abandoned=figures.abandoned(),
        )

    async def clear(self, profile: str | None = None) -> CacheCleared:
        """Remove all, or what one profile saved; engines that were given up are tried again."""

        def cleared(shelf: Shelf) -> CacheCleared:
            gone = [entry for entry in shelf.entries if profile in (None, entry.profile)]
            shelf.drop(gone)
            return CacheCleared(prompts=len(gone), bytes=sum(entry.bytes for entry in gone))

        done = await self.on_disk(cleared)
        if profile is None:
            self.figures.forget_support()
            await self.remember()
        return done or CacheCleared(prompts=0, bytes=0)

    async def settings(self) -> CacheSettings:
        """What is in force."""
        return CacheSettings(
            persist=self.on,
            budget=await self.budget(),
            age_s=self._settings().age,
            least_tokens=LEAST_TOKENS,
            folder=str(self._shelf.folder),
        )


def _shown(entry: Entry) -> SavedPrompt:
    return SavedPrompt(
        id=entry.id,
        profile=entry.profile,
        tenant=entry.tenant.partition(" ")[0],
        tokens=entry.tokens,
        bytes=entry.bytes,
        saved_at=entry.saved_at,
        used_at=entry.used_at,
        computing_s=entry.computing_s,
        hits=entry.hits,
        saved_s=entry.saved_s,
    )
