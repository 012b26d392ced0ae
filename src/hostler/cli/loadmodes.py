"""`hostler load-modes`: ways to load a model's files, compared on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hostler.cli.command import Session, command
from hostler.cli.completion import complete_profile

if TYPE_CHECKING:
    from hostler.wire.loading import LoadComparison, LoadModeStatus

Profile = Annotated[
    str | None,
    typer.Argument(
        metavar="[PROFILE]",
        help="A profile or an alias, loaded in each mode. Default: show what was chosen so far.",
        show_default=False,
        autocompletion=complete_profile,
    ),
]
BehindOption = Annotated[
    bool, typer.Option("--behind", help="Do not wait; `hostler load-modes` alone tells later how it went.")
]


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        app,
        "load-modes",
        "hostler load-modes smollm2      loads it mapped, read and past the page cache",
        "hostler load-modes              what is used for which disk, build and size",
    )(load_modes)


async def load_modes(session: Session, profile: Profile = None, behind: BehindOption = False) -> None:
    """Find the quickest way to load a profile's files.

    From the disk and from the page cache: it is unloaded and loaded a dozen times; running requests finish first. What
    is chosen holds for all models of about
    that size on that disk with that build.
    """
    async with session.connect() as client:
        if profile is None:
            _show_status(session, await client.load_modes())
        else:
            _show(session, await client.compare_load_modes(profile, behind=behind))


def _show(session: Session, done: LoadComparison) -> None:
    from hostler.cli.output import console, size, table, write_json

    if session.json:
        write_json(done)
        return
    if done.state == "running":
        print(f"Load modes of {done.profile} are being compared.")
        return
    right = ("COLD", "GB/S", "WARM", "GB/S", "HOST MEMORY")
    shown = table("MODE", *right, right=right)
    for each in done.modes:
        cells = [cell for load in (each.cold, each.warm) for cell in (f"{load.load_s:.2f} s", f"{load.gb_per_s:.2f}")]
        shown.add_row(each.mode, *cells, size(each.warm.held.get("host", 0)))
    console(session).print(shown)
    print(f"{done.chosen} from now on for models of {done.size_class} on {done.disk}: {done.why}.")
    if not done.dropped:
        print("This system drops no files from its page cache: all loads were warm.")


def _show_status(session: Session, status: LoadModeStatus) -> None:
    from hostler.cli.output import console, table, write_json

    if session.json:
        write_json(status)
        return
    shown = table("MODE", "SIZE", "DISK", "BUILD", "WHY")
    for each in status.chosen:
        shown.add_row(each.mode, each.size_class, each.disk, each.build, each.why)
    if status.chosen:
        console(session).print(shown)
    else:
        print("Files are mapped. `hostler load-modes PROFILE` measures whether another way is quicker.")
    for compared in status.comparisons:
        if compared.state != "done":
            print(f"{compared.profile}: {'is being compared' if compared.state == 'running' else compared.reason}")
