"""Files as other programs' users have them, and what becomes of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hostler.config.edit import NewProfile, with_profiles
from hostler.config.load import parse
from hostler.config.settings import Config
from hostler.importers.merge import merge
from hostler.importers.protocol import Imported

DATA = Path(__file__).with_name("data")
Write = Callable[[Imported], Config]


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    """A folder with a `models.conf`, its compose file and its `.env`."""
    folder = tmp_path / "launcher"
    shutil.copytree(DATA / "launcher", folder)
    (folder / "launcher.env").rename(folder / ".env")
    return folder / "models.conf"


@pytest.fixture
def written() -> Write:
    """Profiles written to a `hostler.toml` and read back as the gateway would."""

    def written(imported: Imported) -> Config:
        merged = merge(imported, Config(), Path("source"), [])
        new = [NewProfile(name=each.name, fields=each.fields, comment=each.comment) for each in merged.profiles]
        file = Path("hostler.toml")
        return parse(with_profiles("", file, new), file).config

    return written
