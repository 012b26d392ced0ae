"""Where things lie: one folder named by HOSTLER_HOME, else the folders that the platform has for such things."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hostler.config.settings import Home
from hostler.errors import ConfigError

VARIABLE = "HOSTLER_HOME"
FILE_NAME = "hostler.toml"


def home(environ: Mapping[str, str], config_file: Path | None = None) -> Home:
    """The folders in use, absolute; none of them is made or looked at.

    ``config_file`` (from ``--config``) names another file and moves nothing else. It must exist, so that a
    mistyped name does not silently mean an empty configuration; the usual file need not. Raises ConfigError.
    """
    chosen = _folders(environ)
    if config_file is None:
        return chosen
    file = expand(config_file, environ)
    if not file.exists():
        raise ConfigError(f"{file}: there is no such file", hint="Name one that exists, or leave `--config` out.")
    return Home(config_file=file, models=chosen.models, state=chosen.state, cache=chosen.cache, logs=chosen.logs)


def expand(path: str | Path, environ: Mapping[str, str]) -> Path:
    """``path`` made absolute, a leading ``~`` replaced by the user's folder."""
    text = str(path)
    if (user := environ.get("HOME")) and (text == "~" or text.startswith(("~/", "~\\"))):
        return Path(user, text[2:]).absolute()
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise ConfigError(f"{text}: nobody knows whose folder ~ is", hint="Write the whole path.") from error


def _folders(environ: Mapping[str, str]) -> Home:
    if folder := environ.get(VARIABLE, "").strip():
        base = expand(folder, environ)
        return Home(
            config_file=base / FILE_NAME,
            models=base / "models",
            state=base / "state",
            cache=base / "cache",
            logs=base / "logs",
        )
    import platformdirs  # only here: with HOSTLER_HOME set nobody pays for it

    dirs = platformdirs.PlatformDirs("hostler", appauthor=False)
    return Home(
        config_file=dirs.user_config_path / FILE_NAME,
        models=dirs.user_data_path / "models",
        state=dirs.user_state_path,
        cache=dirs.user_cache_path,
        logs=dirs.user_log_path,
    )
