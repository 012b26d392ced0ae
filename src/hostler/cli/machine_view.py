"""A machine as people read it: a block per device, figures with numbers that lead to their sources."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from hostler.config.quantities import format_bytes
from hostler.hardware.facts import Cpu, Device, Figure, Machine

BAR = 24
LABEL = 9


class Sources:
    """Numbers each source once, in the order in which they are asked for."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, *figures: Figure) -> str:
        """`` [1]``, or `` [1, 2]``."""
        for figure in figures:
            self._numbers.setdefault(figure.source, len(self._numbers) + 1)
        return f" [{', '.join(str(number) for number in sorted({self._numbers[f.source] for f in figures}))}]"

    def listed(self) -> Table:
        """All of them, with their numbers."""
        shown = _grid(5)
        for source, number in self._numbers.items():
            shown.add_row(Text(f"[{number}]", style="dim"), Text(source, style="dim"))
        return shown


def parts(machine: Machine) -> Iterator[Table | Text]:
    """What to print, one after the other."""
    sources = Sources()
    yield _title(machine)
    for device in machine.devices:
        yield Text()
        yield _block(device, machine.cpu, sources)
    yield from _disk(machine, sources)
    if machine.absent:
        yield Text()
        yield _absent(machine)
    yield Text()
    yield sources.listed()


def _title(machine: Machine) -> Text:
    title = Text(machine.description or machine.name, style="bold")
    if machine.price is not None:
        title.append(f"\n{machine.price.amount:,.0f} {machine.price.currency}", style="green")
        title.append(f" ({machine.price.source})", style="not bold dim")
    return title


def _block(device: Device, cpu: Cpu, sources: Sources) -> Table:
    block = _grid(6)
    block.add_row(Text(device.id, style="bold cyan"), Text(device.name, style="bold"))
    rows = _grid(LABEL + 2)
    for label, told in _rows(device, cpu, sources):
        rows.add_row(Text(label, style="dim"), told)
    block.add_row("", rows)
    return block


def _rows(device: Device, cpu: Cpu, sources: Sources) -> Iterator[tuple[str, Text]]:
    yield "memory", _memory(device)
    if note := _note(device):
        yield "", Text(note)
    if device.bandwidth is not None:
        yield "bandwidth", _gb(device.bandwidth, sources)
    if device.rates:
        yield "rates", _rates(device, sources)
    if device.pcie is not None:
        yield "link", Text(_link(device))
    if device.target or device.driver:
        yield "target", Text(", ".join(each for each in (device.target, _driver(device)) if each))
    if device.kind == "host":
        yield "cores", Text(_cores(cpu))
        if cpu.flags:
            yield "", Text(" ".join(cpu.flags), style="dim")


def _memory(device: Device) -> Text:
    """A bar of what is held, and the numbers."""
    held = device.total - device.free
    filled = min(BAR, round(BAR * held / device.total)) if device.total else 0
    line = Text()
    line.append("█" * filled, style="yellow").append("░" * (BAR - filled), style="green")
    return line.append(f" {format_bytes(device.free)} of {format_bytes(device.total)} free")


def _note(device: Device) -> str:
    told = []
    if device.unified:
        told.append("the host's memory, not counted twice")
    if device.limit is not None:
        told.append(f"{format_bytes(device.limit)} at the most for the GPU")
    if device.display:
        told.append("drives a display")
    return "; ".join(told)


def _rates(device: Device, sources: Sources) -> Text:
    words = [
        f"{kind} {_tera(rate.value)} T{'OP' if kind == 'int8' else 'FLOP'}/s" for kind, rate in device.rates.items()
    ]
    return Text(", ".join(words)).append(sources.mark(*device.rates.values()), style="dim")


def _link(device: Device) -> str:
    link = device.pcie
    assert link is not None
    told = f"PCIe {link.max_generation}.0 x{link.max_width}, {link.bandwidth / 1e9:.1f} GB/s"
    if (link.generation, link.width) != (link.max_generation, link.max_width):
        told += f" (now {link.generation}.0 x{link.width})"
    return told


def _driver(device: Device) -> str:
    return f"driver {device.driver}" if device.driver else ""


def _cores(cpu: Cpu) -> str:
    told = f"{cpu.cores}, {cpu.threads} threads"
    if cpu.efficiency_cores:
        told += f", {cpu.efficiency_cores} of them slow"
    return told + (f", {cpu.clock.value / 1e9:.1f} GHz" if cpu.clock else "")


def _disk(machine: Machine, sources: Sources) -> Iterator[Table | Text]:
    shown = _grid(6)
    if machine.disk is not None:
        shown.add_row(Text("disk", style="bold cyan"), _gb(machine.disk, sources))
    for node in machine.numa:
        told = f"node {node.id}: {format_bytes(node.memory)}, {node.threads} threads"
        shown.add_row(Text("numa", style="bold cyan"), Text(told))
    if shown.row_count:
        yield Text()
        yield shown


def _absent(machine: Machine) -> Table:
    shown = _grid(8)
    for absence in machine.absent:
        shown.add_row(Text(absence.probe, style="dim"), Text(absence.reason, style="dim"))
    return shown


def _gb(figure: Figure, sources: Sources) -> Text:
    rate = figure.value / 1e9
    return Text(f"{rate:.0f} GB/s" if rate >= 10 else f"{rate:.1f} GB/s").append(sources.mark(figure), style="dim")


def _tera(value: float) -> str:
    tera = value / 1e12
    return f"{tera:.0f}" if tera >= 10 else f"{tera:.2f}" if tera < 1 else f"{tera:.1f}"


def _grid(first: int) -> Table:
    """Two columns: one of ``first`` characters, and the rest of the line."""
    grid = Table.grid()
    grid.add_column(width=first, no_wrap=True)
    grid.add_column(overflow="fold")
    return grid
