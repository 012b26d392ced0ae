"""`/api/delete`: what of a library may be removed, and what stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from gateway_fakes import FakeCatalogue, FakeFleet

from hostler.clock import SystemClock
from hostler.config.settings import Profile
from hostler.engines.protocol import Endpoint
from hostler.errors import Conflict
from hostler.fleet.protocol import Entry, ProfileStanding
from hostler.gateway.ollama.removal import Removal
from hostler.models.facts import Model
from hostler.wire.audit import AuditRecord

pytestmark = pytest.mark.anyio


class Shelf(FakeCatalogue):
    def __init__(self, *entries: Entry) -> None:
        super().__init__()
        self.shown = list(entries)

    def entries(self) -> list[Entry]:
        return self.shown


class Yard(FakeFleet):
    loaded = ""

    def profile(self, name: str) -> ProfileStanding:
        return ProfileStanding(state="ready" if name == self.loaded else "unloaded")


def entry(path: Path, name: str = "tiny", origin: str = "library") -> Entry:
    model = Model(name=name, files=(path,), size=4, origin="library")
    return Entry(
        name=name, profile=Profile(model=str(path)), origin=origin, model=model, facts=None, task=None, context=None,
        need={}, problem=None,
    )  # fmt: skip


def there(path: Path) -> bool:
    return path.exists()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "org" / "tiny.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"GGUF")
    return path


def removal(file: Path, *entries: Entry) -> tuple[Removal, Yard, list[AuditRecord]]:
    fleet, notes = Yard(Endpoint("127.0.0.1", 1, "")), list[AuditRecord]()
    library = next(folder for folder in file.parents if folder.name == "models")
    return Removal(library, Shelf(*entries), fleet, notes.append, SystemClock()), fleet, notes


async def test_a_model_of_the_library_is_removed_and_that_is_written_down(file: Path) -> None:
    one = entry(file)
    act, _, notes = removal(file, one)
    await act.remove(one, "admin")
    assert not there(file)
    assert [(note.who, note.action, note.target, note.status) for note in notes] == [
        ("admin", "delete model", "tiny", 200)
    ]


async def test_what_is_loaded_or_configured_stays(file: Path) -> None:
    one = entry(file)
    act, fleet, _ = removal(file, one)
    fleet.loaded = "tiny"
    with pytest.raises(Conflict, match="loaded"):
        await act.remove(one, "admin")
    with pytest.raises(Conflict, match="coder"):
        await removal(file, one, entry(file, "coder", "config"))[0].remove(one, "admin")
    assert there(file)


async def test_what_lies_elsewhere_stays(file: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.gguf").write_bytes(b"GGUF")
    link = file.parents[1] / "linked"
    link.symlink_to(elsewhere)
    for path in (elsewhere / "mine.gguf", link / "mine.gguf"):
        one = entry(path)
        with pytest.raises(Conflict, match="library"):
            await removal(file, one)[0].remove(one, "admin")
    assert (elsewhere / "mine.gguf").exists()
