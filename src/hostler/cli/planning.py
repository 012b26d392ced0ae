"""`hostler plan`: where every part of a model would go, how fast it would be, and why; nothing is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, cast, get_args

import msgspec
import typer

from hostler.cli.command import ExitCode, Session, command, usage_error
from hostler.cli.completion import complete_machine, complete_profile
from hostler.config.settings import Config, KvType
from hostler.errors import HostlerError, NeverFits

if TYPE_CHECKING:
    from hostler.cli.plan_site import Where
    from hostler.fleet.profiles.planning import Asked
    from hostler.fleet.recovery.ladder import Changes as Ladder
    from hostler.wire.comparison import Compared
    from hostler.wire.plan import PlanReport

KV_TYPES: tuple[str, ...] = get_args(KvType)
LEAST_CONTEXT = 16


def complete_place(incomplete: str) -> list[str]:
    """`this`, and the machines that come with Hostler."""
    return [name for name in ("this", *complete_machine("")) if name.startswith(incomplete)]


def complete_kv(incomplete: str) -> list[str]:
    """Types of cached keys and values."""
    return [name for name in KV_TYPES if name.startswith(incomplete)]


ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", autocompletion=complete_profile,
        help="A profile, a model that `hostler ls` shows, a GGUF file, its address, or REPO[:QUANT] on the hub.",
    ),
]  # fmt: skip
HardwareOption = Annotated[
    list[str] | None,
    typer.Option(
        "--hardware", metavar="MACHINE", autocompletion=complete_place, show_default=False,
        help="`this`, a machine that comes with Hostler, or a file that describes one; may be given again.",
    ),
]  # fmt: skip
ContextOption = Annotated[
    str | None,
    typer.Option("--context", "-c", metavar="N|max", help="Tokens of one request: 65536, 64K.", show_default=False),
]
KvOption = Annotated[
    str | None,
    typer.Option(
        "--kv", metavar="TYPE", autocompletion=complete_kv, show_default=False,
        help="Type of cached keys and values: f16, q8_0, ..., auto.",
    ),
]  # fmt: skip
SlotsOption = Annotated[
    int | None, typer.Option("--slots", min=1, max=1024, help="Requests in parallel.", show_default=False)
]


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What the options say instead of the profile."""

    context: int | Literal["max"] | None
    kv: KvType | None
    slots: int | None


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        app,
        "plan",
        "hostler plan coder                            a profile, on this machine as it is now",
        "hostler plan ~/models/big-Q4_K_M.gguf --context 64K --kv q8_0",
        "hostler plan ORG/REPO:Q4_K_M                  before it is fetched; a few megabytes are read",
        "hostler plan coder --hardware dgx-spark       what if I had that one?",
        "hostler plan coder --hardware this --hardware m4-max-64gb",
        "hostler plan coder --json | jq '.devices[] | {id, free}'",
        gateway=False,
    )(plan)


def plan(
    session: Session,
    model: ModelArgument,
    hardware: HardwareOption = None,
    context: ContextOption = None,
    kv: KvOption = None,
    slots: SlotsOption = None,
) -> int:
    """Show where a model would go and how fast it would be.

    Bytes per device and class, predicted speed with its interval, the flags that the engine would get and why, who
    would have to go, and what else could be done. On this machine with what is resident and held by others now;
    several machines are compared in a table.
    """
    from hostler.cli.plan_subject import look
    from hostler.cli.whereabouts import load_config

    config = load_config(session.config).config
    changes = Changes(context=_context(context), kv=_kv(kv), slots=slots)
    changed = _changed(look(model, config, session.config), changes)
    machines = hardware or ["this"]
    if len(machines) == 1:
        _show(session, _report(session, changed, machines[0], config))
        return ExitCode.OK
    compared = [_compared(session, changed, name, config) for name in machines]
    _show_all(session, changed.name, compared)
    return ExitCode.OK if any(each.plan for each in compared) else ExitCode.ERROR


def _context(text: str | None) -> int | Literal["max"] | None:
    """Tokens: ``65536``, ``64K``, ``max``."""
    if text is None:
        return None
    if text == "max":
        return "max"
    number, thousands = (text[:-1], 1024) if text[-1:] in "kK" else (text, 1)
    if not number.isascii() or not number.isdigit() or not LEAST_CONTEXT <= int(number) * thousands < 2**31:
        usage_error(f"--context takes a number of tokens from {LEAST_CONTEXT} on, or max; not {text!r}.")
    return int(number) * thousands


