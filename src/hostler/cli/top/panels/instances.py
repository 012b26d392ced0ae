"""What is loaded: state, progress of a load, memory against the plan, speed, requests, age."""

from __future__ import annotations

import msgspec
from rich.text import Text

from hostler.cli.listing import back
from hostler.cli.output import rate
from hostler.cli.top.board import Board
from hostler.cli.top.columns import Column, Fitted, fit
from hostler.cli.top.marks import BAD, DIM, WARN, progress_bar, short_size, short_time, state
from hostler.cli.top.panels.panel import Row, Shown, note
from hostler.events import LoadProgress
from hostler.wire.management import Instance, Parked, ProfileInfo

#: Held more than this times the plan: shown as a warning.
OVER = 1.1
#: Columns that a line keeps whose rest is words: profile and state.
LEAD = 2


class _Item(msgspec.Struct, frozen=True):
    """A line: an instance at ``now`` (seconds since the Unix epoch)."""

    instance: Instance
    now: float


class Instances:
    """The running engines, then profiles that failed, then those that are parked."""

    id = "instances"
    selects = True
    tail = False

    def show(self, board: Board, width: int) -> Shown:
        """One line an instance; while it loads, how far it is."""
        snapshot = board.snapshot
        if snapshot is None:
            return Shown("Instances", (note("waiting for the gateway", width),))
        items = [_Item(instance, snapshot.at) for instance in snapshot.instances]
        failed = [profile for profile in snapshot.profiles if profile.state == "failed"]
        table = fit(COLUMNS, items, width)
        rows = [_row(table, item, board.loads.get(item.instance.id), width) for item in items]
        if not rows and not failed:
            rows = [note("Nothing is loaded. A request loads its profile by itself; l loads one now.", width)]
        rows += [_failed(profile, width) for profile in failed]
        loaded = {instance.profile for instance in snapshot.instances}  # profiles are looked at less often
        left = [each for each in snapshot.profiles if each.state == "unloaded" and each.name not in loaded]
        rows += [_parked(each.name, each.parked, width) for each in left if each.parked]
        return Shown(_title(snapshot.instances), tuple(rows), table.head() if items else None)


def _title(instances: tuple[Instance, ...]) -> str:
    return f"Instances ({len(instances)})" if instances else "Instances"


def _row(table: Fitted[_Item], item: _Item, load: LoadProgress | None, width: int) -> Row:
    instance = item.instance
    if load is None or instance.state not in ("starting", "loading"):
        return Row(instance.id, table.row(item))
    return Row(instance.id, table.spanning(item, LEAD, progress(load), width))


def progress(load: LoadProgress) -> Text:
    """``██████░░░░  45% loading tensors, 0.4s``; no bar when nothing is known to estimate it from."""
    words = f"{load.stage}, {short_time(load.elapsed_s)}"
    if load.fraction is None:
        return Text(words)
    return progress_bar(load.fraction, 16).append(f" {load.fraction:4.0%} ").append(words)


def _failed(profile: ProfileInfo, width: int) -> Row:
    line = Text(f"{profile.name}  ", no_wrap=True).append("failed  ", style=BAD).append(profile.reason)
    line.truncate(width, overflow="ellipsis")
    return Row(profile.name, line)


def _parked(name: str, left: Parked, width: int) -> Row:
    line = Text(no_wrap=True).append(f"{name}  ").append(f"parked  {back(left)}", style=DIM)
    line.truncate(width, overflow="ellipsis")
    return Row(name, line)


def memory(instance: Instance) -> Text:
    """``host 311M/338M``: what it holds and what the plan said, by device; over the plan in colour."""
    text = Text()
    for device in {**instance.predicted_bytes, **instance.bytes}:
        held, planned = instance.bytes.get(device), instance.predicted_bytes.get(device)
        over = held is not None and planned is not None and held > OVER * planned
        text.append(" " if text else "").append(f"{device} ", style=DIM)
        text.append(short_size(held), style=WARN if over else "").append(f"/{short_size(planned)}", style=DIM)
    return text or Text("-")


def _rest(item: _Item) -> Text:
    """How long it is idle, and after how long it would leave."""
    instance = item.instance
    text = Text("-" if instance.idle_s is None else short_time(instance.idle_s))
    limit = "pinned" if instance.pinned else "never" if instance.ttl_s is None else short_time(instance.ttl_s)
    return text.append(f"/{limit}", style=DIM)


COLUMNS: tuple[Column[_Item], ...] = (
    Column("PROFILE", lambda item: item.instance.profile, least=16),
    Column("STATE", lambda item: state(item.instance.state)),
    Column("MEMORY/PLAN", lambda item: memory(item.instance), least=32),
    Column("TOK/S", lambda item: rate(item.instance.tokens_per_s), rank=1, right=True),
    Column("BUSY", lambda item: f"{item.instance.leases}/{item.instance.slots}", rank=1, right=True),
    Column("IDLE/TTL", _rest, rank=2, right=True),
    Column("AGE", lambda item: short_time(item.now - item.instance.started_at), rank=3, right=True),
    Column("SERVED", lambda item: str(item.instance.served), rank=4, right=True),
    Column("LOAD", lambda item: short_time(item.instance.load_s), rank=5, right=True),
    Column("CONTEXT", lambda item: str(item.instance.context), rank=6, right=True),
    Column("PID", lambda item: "-" if item.instance.pid is None else str(item.instance.pid), rank=7, right=True),
    Column("MODEL", lambda item: item.instance.model, rank=8, least=12),
    Column("CHANGED", lambda item: "; ".join(item.instance.changed), rank=9, least=8),
)
