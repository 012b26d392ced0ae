"""One instance's part: what it was used for, saving its slots before it stops, restoring them when it is ready."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from hostler.engines.protocol import Endpoint, LoadSpec
from hostler.engines.talking import slotfiles
from hostler.engines.talking.slotfiles import SlotRefused, SlotState
from hostler.events import Bus, PromptCache
from hostler.fleet.prompts.entries import Entry, resumes
from hostler.fleet.prompts.keeper import Keeper
from hostler.fleet.prompts.keys import engine_of, key_of
from hostler.fleet.prompts.shelf import Draft
from hostler.fleet.prompts.slots import Slots
from hostler.fleet.prompts.worth import LEAST_TOKENS, bringing_s, computing_s, pays, saving_s
from hostler.fleet.protocol import Conversation, Place, Timing

#: A switch waits at most this long for prompts to be written, and a first request for them to be read.
SAVE_S = 2.0
RESTORE_S = 10.0

#: Bytes of one token's keys and values where nothing was saved yet; only for deciding whether there is time.
GUESS = 64 * 1024

_ENOUGH = 64  # prompt tokens that tell how quick an engine reads


class Seat:
    """See the module. A failure of any kind costs the prompts, never the instance; all waits are bounded here."""

    def __init__(self, keeper: Keeper, bus: Bus, spec: LoadSpec) -> None:
        self._keeper = keeper
        self._bus = bus
        self._spec = spec
        self._engine = engine_of(spec)
        self._slots = Slots(spec.slots)
        self._key = ""
        self._deepest = 0
        self._missed = False
        self._written: dict[str, Conversation] = {}  # by the name of its file
        self._waiting: dict[str, Entry] = {}  # restored, and not yet seen to be used

    # --- while it runs ----------------------------------------------------------------------------------

    def tenant(self, principal: str) -> str:
        """Whose words a request of that principal brings: asked once, since keys may change while it runs."""
        return self._keeper.tenancy.of(principal)

    def enter(self, tenant: str, conversation: Conversation | None) -> Place | None:
        """A request of that tenant is let in: where it goes. None: the engine is to be told nothing.

        ``conversation`` is None where it cannot be told.
        """
        llamacpp = self._spec.engine.kind == "llamacpp"
        return self._slots.enter(tenant, conversation if llamacpp else None)

    @property
    def unused(self) -> bool:
        """Whether its slots hold nothing of anybody."""
        return self._slots.empty

    def left(self, place: Place | None) -> None:
        """A request is out of the slot that it was sent to."""
        self._slots.leave(place)

    def finished(self, tenant: str, timing: Timing, place: Place | None = None) -> None:
        """The engine told what a request took; whether it went on from what was restored shows here."""
        self._slots.finished(tenant, place)
        self._deepest = max(self._deepest, timing.cached + timing.prompt + timing.generated)
        if timing.prompt >= _ENOUGH and timing.prefill and self._key:
            self._keeper.figures.read(self._key, timing.prefill)
        if not self._waiting:
            return
        served = self._served(timing.cached)
        if served is None:
            self._missed = True
            return
        del self._waiting[served.id]
        spared_s = self._spared(served, timing)
        self._keeper.later(lambda: self._keeper.used(served.id, spared_s))

    def _served(self, cached: int) -> Entry | None:
        fitting = [entry for entry in self._waiting.values() if 2 * cached >= entry.tokens]
        return min(fitting, key=lambda entry: abs(entry.tokens - cached), default=None)

    def _spared(self, served: Entry, timing: Timing) -> float:
        spared_s = computing_s(timing.cached, served.tokens / served.computing_s if served.computing_s else None)
        figures = self._keeper.figures
        figures.add("used", 1)
        figures.add("saved_s", spared_s)
        figures.worked(self._engine)
        self._tell("used", [served.tokens], timing.cached, served.bytes, spared_s)
        return spared_s

    def _tell(self, action: str, slots: Sequence[int], tokens: int, size: int, seconds: float) -> None:
        spec = self._spec
        self._bus.publish(
            PromptCache(
                action=action,  # type: ignore[arg-type]
                instance=spec.instance,
                profile=spec.profile,
                slots=len(slots),
                tokens=tokens,
                bytes=size,
                seconds=seconds,
            )
        )

    # --- before it stops --------------------------------------------------------------------------------

    def gone(self) -> None:
        """The engine stops, or is gone: there is nothing to be saved by others any more."""
        self._keeper.gone(self._spec.instance)

    @property
    def worth_saving(self) -> bool:
        """Whether there may be something to save; costs nothing."""
        if self._deepest < LEAST_TOKENS or not self._key or not self._keeper.on:
            return False
        return not self._keeper.figures.support(self._engine).abandoned and self._slots.owned

    def bringing_s(self, timing: Timing) -> float | None:
        """Seconds to have the conversation of an answer again after a switch; None when that is not known."""
        redo_s = timing.redo_s
        if redo_s is None or not self.worth_saving:
            return redo_s
        size = self._keeper.figures.size(self._key, timing.cached + timing.prompt + timing.generated, GUESS)
        return bringing_s(redo_s, size, self._keeper.figures.rates, SAVE_S)

    async def save(self, endpoint: Endpoint) -> None:
        """Write the slots that are worth it, in at most :data:`SAVE_S`; the rest is done when the engine is gone."""
        self.gone()
        if not self.worth_saving:
            return
        drafts: list[Draft] = []
        began = self._keeper.clock.monotonic()
        with anyio.move_on_after(SAVE_S):
            try:
                for slot in await self._worth(endpoint):
                    left_s = SAVE_S - (self._keeper.clock.monotonic() - began)
                    if (draft := await self._write(endpoint, slot, left_s)) is not None:
                        drafts.append(draft)
            except SlotRefused as error:
                self._refused(error, "save")
            except OSError as error:
                self._keeper.unavailable("engine", str(error))
        if drafts:
            took_s = self._keeper.clock.monotonic() - began
            self._tell("saved", [d.tokens for d in drafts], sum(d.tokens for d in drafts), _total(drafts), took_s)
            self._keeper.later(lambda: self._seal(drafts))

    async def _worth(self, endpoint: Endpoint) -> list[SlotState]:
        """Idle slots with enough in them, the fullest first."""
        found = [
            slot
            for slot in await slotfiles.states(endpoint)
            if slot.n_prompt_tokens >= LEAST_TOKENS and not slot.is_processing
        ]
        return sorted(found, key=lambda slot: slot.n_prompt_tokens, reverse=True)

    async def _write(self, endpoint: Endpoint, slot: SlotState, left_s: float) -> Draft | None:
        keeper, figures, tenant = self._keeper, self._keeper.figures, self._slots.owner(slot.id)
        size = figures.size(self._key, slot.n_prompt_tokens, GUESS)
        if tenant is None or saving_s(size, figures.rates) > left_s or not await keeper.takes(size):
            return None
        began, name = keeper.clock.monotonic(), f"{slot.id}.save"
        written = await slotfiles.save(endpoint, slot.id, name)
        took_s = keeper.clock.monotonic() - began
        file = await keeper.on_disk(lambda shelf: shelf.adopt(keeper.slot_folder(self._spec) / name))
        if file is None:
            return None
        if written.n_saved < LEAST_TOKENS or file.stat().st_size != written.n_written:
            file.unlink(missing_ok=True)
            if not written.n_written:
                keeper.unavailable("engine", "an engine could not write its slot; the disk may be full")
            return None
        keeper.available("engine")
        figures.moved("save", written.n_written, took_s)
        figures.sized(self._key, written.n_written, written.n_saved)
        self._written[file.stem] = self._slots.conversation(slot.id)
        return self._draft(file, tenant, written)

    def _draft(self, file: Path, tenant: str, written: slotfiles.Written) -> Draft:
        return Draft(
            file=file,
            key=self._key,
            tenant=tenant,
            profile=self._spec.profile,
            tokens=written.n_saved,
            bytes=written.n_written,
            saved_at=self._keeper.clock.wall(),
            computing_s=computing_s(written.n_saved, self._keeper.figures.prefill(self._key) or self._predicted()),
        )

    def _predicted(self) -> float | None:
        """Prompt tokens per second as planned, where the engine's answers do not tell."""
        speeds = self._spec.plan.speeds
        return speeds[-1].prefill.value if speeds else None

    async def _seal(self, drafts: Sequence[Draft]) -> None:
        sealed = await self._keeper.seal(drafts)
        self._keeper.conversations.update({entry.id: self._written[entry.id] for entry in sealed})
        for missed in self._waiting.values():
            if self._missed and any(resumes(entry, missed) for entry in sealed):
                self._failed()
        await self._keeper.remember()

    def _failed(self) -> None:
        """A conversation went on, the engine had been given what it needed for that, and did not use it."""
        figures = self._keeper.figures
        before = figures.support(self._engine).abandoned
        figures.failed(self._engine)
        now = figures.support(self._engine).abandoned
        if now and not before:
            self._keeper.given_up(self._spec.profile, now)

    def _refused(self, error: SlotRefused, what: str) -> None:
        if error.unsupported:
            self._keeper.unsupported(self._engine, self._spec.profile, str(error))
        elif what == "save":
            self._keeper.unavailable("engine", f"an engine could not write its slot: {error}")

    # --- when it is ready -------------------------------------------------------------------------------

    async def restore(self, endpoint: Endpoint, argv: Sequence[str], waiting: Collection[str]) -> None:
        """Give the engine back what its slots held, for the tenants who wait (or the only one there is).

        Each has slots of its own; does nothing for more tenants than there are slots: nobody's prompt is put where
        another one's request comes next.
        """
        try:
            self._key = await anyio.to_thread.run_sync(key_of, self._spec, argv)
        except OSError:
            return
        tenants = self._tenants(waiting)
        usable = self._spec.task in ("chat", "completion") and self._keeper.on and bool(self._key)
        if not usable or self._keeper.figures.support(self._engine).abandoned:
            return
        self._keeper.ready(self._spec.instance, partial(self.save, endpoint))
        if not tenants:
            return
        with anyio.move_on_after(RESTORE_S):
            await self._keeper.settled()
            try:
                await self._restore_for(endpoint, tenants)
            except OSError as error:
                self._keeper.unavailable("folder", str(error))

    def _tenants(self, waiting: Collection[str]) -> list[str]:
        tenants = sorted({self._keeper.tenancy.of(principal) for principal in waiting})
        if not tenants and self._keeper.measured(self._spec.profile):
            return []
        if not tenants and (only := self._keeper.tenancy.only()) is not None:
            return [only]
        return tenants if len(tenants) <= self._spec.slots else []

    async def _restore_for(self, endpoint: Endpoint, tenants: Sequence[str]) -> None:
        keeper, began = self._keeper, self._keeper.clock.monotonic()
        share = self._spec.slots // len(tenants)
        for number, tenant in enumerate(tenants):
            await self._restore_slots(endpoint, tenant, range(number * share, (number + 1) * share))
        if entries := list(self._waiting.values()):
            keeper.figures.add("restored", len(entries))
            took_s = keeper.clock.monotonic() - began
            self._tell("restored", [e.tokens for e in entries], sum(e.tokens for e in entries), _size(entries), took_s)

    async def _restore_slots(self, endpoint: Endpoint, tenant: str, slots: Iterable[int]) -> None:
        keeper = self._keeper
        found = await keeper.on_disk(lambda shelf: shelf.find(self._key, tenant)) or []
        paying = [entry for entry in found if pays(entry, keeper.figures.rates)]
        for slot, entry in zip(slots, paying, strict=False):
            # Before anything can be in a slot: an answer that never comes must not make it nobody's.
            self._slots.restored(slot, tenant, keeper.conversations.get(entry.id))
            try:
                if await self._read(endpoint, slot, entry):
                    self._waiting[entry.id] = entry
            except SlotRefused as error:
                self._refused(error, "restore")
                await keeper.drop(entry, f"the engine did not take it: {error}")

    async def _read(self, endpoint: Endpoint, slot: int, entry: Entry) -> bool:
        """Whether the slot holds it now. Raises SlotRefused."""
        keeper, name = self._keeper, f"{slot}.restore"
        if not await keeper.on_disk(lambda shelf: shelf.intact(entry)):
            await keeper.drop(entry, "its checksum is wrong")
            return False
        target = keeper.slot_folder(self._spec) / name
        await keeper.on_disk(lambda shelf: shelf.lend(entry, target))
        try:
            began = keeper.clock.monotonic()
            read = await slotfiles.restore(endpoint, slot, name)
            keeper.figures.moved("restore", entry.bytes, keeper.clock.monotonic() - began)
        finally:
            target.unlink(missing_ok=True)
        if read.n_restored == entry.tokens:
            return True
        await slotfiles.erase(endpoint, slot)
        await keeper.drop(entry, f"the engine took {read.n_restored} of {entry.tokens} tokens")
        return False


def _total(drafts: Sequence[Draft]) -> int:
    return sum(draft.bytes for draft in drafts)


def _size(entries: Sequence[Entry]) -> int:
    return sum(entry.bytes for entry in entries)
