from __future__ import annotations

from pathlib import Path

import pytest

from hostler.config import paths
from hostler.config.settings import Home
from hostler.errors import ConfigError


def test_one_folder_holds_everything(tmp_path: Path) -> None:
    assert paths.home({"HOSTLER_HOME": str(tmp_path)}) == Home(
        config_file=tmp_path / "hostler.toml",
        models=tmp_path / "models",
        state=tmp_path / "state",
        cache=tmp_path / "cache",
        logs=tmp_path / "logs",
    )


def test_a_tilde_is_the_users_folder() -> None:
    assert paths.home({"HOSTLER_HOME": "~/h", "HOME": "/somewhere"}).state == Path("/somewhere/h/state")
    assert paths.expand("~", {"HOME": "/somewhere"}) == Path("/somewhere")
    assert paths.expand("/x/~/y", {"HOME": "/somewhere"}) == Path("/x/~/y")


def test_nobodys_tilde_is_a_clear_error() -> None:
    with pytest.raises(ConfigError, match="nobody knows"):
        paths.expand("~no-such-user-at-all/x", {})


def test_a_relative_home_is_made_absolute() -> None:
    assert paths.home({"HOSTLER_HOME": "here"}).state == Path.cwd() / "here" / "state"


@pytest.mark.parametrize("environ", [{}, {"HOSTLER_HOME": ""}, {"HOSTLER_HOME": " "}])
def test_without_it_the_platforms_folders_are_used(environ: dict[str, str]) -> None:
    folders = paths.home(environ)
    assert folders.config_file.name == "hostler.toml"
    assert len({folders.config_file.parent, folders.models.parent, folders.cache}) > 1
    assert all("hostler" in str(folder) for folder in (folders.models, folders.state, folders.cache, folders.logs))


def test_another_file_moves_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.touch()
    folders = paths.home({"HOSTLER_HOME": str(tmp_path / "h")}, file)
    assert folders.config_file == file
    assert folders.state == tmp_path / "h" / "state"


def test_a_named_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        paths.home({"HOSTLER_HOME": str(tmp_path)}, tmp_path / "typo.toml")
