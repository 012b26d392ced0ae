"""llm: a block of our own in its list of models, `extra-openai-models.yaml`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Final

from hostler.cli.connect.client import Client, Places, Target, Wanted
from hostler.cli.connect.environment import directly


def _folder(places: Places) -> Path:
    if named := places.environ.get("LLM_USER_PATH"):
        return Path(named)
    if sys.platform == "darwin":
        return places.home / "Library" / "Application Support" / "io.datasette.llm"
    return places.moved("XDG_CONFIG_HOME", ".config") / "io.datasette.llm"


def _files(target: Target, places: Places) -> tuple[Wanted, ...]:
    fields: dict[str, object] = {
        "model_name": target.model,
        "api_base": target.openai,
        "can_stream": True,
        "supports_tools": True,
        "supports_schema": True,
    }
    if target.key:
        fields["headers"] = {"Authorization": f"Bearer {target.key}"}
    elif target.keyed:
        fields["api_key_name"] = "hostler"
    lines = "".join(f"  {field}: {json.dumps(value)}\n" for field, value in fields.items())
    text = f"- model_id: {json.dumps(f'hostler/{target.model}')}\n{lines}"
    return (Wanted(path=_folder(places) / "extra-openai-models.yaml", form="block", text=text),)


CLIENT: Final = Client(
    name="llm",
    title="llm",
    program="llm",
    install="uv tool install llm",
    api="chat",
    agent=False,
    files=_files,
    start=lambda target, places: directly(
        target.url, places.environ, f"llm -m {shlex.quote(f'hostler/{target.model}')} 'Say hello.'"
    ),
    after="Where the gateway wants a key, llm keeps it: `llm keys set hostler`.",
)
