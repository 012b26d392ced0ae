"""`hostler config`: check, show, path, schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hostler.cli.command import Session, command

if TYPE_CHECKING:
    from hostler.config.load import ShownValue

ChangedOption = Annotated[bool, typer.Option("--changed", help="Only what differs from the defaults.")]
FoldersOption = Annotated[bool, typer.Option("--all", "-a", help="Also the folders of models, state, cache and logs.")]

config_app = typer.Typer(
    name="config",
    help="Check and show the configuration.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="\b\nExamples:\n  hostler config check\n  hostler config show --changed",
)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(config_app, "check", "hostler config check", "hostler config check --config other.toml", gateway=False)(
        check
    )
    command(
        config_app,
        "show",
        "hostler config show                every value and where it comes from",
        "hostler config show --changed",
        gateway=False,
    )(show)
    command(config_app, "path", "hostler config path --all", '$EDITOR "$(hostler config path)"', gateway=False)(path)
    command(config_app, "schema", "hostler config schema > hostler.schema.json", gateway=False)(schema)
    app.add_typer(config_app)


def check(session: Session) -> None:
    """Check the configuration.

    Every mistake is named with file, line and key; what is not on this machine
    is a warning.
    """
    import os

    from hostler.cli import output
    from hostler.cli.doctor.absent import absent
    from hostler.cli.doctor.declared import unplaceable_here
    from hostler.cli.doctor.pins import impossible_pins
    from hostler.cli.whereabouts import load_config
    from hostler.config.doubtful import doubtful
    from hostler.config.remotes import missing_keys

    loaded = load_config(session.config)
    config = loaded.config
    warnings = [
        *absent(config, session.config),
        *missing_keys(config, os.environ),
        *doubtful(config, os.environ),
        *unplaceable_here(config),
        *impossible_pins(config, session.config),
    ]
    if session.json:
        found = {"file": loaded.file, "valid": True, "profiles": list(config.profiles), "warnings": warnings}
        output.write_json(found)
    elif loaded.text is None:
        print(f"{loaded.file} does not exist; the defaults are in force.")
    else:
        count = len(config.profiles)
        print(f"{loaded.file} is valid, with {count} profile{'' if count == 1 else 's'}.")
        print(*(f"Warning: {line}." for line in warnings), sep="\n", end="\n" if warnings else "")


def show(session: Session, changed: ChangedOption = False) -> None:
    """Show every setting, its value and its source."""
    from hostler.cli import output
    from hostler.cli.whereabouts import load_config
    from hostler.config.load import show as shown_values

    loaded = load_config(session.config)
    values = [value for value in shown_values(loaded) if not changed or value.source != "default"]
    if session.json:
        output.write_json(values)
    elif not values:
        print("Nothing differs from the defaults.")
    else:
        _print_values(session, values, str(loaded.file))


def _print_values(session: Session, values: list[ShownValue], file: str) -> None:
    from rich.text import Text

    from hostler.cli import output

    shown = output.table("SETTING", "VALUE", "SOURCE", fold="VALUE")
    for value in values:
        source = value.source.replace(file, "line", 1).replace("line:", "line ", 1)
        style = "dim" if value.source == "default" else ""
        shown.add_row(Text(value.key, style=style), Text(value.value, style=style), Text(source, style="dim"))
    screen = output.console(session)
    screen.print(Text(file, style="dim"))
    screen.print(shown)


def path(session: Session, show_all: FoldersOption = False) -> None:
    """Show where the configuration file lies; it need not exist."""
    import os

    import msgspec

    from hostler.cli import output
    from hostler.config import paths

    home = paths.home(os.environ, session.config)
    if session.json:
        output.write_json(home)
    elif show_all:
        for name, folder in msgspec.structs.asdict(home).items():
            print(f"{name.replace('_', ' '):12} {folder}")
    else:
        print(home.config_file)


def schema(session: Session) -> None:
    """Write the JSON Schema of hostler.toml, for editors.

    It is JSON with and without --json.
    """
    from hostler.cli import output
    from hostler.config.schema import json_schema

    output.write_json(json_schema())
