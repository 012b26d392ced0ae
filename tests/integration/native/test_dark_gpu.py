"""`ps` and `up` say in one line that a GPU is there which the default build cannot use."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostler.cli.active_build import dark_gpu, known_builds
from hostler.testing.builds import write_build

pytestmark = pytest.mark.anyio


def test_nothing_is_said_where_nothing_is_known(home: Path) -> None:
    (home / "hostler.toml").write_text('[engines]\ndefault_build = "gone"\n')
    assert dark_gpu(None) == ""
    (home / "hostler.toml").write_text("[engines]\nwrong = 1\n")
    assert dark_gpu(None) == ""


async def test_what_was_asked_once_is_remembered_without_asking(home: Path) -> None:
    server = write_build(home / "state" / "builds" / "mine")
    (home / "hostler.toml").write_text('[engines]\ndefault_build = "mine"\n')
    assert known_builds(None).remembered(None) is None
    asked = await known_builds(None).get(None)
    assert known_builds(None).remembered(None) == asked
    server.write_text(server.read_text() + "# another\n")
    assert known_builds(None).remembered(None) is None
