"""What commands print: JSON, plain tables that fit the terminal, coloured states, short numbers."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from hostler.config.quantities import format_bytes, format_seconds
from hostler.errors import HostlerError
from hostler.wire.management import Problem, ProblemBody

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from hostler.cli.command import Session

STATE_STYLE = {
    "ready": "green",
    "loading": "yellow",
    "starting": "yellow",
    "draining": "yellow",
    "stopping": "yellow",
    "running": "green",
    "queued": "yellow",
    "failed": "bold red",
    "ok": "green",
    "warn": "yellow",
    "problem": "bold red",
}
# Wide enough for every column where there is no terminal to fit.
UNBOUNDED = 200


def write_json(value: object) -> None:
    """Print ``value`` (structs, lists of them) as indented JSON."""
    print(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode())


def write_json_line(value: object) -> None:
    """Print ``value`` as one line of JSON; for streams."""
    print(msgspec.json.encode(value, enc_hook=str).decode(), flush=True)


def encode_problem(error: HostlerError) -> str:
    """``error`` as the gateway's error body."""
    problem = Problem(
        code=error.code,
        message=error.message,
        hint=error.hint,
        source=error.source,
        retry_after_s=error.retry_after_s,
    )
    return msgspec.json.encode(ProblemBody(problem)).decode()


def console(session: Session, *, stderr: bool = False) -> Console:
    """A Rich console that guesses nothing: colours as the session says, text as it is given."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream,
        no_color=not session.color,
        color_system="auto" if session.color else None,
        highlight=False,
        markup=False,
        emoji=False,
        width=None if stream.isatty() else UNBOUNDED,
    )


def table(*columns: str, right: Iterable[str] = (), fold: str | None = None) -> Table:
    """A table without lines; columns in ``right`` are numbers, ``fold`` is the one that gives way."""
    from rich.table import Table

    built = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        built.add_column(
            name,
            justify="right" if name in right else "left",
            no_wrap=name != fold,
            overflow="fold" if name == fold else "ellipsis",
        )
    return built


def state(name: str) -> Text:
    """A state in its colour."""
    from rich.text import Text

    return Text(name, style=STATE_STYLE.get(name, "dim"))


def dash(value: object | None) -> str:
    """The value, or a dash for None."""
    return "-" if value is None or value == "" else str(value)


def size(count: int | None) -> str:
    """Bytes as people write them, or a dash."""
    return "-" if count is None else format_bytes(count)


def seconds(value: float | None) -> str:
    """A duration without false precision, or a dash."""
    if value is None:
        return "-"
    return format_seconds(value if value < 1 else round(value))


def ttl(value: float | None) -> str:
    """An idle limit; None is never."""
    return "never" if value is None else format_seconds(value)


def rate(tokens_per_s: float | None) -> str:
    """Tokens per second: one place below 10, else whole."""
    if tokens_per_s is None:
        return "-"
    return f"{tokens_per_s:.1f}" if tokens_per_s < 10 else f"{tokens_per_s:.0f}"


def per_device(amounts: dict[str, int]) -> str:
    """``{"host": 338 MiB}`` as ``host 338.0 MiB``; several joined by commas."""
    return ", ".join(f"{device} {format_bytes(count)}" for device, count in amounts.items()) or "-"


def listed(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
