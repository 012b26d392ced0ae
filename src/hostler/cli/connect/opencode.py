"""opencode: a configuration file of its own, named by OPENCODE_CONFIG, that switches every other provider off.

A variable keeps it from fetching the list of everybody's models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hostler.cli.connect.client import VARIABLE, Client, Places, Target, Wanted, shown
from hostler.cli.connect.environment import directly


def _file(places: Places) -> Path:
    return places.moved("XDG_CONFIG_HOME", ".config") / "opencode" / "hostler.json"


def _model(name: str, target: Target) -> dict[str, object]:
    if target.context is None:
        return {"name": name}
    return {"name": name, "limit": {"context": target.context, "output": target.output}}


def _files(target: Target, places: Places) -> tuple[Wanted, ...]:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Hostler",
        "options": {"baseURL": target.openai, "apiKey": target.secret(f"{{env:{VARIABLE}}}")},
        "models": {name: _model(name, target) for name in dict.fromkeys((target.model, target.small))},
    }
    tree = {
        "$schema": "https://opencode.ai/config.json",
        "model": f"hostler/{target.model}",
        "small_model": f"hostler/{target.small}",
        "enabled_providers": ["hostler"],
        "share": "disabled",
        "autoupdate": False,
        "provider": {"hostler": provider},
    }
    return (Wanted(path=_file(places), form="json", tree=tree),)


def _start(target: Target, places: Places) -> str:
    line = f"OPENCODE_DISABLE_MODELS_FETCH=1 OPENCODE_CONFIG={shown(_file(places), places)} opencode"
    return directly(target.url, places.environ, line)


CLIENT: Final = Client(
    name="opencode",
    title="opencode",
    program="opencode",
    install="npm install -g opencode-ai",
    api="chat",
    files=_files,
    start=_start,
)
