"""What `hostler up` prints once it serves: where, two things to try, what it decided, and where to go next."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hostler.cli.doctor.engines import embedded_version
from hostler.cli.output import write_json_line
from hostler.config.quantities import format_bytes

if TYPE_CHECKING:
    from hostler.cli.command import Session
    from hostler.config.settings import Task
    from hostler.fleet.protocol import Entry
    from hostler.reports import Reports
    from hostler.wire.management import GatewayStatus

CHAT_TOKENS = 60
# Below this many parameters an answer is a demonstration, not an answer.
TOY = 10**9


def announce(session: Session, reports: Reports) -> None:
    """Print it; with `--json` the gateway's status as one line.

    A terminal that has gone (`hostler up | head -1`), or a full disk behind it, costs the words, not the gateway.
    """
    try:
        _announce(session, reports)
    except OSError:
        # Else what Python still holds for it fails once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _announce(session: Session, reports: Reports) -> None:
    status = reports.status()
    if session.json:
        write_json_line(status)
        return
    entries = [entry for entry in reports.gateway.catalogue.entries() if entry.problem is None]
    from hostler.cli.active_build import dark_gpu

    default = reports.gateway.running_config.config.engines.default_build
    for line in told(
        status, entries, str(reports.gateway.folders.models), default=default, dark=dark_gpu(session.config)
    ):
        print(line, flush=True)


def told(
    status: GatewayStatus, entries: list[Entry], models: str, *, default: str | None = None, dark: str = ""
) -> Iterator[str]:
    """The lines; ``entries`` are the profiles that can run.

    ``default`` is the configured build, ``dark`` the warning about a GPU that nothing uses.
    """
    yield f"Hostler {status.version} serves at {status.url} (a page for the browser, and the API). Ctrl-C stops it."
    yield ""
    tried = [entry for entry in (_first(entries, "chat", status.default), _first(entries, "completion")) if entry]
    for entry in tried:
        yield f"Try {entry.name}:" if entry.task == "chat" else f"Let {entry.name} continue a text:"
        yield f"  {curl(status.url, entry)}"
    if tried and all(entry.facts is not None and entry.facts.parameters < TOY for entry in tried):
        toys = " and ".join(entry.name for entry in tried)
        yield f"({toys}: toys, to see that everything works. Expect little of what they say.)"
    yield ""
    yield from _decided(status, entries, default)
    if dark:
        yield f"  {dark}"
    yield ""
    yield f"For a real model put a GGUF file into {models}, or name its folder in `[library] roots`"
    yield f"of {status.config_file}; `hostler ls` then shows it, and its name works as `model`."


def _first(entries: list[Entry], task: Task, wanted: str | None = None) -> Entry | None:
    """The wanted entry if it does the task, else the first that does; the config's come before found models."""
    able = [entry for entry in entries if entry.task == task and not entry.profile.hidden]
    return next((entry for entry in able if entry.name == wanted), able[0] if able else None)


def curl(url: str, entry: Entry) -> str:
    """A command line to paste."""
    body: dict[str, object] = {"model": entry.name, "max_tokens": CHAT_TOKENS}
    if entry.task == "chat":
        path = "chat/completions"
        body["messages"] = [{"role": "user", "content": "Write one sentence about the sea."}]
    else:
        path = "completions"
        body["prompt"] = "The sea is"
    return f"curl -s {url}/v1/{path} -d {shlex.quote(json.dumps(body))}"


def _decided(status: GatewayStatus, entries: list[Entry], default: str | None) -> Iterator[str]:
    from hostler.hardware.host import physical_cores

    cores = physical_cores()
    yield "On this machine:"
    named = None if default == "embedded" else default
    engine = f"build {named}" if named else f"xllamacpp {embedded_version() or 'is missing'}"
    yield f"  engine   {engine}, {cores} CPU thread{'' if cores == 1 else 's'}"
    for device in status.memory:
        yield f"  {device.device:8} engines may hold {format_bytes(device.budget)} of {format_bytes(device.total)}"
    for entry in entries:
        if entry.name == status.default:
            need = ", ".join(f"{format_bytes(size)} on {device}" for device, size in entry.need.items())
            yield f"  default  {entry.name}: context {entry.context}, about {need or 'an unknown size'}"
