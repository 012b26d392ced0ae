"""The command tree. Registering costs nothing but Typer: each command imports what it needs when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from hostler import __version__
from hostler.cli import (
    asking,
    auditing,
    caching,
    calibrating,
    captures,
    configuring,
    conformance,
    diagnosing,
    engine,
    hardware,
    importing,
    keys,
    listing,
    loadmodes,
    logs,
    mcp,
    planning,
    presets,
    profiles,
    pulling,
    requests,
    residency,
    running,
    starters,
    task,
    top,
    usage,
    warming,
)
from hostler.cli.connect import commands as connecting

app = typer.Typer(
    name="hostler",
    help="Your models, placed right on your hardware, switched without losing a request.",
    epilog="\b\nExamples:\n  hostler up              start the gateway\n  hostler ls              what can be asked\n"
    "  hostler                 pick a profile from a menu, then watch\n"
    '  hostler chat smollm2 "Say hello."',
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"hostler {__version__}")
        raise typer.Exit


@app.callback()
def hostler(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Your models, placed right on your hardware, switched without losing a request."""
    if context.invoked_subcommand is None:
        raise typer.Exit(top.alone(context.get_help()))


for group in (
    running,
    listing,
    residency,
    warming,
    task,
    top,
    asking,
    connecting,
    mcp,
    logs,
    requests,
    usage,
    captures,
    diagnosing,
    conformance,
    caching,
    hardware,
    planning,
    calibrating,
    loadmodes,
    configuring,
    profiles,
    presets,
    importing,
    keys,
    auditing,
    pulling,
    engine,
    starters,
):
    group.register(app)
