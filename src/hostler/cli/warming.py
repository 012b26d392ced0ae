"""`hostler warm`: profiles made ready before somebody waits for them, and what a warm start is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hostler.cli.command import ExitCode, Session, command
from hostler.cli.completion import complete_profile

if TYPE_CHECKING:
    from hostler.client.gateway import Client
    from hostler.wire.warming import LoadFigures, WarmBenchmark, WarmUp

Profiles = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PROFILE",
        help="Profiles or aliases, warmed one after the other. Default: show how earlier warm-ups went.",
        show_default=False,
        autocompletion=complete_profile,
    ),
]
BehindOption = Annotated[
    bool, typer.Option("--behind", help="Do not wait; `hostler warm` alone tells later how it went.")
]
BenchmarkOption = Annotated[
    bool, typer.Option("--benchmark", help="Unload and load each twice, cold and warm, and compare.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        app,
        "warm",
        "hostler warm smollm2                loads it and has it generate a few tokens",
        "hostler warm smollm2 gemma3-270m --behind",
        "hostler warm                        how the latest warm-ups went",
        "hostler warm smollm2 --benchmark    from the disk against from the page cache",
    )(warm)


async def warm(
    session: Session, profiles: Profiles = None, behind: BehindOption = False, benchmark: BenchmarkOption = False
) -> int:
    """Load profiles and have each generate a few tokens.

    The first request then waits for nothing. One that makes no room for the next stays warm beside it.
    """
    from hostler.errors import InvalidRequest

    if behind and benchmark:
        raise InvalidRequest("--behind and --benchmark exclude each other.", hint="Take one of them.")
    if benchmark and not profiles:
        raise InvalidRequest("--benchmark needs a profile.", hint="`hostler ls` lists them.")
    async with session.connect() as client:
        if benchmark:
            _show_compared(session, [await _compared(session, client, name) for name in profiles or ()])
            return ExitCode.OK
        if not profiles:
            known = await client.warm_ups()
        else:
            known = [await _warmed(session, client, name, behind=behind) for name in profiles]
    _show(session, known)
    return ExitCode.OK


async def _warmed(session: Session, client: Client, name: str, *, behind: bool) -> WarmUp:
    from hostler.cli.watching import watched

    if behind:
        return await client.warm(name, behind=True)
    return await watched(session, client, f"Warming {name}", name, client.warm(name))


async def _compared(session: Session, client: Client, name: str) -> WarmBenchmark:
    from hostler.cli.watching import watched

    doing = f"Loading {name} cold, then warm"
    return await watched(session, client, doing, name, client.compare_warm(name))


def _show(session: Session, known: list[WarmUp]) -> None:
    from hostler.cli.output import write_json

    if session.json:
        write_json(known)
        return
    if not known:
        print("Nothing was warmed since the gateway started. `hostler warm PROFILE` does it.")
    for each in known:
        print(_told(each))


def _told(each: WarmUp) -> str:
    from hostler.cli.output import rate

    if each.state == "running":
        return f"{each.profile} is being warmed."
    if each.state == "failed":
        return f"{each.profile} could not be warmed: {each.reason}"
    loaded = f"loaded in {_seconds(each.load_s)}" if each.loaded else "it was loaded already"
    speed = "" if each.tokens_per_s is None else f", {rate(each.tokens_per_s)} tokens/s"
    return f"{each.profile} is warm: {loaded}, a few tokens took {_seconds(each.first_s)}{speed}."


def _show_compared(session: Session, done: list[WarmBenchmark]) -> None:
    from hostler.cli.output import console, size, table, write_json

    if session.json:
        write_json(done)
        return
    right = ("SIZE", "LOAD", "ANSWER", "TOK/S")
    shown = table("PROFILE", "SIZE", "FROM", "LOAD", "ANSWER", "TOK/S", right=right)
    for each in done:
        shown.add_row(each.profile, size(each.bytes), "the disk", *_cells(each.cold))
        shown.add_row("", "", "memory", *_cells(each.warm))
    console(session).print(shown)
    if not all(each.dropped for each in done):
        print("This system drops no files from its page cache: both loads were warm.")


def _cells(figures: LoadFigures) -> tuple[str, str, str]:
    from hostler.cli.output import rate

    return _seconds(figures.load_s), _seconds(figures.first_s), rate(figures.tokens_per_s)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
