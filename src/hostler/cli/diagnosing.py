"""`hostler doctor` and `hostler version`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import typer

from hostler.cli.command import ExitCode, Session, command

if TYPE_CHECKING:
    from hostler.cli.doctor.findings import Finding


class RunningGateway(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway that answered."""

    url: str
    version: str
    pid: int


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """What `hostler version` tells. ``engine`` is the embedded build, None when it is not installed."""

    hostler: str
    engine: str | None
    python: str
    platform: str
    gateway: RunningGateway | None


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        app, "doctor", "hostler doctor", "hostler doctor --json | jq '.[] | select(.level != \"ok\")'", gateway=False
    )(doctor)
    command(app, "version", "hostler version --json")(version)


def doctor(session: Session) -> int:
    """Examine this machine and say what to do.

    Looks at configuration, processor, memory, devices, engine builds, folders, port and models. Ends with 1
    when there is a problem.
    """
    from hostler.cli.doctor.checkup import examine

    findings = examine(session.config)
    if session.json:
        from hostler.cli.output import write_json

        write_json(findings)
    else:
        _print_findings(session, findings)
    return ExitCode.ERROR if any(finding.level == "problem" for finding in findings) else ExitCode.OK


def _print_findings(session: Session, findings: list[Finding]) -> None:
    from rich.text import Text

    from hostler.cli import output

    shown = output.table("", "CHECK", "FINDING", fold="FINDING")
    for finding in findings:
        told = Text(finding.message)
        if finding.hint:
            told.append(f"\n{finding.hint}", style="dim")
        shown.add_row(output.state(finding.level), Text(finding.check), told)
    screen = output.console(session)
    screen.print(shown)
    counts = {level: sum(finding.level == level for finding in findings) for level in ("problem", "warn")}
    screen.print(f"\n{_counted(counts['problem'], 'problem')}, {_counted(counts['warn'], 'warning')}.")


def _counted(count: int, word: str) -> str:
    return f"{count or 'no'} {word}{'' if count == 1 else 's'}"


async def version(session: Session) -> None:
    """Show the versions of Hostler and what it runs on."""
    from hostler.cli import output

    versions = await _versions(session)
    if session.json:
        output.write_json(versions)
        return
    print(f"hostler {versions.hostler}")
    print(f"engine  {versions.engine or 'none installed'}")
    print(f"python  {versions.python} on {versions.platform}")
    if versions.gateway is not None:
        print(f"gateway {versions.gateway.version} at {versions.gateway.url} (pid {versions.gateway.pid})")


async def _versions(session: Session) -> Versions:
    import platform

    from hostler import __version__
    from hostler.cli.doctor.engines import embedded_version

    embedded = embedded_version()
    return Versions(
        hostler=__version__,
        engine=None if embedded is None else f"xllamacpp {embedded}",
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
        gateway=await _gateway(session),
    )


async def _gateway(session: Session) -> RunningGateway | None:
    """The running gateway; None when none answers, or the configuration does not say where it would be."""
    from hostler.errors import ConfigError, NoGateway

    try:
        async with session.connect() as client:
            status = await client.status()
    except (NoGateway, ConfigError):
        return None
    return RunningGateway(url=status.url, version=status.version, pid=status.pid)
