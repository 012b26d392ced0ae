"""How the fake engine misbehaves: one declaration for command line, environment, request and help."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TypeVar

T = TypeVar("T", bool, int, float, str)


def _switch(default: T, text: str) -> T:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Switches:
    """Every switch, harmless by default.

    ``--fake-NAME VALUE`` (no value for yes/no ones), ``FAKE_ENGINE='{"name": value}'`` or, for whatever
    concerns one answer, ``"fake": {"name": value}`` in the request's own body set them, in that order.
    """

    # Loading
    slow_start_s: float = _switch(0.0, "seconds that loading takes")
    load_ms_per_mib: float = _switch(0.0, "milliseconds of loading per MiB of model file")
    never_ready: bool = _switch(False, "listen and say so, but answer 503 for ever")
    die_at_load: str = _switch("", "die by this signal while loading: SIGILL, SIGKILL, SIGSEGV")
    exit_at_load: int = _switch(0, "exit with this code while loading")
    die_after_ms: float = _switch(0.0, "wait so long before dying or exiting at load")
    oom: str = _switch("", "DEVICE:MIB: log a failed allocation as llama.cpp does and exit 1")
    oom_unless: str = _switch(
        "", "ubatch=N,context=N,layers=N: fail so (oom says where) unless none of these is larger"
    )
    load_log: str = _switch("", "log this line as an error while loading")
    memory_mib: int = _switch(0, "hold so many MiB of touched anonymous memory")
    ignore_term: bool = _switch(False, "ignore SIGTERM and SIGINT")
    devices: str = _switch("", "comma-separated GPUs that --list-devices shows: CUDA0,CUDA1")
    lacks: str = _switch("", "comma-separated llama-server flags that this build does not know")
    # Generating
    tokens: int = _switch(32, "tokens of an answer that nothing else limits")
    rate: float = _switch(0.0, "tokens per second of one slot; 0: as fast as the reader")
    first_token_ms: float = _switch(0.0, "time before the first token")
    batch: int = _switch(32, "tokens per write when unpaced (each stays its own chunk)")
    hang_after: int = _switch(-1, "send nothing more after so many tokens of an answer; the slot stays busy")
    crash_after: int = _switch(-1, "crash after so many tokens of an answer")
    crash: str = _switch("SIGKILL", "how to crash: a signal's name or an exit code")
    hangup_s: float = _switch(0.0, "notice a hang-up so late; -1: never")
    tool_calls: bool = _switch(False, "call the first tool also when the choice is left open")
    tool: str = _switch("", "NAME:ARGUMENTS: call this tool where it is offered, once in a conversation")
    lost_first_event: bool = _switch(False, "start with an emoji and lose the stream's first event")
    sound: bool = _switch(False, "have none of the defects that are put right on the way to clients")
    # Talking
    idle_ms: float = _switch(5000.0, "close a connection idle for so long; 0: never")
    requests_per_connection: int = _switch(100, "close a connection after so many answers; 0: never")
    drop_reused: int = _switch(0, "close without a byte when the Nth request arrives on a connection")
    split: int = _switch(0, "cut every write into pieces of at most so many bytes, sent one by one")
    seed: int = _switch(0, "seed of the random cuts")
    error: int = _switch(0, "answer every generation with this status")
    error_mib: float = _switch(0.0, "make that error's message so large")
    close_delimited: bool = _switch(False, "send bodies without length or chunks, ended by closing")
    interim: int = _switch(0, "send this 1xx status before every response")
    connection_close: bool = _switch(False, "say `Connection: close` and close after every answer")
    garbage_head: bool = _switch(False, "answer bytes that are not HTTP")
    head_kib: int = _switch(0, "add a header of so many KiB")

    @property
    def lacking(self) -> frozenset[str]:
        """The flags in ``lacks``."""
        return frozenset(filter(None, self.lacks.split(",")))

    @property
    def bounds(self) -> dict[str, int]:
        """The numbers in ``oom_unless``; raises ValueError."""
        pairs = (part.partition("=") for part in filter(None, self.oom_unless.split(",")))
        return {name: int(number) for name, _, number in pairs}


class UnknownSwitch(ValueError):
    """No switch of that name, or a value of the wrong kind."""


def _convert(name: str, value: object) -> object:
    default = getattr(Switches(), name, None)
    if default is None:
        raise UnknownSwitch(f"unknown switch: {name}")
    try:
        if isinstance(default, bool):
            return str(value).lower() in ("true", "1", "yes")
        return type(default)(value)  # type: ignore[call-overload,unused-ignore]
    except (TypeError, ValueError) as error:
        raise UnknownSwitch(f"switch {name}: {error}") from error


def changed(switches: Switches, values: Mapping[str, object]) -> Switches:
    """``switches`` with these values; raises UnknownSwitch."""
    return replace(switches, **{name: _convert(name, value) for name, value in values.items()})  # type: ignore[arg-type]


def take_switches(argv: list[str]) -> tuple[Switches, list[str]]:
    """The switches of the environment and of ``argv``, and what else is in ``argv``; raises UnknownSwitch."""
    values: dict[str, object] = {}
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if not word.startswith("--fake-"):
            rest.append(word)
            continue
        name, equals, value = word[7:].partition("=")
        name = name.replace("-", "_")
        if equals:
            values[name] = value
        elif isinstance(getattr(Switches(), name, None), bool):
            values[name] = True
        else:
            values[name] = next(words, "")
    given: dict[str, object] = json.loads(os.environ.get("FAKE_ENGINE") or "{}")
    return changed(Switches(), given | values), rest


def describe() -> str:
    """The help text of all switches."""
    lines = []
    for item in fields(Switches):
        name = "--fake-" + item.name.replace("_", "-")
        kind = "" if isinstance(item.default, bool) else " " + type(item.default).__name__.upper()
        default = "" if item.default in (False, "") else f" (default: {item.default})"
        lines.append(f"{name + kind:<40} {item.metadata['help']}{default}")
    return "\n".join(lines)
