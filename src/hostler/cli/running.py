"""`hostler up` and `hostler reload`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hostler.cli.command import Session, command
from hostler.cli.completion import complete_profile
from hostler.errors import HomeLocked

if TYPE_CHECKING:
    from hostler.client.locate import GatewayRecord
    from hostler.wire.management import Reloaded

FirstProfile = Annotated[
    str | None,
    typer.Argument(
        metavar="PROFILE", help="Load it at once; with a gateway running, switch to it.",
        autocompletion=complete_profile, show_default=False,
    ),
]  # fmt: skip
HostOption = Annotated[str | None, typer.Option("--host", help="Address to listen on.", show_default=False)]
PortOption = Annotated[
    int | None, typer.Option("--port", "-p", min=0, max=65535, help="Port; 0 takes a free one.", show_default=False)
]
FormatOption = Annotated[
    Literal["console", "json"] | None,
    typer.Option("--log-format", help="Readable lines, or JSON (as --json).", show_default=False),
]
LevelOption = Annotated[
    Literal["debug", "info", "warning", "error"] | None,
    typer.Option("--log-level", help="Least level that is logged.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        app,
        "up",
        "hostler up                   serve until Ctrl-C",
        "hostler up smollm2           and load this profile at once",
        "hostler up --port 8080 --log-format json",
        gateway=False,
    )(up)
    command(app, "reload", "hostler reload               after hostler.toml was edited")(reload)


def up(
    session: Session,
    profile: FirstProfile = None,
    host: HostOption = None,
    port: PortOption = None,
    log_format: FormatOption = None,
    log_level: LevelOption = None,
) -> int:
    """Start the gateway and serve until Ctrl-C.

    With a gateway running already, switch it to PROFILE.
    """
    from hostler.cli.whereabouts import state_folder
    from hostler.client.locate import read_record

    record = read_record(state_folder(session.config))
    if record is not None:
        return _already_up(session, record, profile)
    from hostler.cli.announcement import announce
    from hostler.up import UpOptions, run

    return run(
        UpOptions(
            config=session.config,
            host=host,
            port=port,
            log_format="json" if session.json else log_format,
            log_level=log_level,
            profile=profile,
            announce=lambda standing: announce(session, standing),
        )
    )


def _already_up(session: Session, record: GatewayRecord, profile: str | None) -> int:
    import anyio

    if profile is None:
        raise HomeLocked(
            f"A gateway already runs at {record.url} (pid {record.pid}).",
            hint=f"`hostler up PROFILE` switches it; Ctrl-C where it runs, or `kill {record.pid}`, stops it.",
        )
    if not session.json:
        print(f"A gateway already runs at {record.url} (pid {record.pid}): switching it to {profile}.")
    anyio.run(_switch, session, record.url, profile)
    return 0


async def _switch(session: Session, url: str, profile: str) -> None:
    from hostler.cli.residency import switch_to
    from hostler.client.gateway import Client

    async with Client(url) as client:
        await switch_to(session, client, profile)


async def reload(session: Session) -> None:
    """Read the configuration again.

    Instances whose settings did not change are left alone. A wrong configuration changes nothing. What takes effect
    at the next start only is named.
    """
    from hostler.cli import output
    from hostler.cli.output import listed

    async with session.connect() as client:
        done = await client.reload()
    if session.json:
        output.write_json(done)
    else:
        print(_told(done))
        for line in done.warnings:
            print(f"Warning: {line}.")
        if done.waiting:
            print(f"At the next start of the gateway: {listed(done.waiting)}.")


def _told(done: Reloaded) -> str:
    from hostler.cli.output import listed

    parts = [
        f"{listed(names)} {word}"
        for names, word in ((done.added, "added"), (done.changed, "changed"), (done.removed, "removed"))
        if names
    ]
    return f"Reloaded: {'; '.join(parts)}." if parts else "Reloaded: no profile differs."
