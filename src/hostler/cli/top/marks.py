"""Small signs that several panels use: short sizes and durations, bars, styles. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from hostler.cli.output import STATE_STYLE

DIM = "dim"
GOOD, WARN, BAD = "green", "yellow", "bold red"
#: Cells of a bar: held by engines of ours, held by others, free.
OURS, OTHERS, FREE = "█", "▒", "░"
LEVELS = "▁▂▃▄▅▆▇█"


def state(name: str) -> Text:
    """A state in its colour."""
    return Text(name, style=STATE_STYLE.get(name, DIM))


def short_size(count: int | None) -> str:
    """Bytes in at most five characters: ``311M``, ``5.2G``, ``23.5G``; a dash for None."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "K", "M"):
        if value < 999.5:
            return f"{value:.0f}{unit}"
        value /= 1024
    return f"{value:.1f}G" if value < 999.5 else f"{value / 1024:.1f}T"


def short_time(seconds: float | None) -> str:
    """A duration in at most four characters: ``0.4s``, ``12s``, ``5m``, ``3h``, ``12d``; a dash for None."""
    if seconds is None:
        return "-"
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    for size, unit, limit in ((1, "s", 99.5), (60, "m", 99.5), (3600, "h", 47.5)):
        if seconds / size < limit:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds / 86400:.0f}d"


def progress_bar(fraction: float, width: int) -> Text:
    """How far something is: ``██████░░░░``."""
    done = round(max(0.0, min(1.0, fraction)) * width)
    return Text().append(OURS * done, style=GOOD).append(FREE * (width - done), style=DIM)


def memory_bar(total: int, held: int, ours: int, width: int) -> Text:
    """What of ``total`` bytes engines of ours hold, what others do, what is free. Whatever is held shows a cell."""
    if total <= 0 or width <= 0:
        return Text(FREE * max(0, width), style=DIM)
    ours = max(0, min(ours, held, total))
    mine = _cells(ours, total, width)
    theirs = min(width - mine, _cells(max(0, held - ours), total, width))
    bar = Text().append(OURS * mine, style=GOOD).append(OTHERS * theirs, style=WARN)
    return bar.append(FREE * (width - mine - theirs), style=DIM)


def _cells(part: int, total: int, width: int) -> int:
    return max(1, round(width * part / total)) if part > 0 else 0


def curve(values: Sequence[float | None], width: int) -> str:
    """The last ``width`` percentages as a line of blocks; a space where nothing was told."""
    return "".join(
        " " if value is None else LEVELS[min(7, int(max(0.0, value) / 12.5))] for value in values[-width:]
    ).rjust(max(0, width))


def cut(text: Text, width: int) -> Text:
    """``text`` in exactly ``width`` cells, with an ellipsis where something is missing."""
    text.truncate(max(0, width), overflow="ellipsis", pad=True)
    return text
