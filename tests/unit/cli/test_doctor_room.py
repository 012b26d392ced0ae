"""Room on the disks of models and of records."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostler.cli.doctor.folders import FULL, SCARCE, room, room_for_records


@pytest.mark.parametrize(("free", "level"), [(FULL - 1, "problem"), (FULL, "warn"), (SCARCE, "ok")])
def test_models_need_room(free: int, level: str) -> None:
    found = room(Path("/models"), free)
    assert found.level == level
    assert "/models" in found.message


def test_records_need_little_and_nothing_is_said_of_enough() -> None:
    assert list(room_for_records(Path("/state"), FULL)) == []
    (found,) = room_for_records(Path("/state"), FULL - 1)
    assert found.level == "problem"
    assert "/state" in found.message
    assert "not recorded" in found.hint
