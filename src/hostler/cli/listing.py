"""`hostler ls` and `hostler ps`: what can be asked, and what runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from hostler.cli.command import Session, command
from hostler.config.quantities import format_seconds

if TYPE_CHECKING:
    from rich.table import Table

    from hostler.wire.management import Instance, Parked, ProfileInfo, RequestInFlight

AllOption = Annotated[bool, typer.Option("--all", "-a", help="Show hidden profiles too.")]
ExplainOption = Annotated[
    bool, typer.Option("--explain", help="Why each is loaded, what waits, and what would leave next.")
]
FOUND = "found on this machine"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "ls", "hostler ls              every profile", "hostler ls --all --json")(ls)
    command(
        app,
        "ps",
        "hostler ps              what runs now",
        "hostler ps --explain",
        "hostler ps --json | jq '.[].profile'",
    )(ps)


async def ls(session: Session, show_all: AllOption = False) -> None:
    """List the profiles and what they are.

    Shows context (tokens of one request), size on disk, state, and tokens/s once measured.
    """
    from hostler.cli import output

    async with session.connect() as client:
        known = [profile for profile in await client.profiles() if show_all or not profile.hidden]
    if session.json:
        output.write_json(known)
    elif not known:
        print("No profile and no model was found. `hostler starters fetch smollm2` fetches a small one.")
    else:
        screen = output.console(session)
        screen.print(_profiles(known))
        for profile in known:
            if why := _trouble(profile):
                screen.print(f"{profile.name}: {why}", style="yellow")


async def ps(session: Session, explain: ExplainOption = False) -> None:
    """List the running engines.

    Shows state, memory per device, leases of slots, tokens/s, idle time and its limit; below them what is the matter
    with one now, and what is other than its profile asks after it ran out of memory. Below the engines stand the
    profiles that are parked, which hold no memory and are back soon, then those that failed, with the reason; with
    --json both are in `hostler ls --json`.
    """
    from hostler.cli import output

    async with session.connect() as client:
        running = await client.instances()
        known = [] if session.json else await client.profiles()
        waiting = [r for r in (await client.requests(limit=0)).in_flight if r.state == "queued"] if explain else []
    if session.json:
        output.write_json(running)
    elif not running:
        print("Nothing is loaded. A request loads its profile by itself; `hostler load PROFILE` does it now.")
    left = {profile.name: profile.parked for profile in known if profile.parked and profile.state == "unloaded"}
    if left or (running and not session.json):
        screen = output.console(session)
        screen.print(_instances(running, left))
        for instance in running:
            for note in (*instance.notes, *instance.changed):
                screen.print(f"{instance.profile}: {note}", style="yellow", markup=False, highlight=False)
    for profile in known:
        if profile.state == "failed":
            print(f"{profile.name} failed: {_trouble(profile)}")
    if explain and not session.json:
        for line in explained(running, waiting):
            print(line)
    _warn_of_dark_gpus(session)


def back(left: Parked) -> str:
    """How soon a parked profile would be loaded, and what of it is left for that."""
    kept = [] if left.cached is None else [f"{left.cached:.0%} of its files cached"]
    kept += [f"{left.prompts} prompt{'' if left.prompts == 1 else 's'} saved"] if left.prompts else []
    return "; ".join((f"back in {format_seconds(round(left.load_s, 1))}", *kept))


def explained(running: list[Instance], waiting: list[RequestInFlight]) -> list[str]:
    """Why each is loaded, what waits, and what would leave next, a line each."""
    lines = [f"{instance.profile}: {instance.why}." for instance in running]
    for request in waiting:
        place = f", place {request.place}" if request.place else ""
        more = "how much longer is unknown" if request.wait_s is None else f"about {request.wait_s:.0f} s more"
        idle = f": first {' and '.join(request.after)} must become idle" if request.after else ""
        lines.append(f"{request.id} waits for {request.profile}{place}, {request.age_s:.0f} s so far, {more}{idle}.")
    leaving = sorted((i.leaves, i.profile) for i in running if i.leaves is not None)
    if running:
        order = ", then ".join(profile for _, profile in leaving)
        lines.append(
            f"When room is needed, {order} would leave." if order else "Nothing is idle that could leave to make room."
        )
    return lines


def _warn_of_dark_gpus(session: Session) -> None:
    """On standard error, and only for this machine's own gateway: elsewhere are other GPUs."""
    import os
    import sys

    from hostler.cli.active_build import dark_gpu

    if session.url is None and not os.environ.get("HOSTLER_URL") and (dark := dark_gpu(session.config)):
        print(f"hostler: {dark}", file=sys.stderr)


