"""The devices: memory held by us and by others, utilisation, temperature, power."""

from __future__ import annotations

import msgspec
from rich.text import Text

from hostler.cli.top.board import Board, Snapshot
from hostler.cli.top.columns import Column, fit
from hostler.cli.top.marks import BAD, DIM, WARN, curve, memory_bar, short_size
from hostler.cli.top.panels.panel import Row, Shown, note
from hostler.wire.hardware import DeviceMetrics, Reading
from hostler.wire.management import DeviceMemory

BAR = 16
WIDE_BAR = 30
WIDE = 110
CURVE = 24
BUSY, HOT_C = 95.0, 85.0


class _Item(msgspec.Struct, frozen=True):
    """A device: its memory as the fleet counts it, and its telemetry; either may be missing."""

    id: str
    memory: DeviceMemory | None
    metrics: DeviceMetrics | None
    bar: int

    @property
    def now(self) -> Reading:
        """The last reading, or an empty one."""
        return (self.metrics.now if self.metrics else None) or Reading(at=0.0)

    @property
    def total(self) -> int:
        """Its size in bytes; 0 when nobody told."""
        return self.memory.total if self.memory else self.metrics.total if self.metrics else 0

    @property
    def held(self) -> int:
        """Bytes that are not free."""
        if self.memory is not None:
            return self.memory.total - self.memory.free
        return self.now.used or 0


class Devices:
    """A line per device, the host last."""

    id = "devices"
    selects = False
    tail = False

    def show(self, board: Board, width: int) -> Shown:
        """Bars are engines of ours, then others, then free."""
        if board.snapshot is None:
            return Shown("Devices", (note("waiting for the gateway", width),))
        items = _items(board.snapshot, WIDE_BAR if width >= WIDE else BAR)
        table = fit(COLUMNS, items, width)
        return Shown("Devices  █ engines ▒ others", tuple(Row("", table.row(item)) for item in items), None)


def _items(snapshot: Snapshot, bar: int) -> list[_Item]:
    memory = {each.device: each for each in snapshot.status.memory}
    metrics = {each.device: each for each in snapshot.metrics.devices} if snapshot.metrics else {}
    return [
        _Item(device, memory.get(device), metrics.get(device), bar)
        for device in sorted({**metrics, **memory}, key=lambda device: (device == "host", device))
    ]


def _bar(item: _Item) -> Text:
    if item.metrics is not None and not item.metrics.present:
        return Text("does not answer".ljust(item.bar), style=BAD)
    return memory_bar(item.total, item.held, item.memory.used if item.memory else 0, item.bar)


def _amounts(item: _Item) -> Text:
    return Text(short_size(item.held)).append(f"/{short_size(item.total)}", style=DIM)


def _budget(item: _Item) -> Text:
    """What engines hold of what they may."""
    if item.memory is None:
        return Text("-")
    return Text(f"ours {short_size(item.memory.used)}").append(f"/{short_size(item.memory.budget)}", style=DIM)


def _utilisation(item: _Item) -> Text:
    value = item.now.utilisation
    label = "cpu" if item.id == "host" else "gpu"
    if value is None:
        return Text(f"{label}   -", style=DIM)
    return Text(f"{label} {value:3.0f}%", style=WARN if value >= BUSY else "")


def _temperature(item: _Item) -> Text:
    value = item.now.temperature_c
    return Text("") if value is None else Text(f"{value:.0f}°C", style=WARN if value >= HOT_C else "")


def _power(item: _Item) -> str:
    return "" if item.now.power_w is None else f"{item.now.power_w:.0f}W"


def _note(item: _Item) -> Text:
    """Why it is slow or gone."""
    if item.metrics is not None and not item.metrics.present:
        return Text(item.metrics.reason, style=BAD)
    return Text(f"throttled: {', '.join(item.now.throttling)}" if item.now.throttling else "", style=WARN)


def _name(item: _Item) -> Text:
    return Text(item.metrics.name if item.metrics else "", style=DIM)


def _curve(item: _Item) -> Text:
    values = item.metrics.history.utilisation if item.metrics else ()
    return Text(curve(values, CURVE), style="cyan")


COLUMNS: tuple[Column[_Item], ...] = (
    Column("", lambda item: item.id),
    Column("MEMORY", _bar),
    Column("HELD", _amounts, right=True),
    Column("OURS", _budget, rank=3),
    Column("USE", _utilisation, right=True),
    Column("TEMP", _temperature, rank=1, right=True),
    Column("POWER", _power, rank=1, right=True),
    Column("NOTE", _note, rank=1, least=16),
    Column("HISTORY", _curve, rank=5),
    Column("NAME", _name, rank=4, least=8),
)
