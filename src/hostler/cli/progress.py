"""How far a fetch is: a bar on a terminal, else a line for every tenth; on standard error, nothing with `--json`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hostler.cli.command import Session


class Progress(Protocol):
    """``done`` of ``total`` bytes of a stage; None where the size is not known."""

    @property
    def name(self) -> str: ...

    @property
    def stage(self) -> str: ...

    @property
    def done(self) -> int: ...

    @property
    def total(self) -> int | None: ...


Show = Callable[[Progress], None]


@contextmanager
def progress(session: Session) -> Iterator[Show]:
    """What to call with each step, while the block lasts."""
    if session.json:
        yield lambda _progress: None
    elif sys.stderr.isatty():
        with _bar(session) as show:
            yield show
    else:
        yield _Lines().show


@contextmanager
def _bar(session: Session) -> Iterator[Show]:
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Shown

    from hostler.cli.output import console

    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=20), DownloadColumn(binary_units=True),
        TransferSpeedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Shown(*columns, console=console(session, stderr=True), transient=True) as shown:
        task = shown.add_task("", total=None)
        yield lambda at: shown.update(task, description=f"{at.stage} {at.name}", completed=at.done, total=at.total)


class _Lines:
    """A line when a stage begins, and at every tenth of it."""

    def __init__(self) -> None:
        self._told = ("", "", -1)

    def show(self, at: Progress) -> None:
        tenth = at.done * 10 // at.total if at.total else 0
        if at.stage != "done" and (at.name, at.stage, tenth) != self._told:
            self._told = (at.name, at.stage, tenth)
            print(f"{at.name}: {at.stage} {tenth * 10}%", file=sys.stderr, flush=True)
