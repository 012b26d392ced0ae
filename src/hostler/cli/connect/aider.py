"""aider: a configuration file of its own, named by `--config`, and what it should know of the model beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from hostler.cli.connect.client import NO_KEY, Client, Places, Target, Wanted, shown
from hostler.cli.connect.environment import directly


def _config(places: Places) -> Path:
    return places.home / ".aider.hostler.conf.yml"


def _metadata(places: Places) -> Path:
    return places.home / ".aider.hostler.metadata.json"


def _files(target: Target, places: Places) -> tuple[Wanted, ...]:
    settings: dict[str, object] = {
        "model": f"openai/{target.model}",
        "weak-model": f"openai/{target.small}",
        "openai-api-base": target.openai,
    }
    # What stands here wins over the environment, so a key that the user keeps there has no line.
    if target.key or not target.keyed:
        settings["openai-api-key"] = target.key or NO_KEY
    settings |= {
        "model-metadata-file": str(_metadata(places)),
        "show-model-warnings": False,
        "analytics": False,
        "check-update": False,
        "show-release-notes": False,
        # Else the library that it asks by fetches a list of prices first.
        "set-env": ["LITELLM_LOCAL_MODEL_COST_MAP=True"],
    }
    # JSON's scalars are YAML's.
    lines = "".join(f"{name}: {json.dumps(value)}\n" for name, value in settings.items())
    text = f"# aider on this gateway.\n{lines}"
    return (
        Wanted(path=_config(places), form="text", text=text),
        Wanted(path=_metadata(places), form="json", tree=_known(target)),
    )


def _known(target: Target) -> dict[str, object]:
    about: dict[str, object] = {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 0,
        "output_cost_per_token": 0,
    }
    if target.context is not None:
        about |= {"max_input_tokens": target.context, "max_output_tokens": target.output, "max_tokens": target.output}
    return {f"openai/{name}": about for name in dict.fromkeys((target.model, target.small))}


def _start(target: Target, places: Places) -> str:
    key = 'OPENAI_API_KEY="$HOSTLER_KEY" ' if target.keyed and not target.key else ""
    return directly(target.url, places.environ, f"{key}aider --config {shown(_config(places), places)}")


CLIENT: Final = Client(
    name="aider",
    title="aider",
    program="aider",
    install="uv tool install aider-chat",
    api="chat",
    files=_files,
    start=_start,
)
