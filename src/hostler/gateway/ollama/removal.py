"""Removing a model's files from the library, as far as nobody else needs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio

from hostler.clock import Clock
from hostler.errors import Conflict, HomeError
from hostler.fleet.protocol import Catalogue, Entry, Fleet
from hostler.wire.audit import AuditRecord


class Removal:
    """The library in ``models``. Files that lie elsewhere are other programs', or the user's own: they stay."""

    def __init__(
        self, models: Path, catalogue: Catalogue, fleet: Fleet, note: Callable[[AuditRecord], None], clock: Clock
    ) -> None:
        self._models = models
        self._catalogue = catalogue
        self._fleet = fleet
        self._note = note
        self._clock = clock

    async def remove(self, entry: Entry, who: str) -> None:
        """Remove the files of a profile's model. Raises Conflict where they are not the library's, or in use."""
        files = self._files(entry)
        users = [
            one for one in self._catalogue.entries() if one.model is not None and set(files) & set(one.model.files)
        ]
        if named := next((user.name for user in users if user.origin == "config"), None):
            raise Conflict(f"hostler.toml has a profile {named!r} for it.", hint="Remove the profile first.")
        if loaded := next((user.name for user in users if self._fleet.profile(user.name).state != "unloaded"), None):
            raise Conflict(f"{loaded!r} is loaded.", hint="Unload it first (`hostler unload`).")
        status = 500
        try:
            await anyio.to_thread.run_sync(self._unlink, files)
            status = 200
        finally:
            record = AuditRecord(
                at=self._clock.wall(), who=who, via="api", action="delete model", target=entry.name, status=status
            )
            await anyio.to_thread.run_sync(self._note, record)

    def _files(self, entry: Entry) -> tuple[Path, ...]:
        """Of a link in the library the link is removed; a folder that is one leads elsewhere."""
        model, inside = entry.model, self._models.resolve()
        if model is None or not all(path.parent.resolve().is_relative_to(inside) for path in model.files):
            raise Conflict(f"{entry.name!r} does not lie in this gateway's library.", hint="Remove it where it is.")
        return model.files

    def _unlink(self, files: tuple[Path, ...]) -> None:
        try:
            for path in files:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise HomeError(f"{path} cannot be removed: {error.strerror}.") from None
