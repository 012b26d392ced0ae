"""`hostler hardware`: what this machine, or a described one, can hold and how fast."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hostler.cli.command import Session, command
from hostler.cli.completion import complete_machine
from hostler.errors import HostlerError, InvalidRequest

if TYPE_CHECKING:
    from hostler.hardware.facts import Machine

NAMES = "rtx4090-5070ti, dgx-spark, m2-16gb, m4-max-64gb, h200, cpu-2core"

MachineArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="MACHINE", help=f"A TOML file that describes one, or {NAMES}.", autocompletion=complete_machine,
        show_default=False,
    ),
]  # fmt: skip
MeasureOption = Annotated[bool, typer.Option("--measure", help="Measure again, though it was measured before.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        app,
        "hardware",
        "hostler hardware              this machine",
        "hostler hardware dgx-spark    one that comes with Hostler",
        "hostler hardware --json | jq '.devices[].free'",
        gateway=False,
    )(hardware)


def hardware(session: Session, machine: MachineArgument = None, measure: MeasureOption = False) -> None:
    """Show the devices of this machine, or of a described one.

    Shows memory and what of it is free, bandwidth, rates, and of every figure its source. How fast this machine's
    memory and the library's disk are read is measured once, in about a second; best while no model is loaded.
    """
    from hostler.cli.output import console, write_json

    shown = _this(session, measure) if machine is None else _described(machine, measure)
    if session.json:
        write_json(shown)
        return
    from hostler.cli.machine_view import parts

    screen = console(session)
    for part in parts(shown):
        screen.print(part)


def _described(name: str, measure: bool) -> Machine:
    from hostler.hardware.machines import load

    if measure:
        raise InvalidRequest("A described machine cannot be measured.", hint="Leave `--measure` out.")
    return load(name)


def _this(session: Session, again: bool) -> Machine:
    """This machine; measured if it was not yet."""
    import os

    from hostler.config import paths
    from hostler.hardware.inspection import inspect_and_measure

    def tell() -> None:
        print("measuring memory and disk ...", file=sys.stderr)

    cache = paths.home(os.environ, session.config).cache
    return inspect_and_measure(cache, lambda: _model_files(session.config), again=again, tell=tell)


def _model_files(config: Path | None) -> list[Path]:
    """The files of the library; none when it cannot be read, which `doctor` tells of."""
    from hostler.cli.doctor.library import library

    try:
        return [path for model in library(config).scan().models for path in model.files]
    except (HostlerError, OSError):
        return []