def _profiles(known: list[ProfileInfo]) -> Table:
    from rich.text import Text

    from hostler.cli import output

    shown = output.table(
        "PROFILE", "CONTEXT", "SIZE", "STATE", "TOK/S", "DESCRIPTION", right=("CONTEXT", "SIZE", "TOK/S"),
        fold="DESCRIPTION",
    )  # fmt: skip
    groups = _grouped(known)
    for heading, members in groups.items():
        if heading:
            shown.add_section()
            shown.add_row(Text(heading, style="dim"))
        indent = "  " if heading else ""
        for profile in members:
            shown.add_row(
                Text(indent + profile.name + ("*" if profile.default else "")),
                output.dash(profile.context),
                "remote" if profile.remote else output.size(profile.size),
                output.state("parked" if profile.parked and profile.state == "unloaded" else profile.state),
                output.rate(profile.tokens_per_s),
                Text(_about(profile)),
            )
    if any(profile.default for profile in known):
        shown.caption = "* the default"
        shown.caption_justify = "left"
    return shown


def _grouped(known: list[ProfileInfo]) -> dict[str, list[ProfileInfo]]:
    """Profiles under their headings, in the order that they came; without a heading first, found ones last."""
    groups: dict[str, list[ProfileInfo]] = {"": []}
    for profile in known:
        heading = profile.group or ("" if profile.origin == "config" else FOUND)
        groups.setdefault(heading, []).append(profile)
    found = groups.pop(FOUND, [])
    return groups | ({FOUND: found} if found else {})


def _memory(instance: Instance) -> str:
    """What it holds; of a remote, where that is."""
    if instance.remote:
        return f"remote: {instance.remote}"
    from hostler.cli import output

    return output.per_device(instance.bytes or instance.predicted_bytes)


def _about(profile: ProfileInfo) -> str:
    """Its description, else where it was found; what it does unless that is chat."""
    told = profile.description or (f"from {profile.origin}" if profile.origin != "config" else "")
    if profile.task not in (None, "chat"):
        return f"{told} ({profile.task})".strip()
    return told


def _trouble(profile: ProfileInfo) -> str:
    """Why it cannot run, and what to do; empty when nothing is wrong."""
    if profile.problem is not None:
        return f"{profile.problem.message} {profile.problem.hint}".strip()
    if profile.failure is not None:
        return f"{profile.failure.message} {profile.failure.hint}".strip()
    return profile.reason


def _instances(running: list[Instance], left: Mapping[str, Parked]) -> Table:
    """Engines, and behind them what is parked."""
    from rich.text import Text

    from hostler.cli import output

    shown = output.table(
        "PROFILE", "STATE", "WARM", "MEMORY", "LEASES", "TOK/S", "IDLE", "TTL", "PID",
        right=("LEASES", "TOK/S", "IDLE", "TTL", "PID"), fold="MEMORY",
    )  # fmt: skip
    for instance in running:
        shown.add_row(
            Text(instance.profile),
            output.state(instance.state),
            output.dash(None) if instance.remote else "yes" if instance.warm else "no",
            _memory(instance),
            f"{instance.leases}/{instance.slots}",
            output.rate(instance.tokens_per_s),
            output.seconds(instance.idle_s),
            "pinned" if instance.pinned else output.ttl(instance.ttl_s),
            output.dash(instance.pid),
        )
    for name, parked in left.items():
        shown.add_row(Text(name), output.state("parked"), "-", back(parked), *"-----")
    return shown
