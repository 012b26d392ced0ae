"""Codex: a profile file of its own beside the user's `config.toml`, chosen by `--profile hostler`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hostler.cli.connect.client import VARIABLE, Client, Places, Target, Wanted
from hostler.cli.connect.environment import directly

#: Between two events of a stream; a long prompt is read for minutes without one.
PATIENCE_MS: Final = 3_600_000


def _file(places: Places) -> Path:
    return places.moved("CODEX_HOME", ".codex") / "hostler.config.toml"


def _files(target: Target, places: Places) -> tuple[Wanted, ...]:
    provider: dict[str, object] = {
        "name": "Hostler",
        "base_url": target.openai,
        "wire_api": "responses",
        "stream_idle_timeout_ms": PATIENCE_MS,
    }
    if target.key:
        provider["experimental_bearer_token"] = target.key
    elif target.keyed:
        provider["env_key"] = VARIABLE
    tree: dict[str, object] = {"model": target.model, "model_provider": "hostler"}
    if target.context is not None:
        tree["model_context_window"] = target.context
    tree |= {
        "web_search": "disabled",
        "check_for_update_on_startup": False,
        "analytics": {"enabled": False},
        "features": {"plugins": False, "apps": False},
        "model_providers": {"hostler": provider},
    }
    return (Wanted(path=_file(places), form="toml", tree=tree),)


CLIENT: Final = Client(
    name="codex",
    title="Codex",
    program="codex",
    install="npm install -g @openai/codex",
    api="responses",
    files=_files,
    start=lambda target, places: directly(target.url, places.environ, "codex --profile hostler"),
)
