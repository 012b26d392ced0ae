"""What a device holds, as a bar with its legend: one colour a class, or one letter where there are no colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.text import Text

from hostler.config.quantities import format_bytes
from hostler.wire.plan import PlannedDevice, PlanReport

GIB = 2**30
INDENT = 6
BLOCK = "█"

#: Letter and colour of each class.
LOOKS = {
    "weights": ("w", "cyan"),
    "experts": ("e", "blue"),
    "KV": ("k", "green"),
    "compute": ("c", "magenta"),
    "table": ("t", "bright_cyan"),
    "other": ("o", "yellow"),
    "profile": ("p", "bright_magenta"),
    "gpu": ("g", "bright_blue"),
    "margin": ("m", "white"),
    "others": ("x", "red"),
    "free": (".", "bright_black"),
}


class Segment(NamedTuple):
    """A part of a device's memory; ``look`` is a key of :data:`LOOKS`."""

    look: str
    label: str
    size: int


def segments(device: PlannedDevice, shared: Sequence[PlannedDevice] = ()) -> tuple[Segment, ...]:
    """The parts of a device, which add up to its memory; ``shared`` are GPUs that live in it."""
    held = device.bytes
    parts = [
        Segment("weights", "weights", held.weights),
        Segment("experts", "experts", held.experts),
        Segment("KV", "KV and state" if held.recurrent else "KV", held.kv + held.recurrent),
        Segment("compute", "compute", held.compute + held.output),
        Segment("table", "token table", held.mapped),
        Segment("other", "other", _rest(device)),
        *(Segment("gpu", each.id, each.bytes.total) for each in shared),
        *(Segment("profile", name, size) for name, size in device.residents.items()),
        Segment("others", "held by others", device.foreign),
        Segment("margin", "margin", device.margin),
    ]
    known = sum(part.size for part in parts) + max(0, device.free)
    # A GPU in the host's memory cannot have what the host keeps.
    parts.append(Segment("others", "kept by the host", max(0, device.total - known) if device.unified else 0))
    parts.append(Segment("free", "free", max(0, device.free)))
    return tuple(part for part in parts if part.size > 0)


def _rest(device: PlannedDevice) -> int:
    held = device.bytes
    told = held.weights + held.experts + held.kv + held.recurrent + held.compute + held.output + held.mapped
    return held.total - told


def cells(parts: Sequence[Segment], width: int) -> list[int]:
    """How many of ``width`` characters each part gets: at least one, the sum is ``width``."""
    total = sum(part.size for part in parts)
    exact = [part.size * width / total for part in parts]
    found = [max(1, int(each)) for each in exact]
    while sum(found) != width:
        step = 1 if sum(found) < width else -1
        movable = [place for place, count in enumerate(found) if step > 0 or count > 1]
        found[max(movable, key=lambda place: step * (exact[place] - found[place]))] += step
    return found


def device_lines(report: PlanReport, device: PlannedDevice, width: int, *, color: bool) -> Iterator[Text]:
    """Title, bar and legend of one device, each at most ``width`` wide."""
    shared = [each for each in report.devices if each.unified and each.id != device.id] if device.id == "host" else []
    parts = segments(device, shared)
    title = Text(f"{device.id:<{INDENT}}", style="bold cyan").append(device.name, style="bold")
    title.append(f", {format_bytes(device.total)}" + (" of the host's memory" if device.unified else ""), style="dim")
    yield title
    if parts:
        yield _bar(parts, width - INDENT, color=color)
        yield from _legend(parts, width, color=color)


def _bar(parts: Sequence[Segment], width: int, *, color: bool) -> Text:
    line = Text(" " * INDENT)
    for part, count in zip(parts, cells(parts, width), strict=True):
        letter, style = LOOKS[part.look]
        line.append((BLOCK if color else letter) * count, style=style)
    return line


def _legend(parts: Sequence[Segment], width: int, *, color: bool) -> Iterator[Text]:
    """Entries in as few lines as they need; GiB."""
    line = Text(" " * INDENT)
    for part in parts:
        letter, style = LOOKS[part.look]
        entry = Text("■" if color else letter, style=style).append(f" {part.label} {gib(part.size)}", style="default")
        if line.cell_len > INDENT and line.cell_len + 2 + entry.cell_len > width:
            yield line
            line = Text(" " * INDENT)
        if line.cell_len > INDENT:
            line.append("  ")
        line.append_text(entry)
    yield line


def gib(size: int) -> str:
    """GiB with one place, two below a tenth."""
    value = size / GIB
    return f"{value:.2f}" if value < 0.0995 else f"{value:.1f}"