def _kv(text: str | None) -> KvType | None:
    if text is None:
        return None
    if text not in KV_TYPES:
        usage_error(f"--kv takes one of {', '.join(KV_TYPES)}; not {text!r}.")
    return cast(KvType, text)


def _changed(asked: Asked, changes: Changes) -> Asked:
    """``asked`` with what the options say."""
    profile = asked.profile
    if changes.context is not None:
        profile = msgspec.structs.replace(profile, context=changes.context)
    if changes.slots is not None:
        profile = msgspec.structs.replace(profile, slots=changes.slots)
    if changes.kv is not None:
        engine = msgspec.structs.replace(profile.engine, cache_type_k=None, cache_type_v=None)
        profile = msgspec.structs.replace(profile, kv=changes.kv, engine=engine)
    return msgspec.structs.replace(asked, profile=profile)


def _where(session: Session, asked: Asked, machine: str, config: Config) -> Where:
    from hostler.cli import plan_site

    if machine == plan_site.THIS:
        return plan_site.this(config, session.config, asked.profile.engine.build, asked.name)
    from hostler.hardware.machines import load

    return plan_site.described(load(machine))


def _report(session: Session, asked: Asked, machine: str, config: Config) -> PlanReport:
    return _planned(asked, _where(session, asked, machine, config))


def _planned(asked: Asked, where: Where) -> PlanReport:
    """The plan as it is shown. Raises NeverFits, and FlagConflict or ConfigError for placing flags.

    With what is remembered of its loads, unless that cannot be planned: the next load forgets it then, too.
    """
    from hostler.fleet.recovery.ladder import NONE as UNCHANGED

    changes = where.changes(asked.profile)
    try:
        return _planned_with(changes, asked, where)
    except NeverFits:
        if not changes.steps:
            raise
        return _planned_with(UNCHANGED, asked, where)


def _planned_with(changes: Ladder, asked: Asked, where: Where) -> PlanReport:
    from hostler.engines.commands import placing
    from hostler.fleet.profiles.planning import ground_of, said, wished
    from hostler.placement.alternatives import alternatives
    from hostler.placement.planner import plan_beside
    from hostler.placement.report import Subject, report

    manual = placing.check(ground_of(asked, where.site, where.build))
    wish = msgspec.structs.replace(wished(asked, changes), manual=manual)
    site = where.at(asked.shape, wish)
    site = msgspec.structs.replace(site, rooms=changes.rooms(site.rooms))
    try:
        found = plan_beside(asked.shape, wish, site, where.leaving)
    except NeverFits as error:
        on = site.machine.name if site.machine.described else "this machine"
        raise NeverFits(f"{asked.name} does not fit {on}. {error.message}", hint=error.hint) from None
    others = alternatives(asked.shape, wish, site, found)
    subject = Subject(profile=asked.name, model=asked.model.name, shape=asked.shape, size=asked.model.size)
    told = report(subject, site.machine, found, others)
    return msgspec.structs.replace(told, notes=(*where.notes, *said(changes), *told.notes))


def _compared(session: Session, asked: Asked, machine: str, config: Config) -> Compared:
    """One of several machines: a plan, or why there is none. Raises for a machine that is not."""
    from hostler.placement.report import machine_of
    from hostler.wire.comparison import Compared
    from hostler.wire.management import Problem

    where = _where(session, asked, machine, config)
    of = machine_of(where.site.machine)
    try:
        return Compared(machine=of, plan=_planned(asked, where))
    except HostlerError as error:
        return Compared(machine=of, problem=Problem(code=error.code, message=error.message, hint=error.hint))


def _width(session: Session) -> int:
    """Columns to fill: the terminal's, 80 where there is none."""
    import sys

    from hostler.cli.output import console
    from hostler.cli.plan_view import WIDTH

    return max(WIDTH // 2, min(console(session).width, 120)) if sys.stdout.isatty() else WIDTH


def _show(session: Session, told: PlanReport) -> None:
    from hostler.cli.output import console, write_json

    if session.json:
        write_json(told)
        return
    from hostler.cli.plan_view import parts

    screen = console(session)
    for part in parts(told, _width(session), color=session.color):
        screen.print(part, soft_wrap=True)


def _show_all(session: Session, name: str, compared: list[Compared]) -> None:
    from hostler.cli.output import console, write_json

    if session.json:
        write_json(compared)
        return
    from hostler.cli.plan_view import comparison

    screen = console(session)
    for part in comparison(name, compared, _width(session)):
        screen.print(part)
