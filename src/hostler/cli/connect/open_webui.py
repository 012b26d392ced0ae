"""Open WebUI: a file of environment variables, for its own command and for a container alike."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from hostler.cli.connect.client import VARIABLE, Client, Places, Target, Wanted, shown
from hostler.cli.connect.environment import direct
from hostler.errors import InvalidRequest

#: What stands for itself in a shell; names come from a gateway that may be somebody else's.
_PLAIN: Final = re.compile(r"[A-Za-z0-9._:/@%+,=\[\]-]+")


def _file(places: Places) -> Path:
    return places.own / "open-webui.env"


def _plain(value: str) -> str:
    """``value``, which a shell and Docker have to read alike, so that it cannot be quoted. Raises InvalidRequest."""
    if _PLAIN.fullmatch(value) is None:
        raise InvalidRequest(f"{value!r} cannot stand in a file of variables.", hint="Name another profile.")
    return value


def _files(target: Target, places: Places) -> tuple[Wanted, ...]:
    variables = {
        "OPENAI_API_BASE_URL": _plain(target.openai),
        "OPENAI_API_KEY": target.secret(f"${{{VARIABLE}}}"),
        "ENABLE_OPENAI_API": "true",
        "ENABLE_OLLAMA_API": "false",
        "DEFAULT_MODELS": _plain(target.model),
        "TASK_MODEL_EXTERNAL": _plain(target.small),
        # Else what the first start kept in its database wins over this file for ever.
        "ENABLE_PERSISTENT_CONFIG": "false",
        "ENABLE_VERSION_UPDATE_CHECK": "false",
        "ANONYMIZED_TELEMETRY": "false",
        "DO_NOT_TRACK": "true",
        "SCARF_NO_ANALYTICS": "true",
    }
    if host := direct(target.url):
        # Either spelling alone may be there; Docker puts nothing in for a variable, and takes it for one more name.
        variables |= {"NO_PROXY": f"{_plain(host)},${{NO_PROXY:-${{no_proxy}}}}", "no_proxy": f"{host},${{NO_PROXY}}"}
    lines = "".join(f"{name}={value}\n" for name, value in variables.items())
    return (Wanted(path=_file(places), form="text", text=f"# Open WebUI on this gateway.\n{lines}"),)


CLIENT: Final = Client(
    name="open-webui",
    title="Open WebUI",
    program="open-webui",
    install="uv tool install open-webui",
    api="chat",
    agent=False,
    files=_files,
    start=lambda _, places: f"set -a; . {shown(_file(places), places)}; set +a; open-webui serve",
    after="In a container, give it the key itself instead of ${HOSTLER_KEY}, and an address that it can reach: "
    "`docker run --network host --env-file FILE ...` reaches a gateway on loopback.",
)
