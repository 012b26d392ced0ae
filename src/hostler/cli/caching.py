"""`hostler cache`: prompts that are kept for when their model comes back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from hostler.cli.command import Session, command
from hostler.cli.completion import complete_profile

if TYPE_CHECKING:
    from hostler.wire.caching import CacheStatus

cache_app = typer.Typer(
    name="cache",
    help="Prompts that are kept for when their model comes back.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="\b\nExamples:\n  hostler cache ls\n  hostler cache clear\n  hostler cache clear smollm2",
)

ProfileName = Annotated[
    str | None,
    typer.Argument(
        metavar="[PROFILE]",
        help="Only what this profile saved.",
        show_default=False,
        autocompletion=complete_profile,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(cache_app, "ls", "hostler cache ls")(ls)
    command(
        cache_app,
        "clear",
        "hostler cache clear             everything",
        "hostler cache clear smollm2     what one profile saved",
    )(clear)
    app.add_typer(cache_app)


async def ls(session: Session) -> None:
    """List saved prompts and what they have spared."""
    from hostler.cli.output import write_json

    async with session.connect() as client:
        status = await client.cache_status()
    if session.json:
        write_json(status)
    else:
        _show(session, status)


async def clear(session: Session, profile: ProfileName = None) -> None:
    """Remove saved prompts; the next request computes them again."""
    from hostler.cli.output import size, write_json

    async with session.connect() as client:
        done = await client.clear_cache(profile)
    if session.json:
        write_json(done)
    else:
        print(f"{done.prompts} saved prompts removed, {size(done.bytes)}.")


def _show(session: Session, status: CacheStatus) -> None:
    from hostler.cli.output import console, seconds, size, table

    shown = table(
        "PROFILE", "KEY", "TOKENS", "SIZE", "USED", "HITS", "WORTH", "SPARED", right=("TOKENS", "SIZE", "HITS")
    )
    for each in status.prompts:
        shown.add_row(
            each.profile,
            each.tenant,
            str(each.tokens),
            size(each.bytes),
            f"{seconds(max(0.0, time.time() - each.used_at))} ago",
            str(each.hits),
            seconds(each.computing_s),
            seconds(each.saved_s),
        )
    out = console(session)
    if status.prompts:
        out.print(shown)
    out.print(
        f"{len(status.prompts)} saved prompts, {size(status.bytes)} of {size(status.budget)}; "
        f"{status.restored} restored, {status.used} used, {seconds(status.saved_s)} of computing spared"
    )
    notes = [] if status.persist else ["Nothing is kept: kv.persist is false."]
    notes += [f"Nothing can be saved: {status.problem}."] if status.problem else []
    notes += [f"Not with {engine}: {reason}." for engine, reason in status.abandoned.items()]
    for note in notes:
        out.print(note)
