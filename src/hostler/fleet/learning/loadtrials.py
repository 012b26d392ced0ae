"""Compares ways to load a profile's files, on this disk and with this build, by loading it in each of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

import anyio
import anyio.abc
import anyio.to_thread
import msgspec

from hostler import log
from hostler.clock import Clock
from hostler.config.settings import LoadMode, Profile
from hostler.engines.prefetch import fill, forget
from hostler.errors import Conflict, Draining, HostlerError
from hostler.fleet.learning.loadmodes import LoadModes, quickest, size_class
from hostler.fleet.protocol import Fleet
from hostler.hardware.disks import disk_of
from hostler.models.facts import Model
from hostler.wire.loading import ChosenMode, LoadComparison, LoadModeStatus, ModeFigures, ModeLoad

MODES: Final[tuple[LoadMode, ...]] = ("mmap", "read", "direct")
#: Other programs make some loads slow: the better of two counts, where the first round took no longer than this.
QUICK_S: Final = 60.0


Measuring = Callable[[str], AbstractContextManager[object]]


class Subject(msgspec.Struct, frozen=True):
    """A profile's model, and the key of the build that runs it."""

    model: Model
    build: str


class LoadTrials:
    """Compares profiles by their own names, one at a time. ``subject`` raises why a profile cannot be compared; it is
    called in a thread, and may know the build only when it has been loaded. Loads within ``measuring`` a profile do
    nothing but load."""

    def __init__(
        self, fleet: Fleet, modes: LoadModes, clock: Clock, subject: Callable[[str], Subject], measuring: Measuring
    ) -> None:
        self._fleet = fleet
        self._modes = modes
        self._clock = clock
        self._subject = subject
        self._measuring = measuring
        self._known: dict[str, LoadComparison] = {}
        self._comparing = ""
        self._tasks: anyio.abc.TaskGroup | None = None

    async def run(self) -> None:
        """Hold what was begun with :meth:`begin`, until cancelled."""
        async with anyio.create_task_group() as self._tasks:
            await anyio.sleep_forever()

    def status(self) -> LoadModeStatus:
        """What was chosen, and the latest comparison of each profile."""
        return LoadModeStatus(chosen=self._modes.chosen(), comparisons=tuple(self._known.values()))

    def begin(self, profile: str) -> LoadComparison:
        """Compare in the background; a comparison of it that runs is joined. Raises Conflict or Draining."""
        if self._comparing == profile:
            return self._known[profile]
        if self._tasks is None:
            raise Draining("The gateway stops.")
        begun = self._begun(profile)
        self._tasks.start_soon(self._behind, profile)
        return begun

    async def compare(self, profile: str) -> LoadComparison:
        """Load ``profile`` in each mode, cold and warm, and choose; running requests finish first. It stays loaded.

        Raises Conflict, or why it cannot be loaded.
        """
        self._begun(profile)
        return await self._compared(profile)

    def _begun(self, profile: str) -> LoadComparison:
        if self._comparing:
            raise Conflict(f"Load modes of {self._comparing!r} are being compared.", hint="Try again when it is done.")
        self._comparing = profile
        return self._keep(LoadComparison(profile=profile, state="running", at=self._clock.wall()))

    async def _compared(self, profile: str) -> LoadComparison:
        begun = self._known[profile]
        try:
            subject = await anyio.to_thread.run_sync(self._subject, profile)
            with self._measuring(profile):
                figures, dropped = await self._measured(profile, subject.model)
            subject = await anyio.to_thread.run_sync(self._subject, profile)
            return self._keep(await self._chosen(begun, subject, figures, dropped))
        except HostlerError as error:
            self._keep(msgspec.structs.replace(begun, state="failed", reason=error.message, code=error.code))
            raise
        except BaseException:
            self._keep(msgspec.structs.replace(begun, state="failed", reason="It was given up.", code="cancelled"))
            raise
        finally:
            self._modes.try_out(profile, None)
            self._comparing = ""

    async def _measured(self, profile: str, model: Model) -> tuple[list[ModeFigures], bool]:
        """Figures of each mode, and whether files could be dropped from the page cache."""
        began, dropped = self._clock.monotonic(), True
        best: dict[LoadMode, ModeFigures] = {}
        for order in (MODES, MODES[::-1]):
            if best and self._clock.monotonic() - began > QUICK_S:
                break
            for mode in order:
                self._modes.try_out(profile, mode)
                await self._fleet.unload(profile)
                dropped = await anyio.to_thread.run_sync(forget, model.files) and dropped
                cold = await self._load(profile, model)
                await self._fleet.unload(profile)
                await anyio.to_thread.run_sync(fill, model.files)
                found = ModeFigures(mode=mode, cold=cold, warm=await self._load(profile, model))
                best[mode] = better(best[mode], found) if mode in best else found
        return list(best.values()), dropped

    async def _load(self, profile: str, model: Model) -> ModeLoad:
        began = self._clock.monotonic()
        await self._fleet.load(profile)
        took_s = self._clock.monotonic() - began
        held = next((each.bytes for each in self._fleet.instances() if each.profile == profile), {})
        return ModeLoad(load_s=took_s, gb_per_s=model.size / took_s / 1e9 if took_s else 0.0, held=dict(held))

    async def _chosen(
        self, begun: LoadComparison, subject: Subject, figures: list[ModeFigures], dropped: bool
    ) -> LoadComparison:
        """Choose, remember it, and leave the profile loaded as it will be."""
        mode, why = quickest(figures)
        model, at = subject.model, self._clock.wall()
        disk, kind = await anyio.to_thread.run_sync(disk_of, model.path), size_class(model.size)
        self._modes.choose(
            model, ChosenMode(disk=disk, build=subject.build, size_class=kind, mode=mode, why=why, at=at)
        )
        await anyio.to_thread.run_sync(self._save)
        self._modes.try_out(begun.profile, None)
        await self._fleet.unload(begun.profile)
        await self._fleet.load(begun.profile)
        return msgspec.structs.replace(
            begun,
            state="done",
            bytes=model.size,
            disk=disk,
            build=subject.build,
            size_class=kind,
            dropped=dropped,
            modes=tuple(figures),
            chosen=mode,
            why=why,
        )

    def _save(self) -> None:
        try:
            self._modes.save()
        except OSError as error:
            log.warning("load_modes.not_saved", reason=str(error))

    async def _behind(self, profile: str) -> None:
        try:
            await self._compared(profile)
        except HostlerError as error:
            log.warning("load_modes.failed", profile=profile, code=error.code, reason=error.message)
        except Exception as bug:  # noqa: BLE001 - nobody waits for it, and it must not end the gateway
            log.bug("load_modes.bug", bug, profile=profile)

    def _keep(self, told: LoadComparison) -> LoadComparison:
        self._known.pop(told.profile, None)
        self._known[told.profile] = told
        return told


def not_loaded_by_us(name: str, profile: Profile) -> Conflict:
    """Why there are no load modes of it to compare."""
    if profile.engine.kind == "remote":
        return Conflict(f"{name!r} runs elsewhere: it has no files here to load.")
    return Conflict(f"{name!r} runs a program of its own, which loads its files as it likes.")


def better(first: ModeFigures, second: ModeFigures) -> ModeFigures:
    """The quicker cold and the quicker warm load of the same mode."""
    cold, warm = (min(pair, key=lambda load: load.load_s) for pair in zip(_both(first), _both(second), strict=True))
    return ModeFigures(mode=first.mode, cold=cold, warm=warm)


def _both(figures: ModeFigures) -> tuple[ModeLoad, ModeLoad]:
    return figures.cold, figures.warm
