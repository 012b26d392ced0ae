"""A plan as people read it, at most 80 columns wide unless the terminal is wider."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, groupby, zip_longest

from rich.table import Table
from rich.text import Text

from hostler.cli.output import listed, rate
from hostler.cli.plan_bars import device_lines
from hostler.wire.comparison import Compared
from hostler.wire.plan import Interval, PlannedFlag, PlannedMachine, PlanReport

WIDTH = 80
FLAG = 30
#: Columns that a table of speeds, and reasons beside flags, need at least.
BESIDE = 64


def parts(report: PlanReport, width: int, *, color: bool) -> Iterator[Text | Table]:
    """What to print, one after the other."""
    yield from _head(report, width)
    for device in report.devices:
        yield Text()
        yield from device_lines(report, device, width, color=color)
    yield Text()
    yield from [_speeds(report)] if width >= BESIDE else _speeds_below(report, width)
    yield from _bound(report, width)
    if report.goes:
        yield Text()
        yield from _paragraph(f"{listed(report.goes)} would have to go first.", width, style="yellow")
    yield from _section("Flags, and why", chain(_flags(report.flags, width), _environment(report.env)))
    yield from _section("To know", (line for note in report.notes for line in _item(note, width)))
    others = (f"{each.change}: {each.effect}" for each in report.alternatives)
    yield from _section("Other ways", (line for told in others for line in _item(told, width)))


def _head(report: PlanReport, width: int) -> Iterator[Text]:
    model, run = report.model, report.run
    name = report.profile if report.profile == model.name else f"{report.profile}: {model.name}"
    told_already = model.quantisation.removesuffix("_MOE").lower() in model.name.lower()
    quantisation = "" if told_already else f" {model.quantisation}"
    yield Text(plain(f"{name}{quantisation} on {called(report.machine)}"), style="bold")
    kv = run.cache_k if run.cache_k == run.cache_v else f"{run.cache_k}/{run.cache_v}"
    active = f", {_count(model.active_parameters)} of them per token" if model.active_experts else ""
    slots = f" in each of {run.slots} slots" if run.slots > 1 else ""
    told = (
        f"{model.architecture}, {_count(model.parameters)} parameters{active}; context {tokens(run.context)}{slots} "
        f"(trained for {tokens(model.context)}), KV {kv}"
    )
    yield from _paragraph(told, width, style="dim")


def called(machine: PlannedMachine) -> str:
    """A described machine's name; the one that was looked at is this one."""
    return machine.name if machine.described else "this machine"


def _count(parameters: int) -> str:
    if parameters >= 10**9:
        return f"{parameters / 1e9:.1f} B"
    return f"{parameters / 1e6:.0f} M"


def tokens(count: int) -> str:
    """``131072`` as ``128K``."""
    return f"{count // 1024}K" if count >= 1024 and count % 1024 == 0 else f"{count}"


def _speeds(report: PlanReport) -> Table:
    shown = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    shown.add_column("Tokens per second")
    for heading in ("decode", "prefill"):
        shown.add_column(heading, justify="right", no_wrap=True)
        shown.add_column("expected", justify="left", no_wrap=True, style="dim")
    for speed in report.speeds:
        shown.add_row(
            _filled(speed.depth, report.run.context),
            *(rate(speed.decode.value), _between(speed.decode)),
            *(rate(speed.prefill.value), _between(speed.prefill)),
        )
    return shown


def _speeds_below(report: PlanReport, width: int) -> Iterator[Text]:
    """The same on a narrow terminal, where a table would lose its columns."""
    yield Text("Tokens per second", style="bold")
    for speed in report.speeds:
        yield from _item(
            f"{_filled(speed.depth, report.run.context)}: decode {rate(speed.decode.value)} "
            f"({_between(speed.decode)}), prefill {rate(speed.prefill.value)} ({_between(speed.prefill)})",
            width,
        )


def _filled(depth: int, context: int) -> str:
    if depth == 0:
        return "context empty"
    return f"full, {tokens(context)}" if depth >= context - 1 else f"with {tokens(depth)} in it"


def _between(interval: Interval) -> str:
    return f"{rate(interval.low)} to {rate(interval.high)}"


def _bound(report: PlanReport, width: int) -> Iterator[Text]:
    if not report.speeds:
        return
    first = report.speeds[0]
    shares = sorted(first.shares.items(), key=lambda item: -item[1])
    spread = [f"{device} {share:.0%}" for device, share in shares if share >= 0.005]
    left = 1 - sum(first.shares.values())
    spread += [f"changes of device and sampling {left:.0%}"] if left >= 0.005 else []
    splits = f"; {first.splits} graph splits" if first.splits > 1 else ""
    yield from _paragraph(f"Time of a token: {', '.join(spread)}{splits}.", width, style="dim")


def _flags(flags: Sequence[PlannedFlag], width: int) -> Iterator[Text]:
    """Flags and their reason side by side, those with one reason together; below each other where a flag is long."""
    for reason, group in groupby(flags, key=lambda flag: flag.reason):
        left = []
        for words in (" ".join(flag.argv) for flag in group):
            if len(words) < FLAG and width >= BESIDE:
                left.append(words)
            else:
                # Whole, so that it can be copied: the terminal breaks it where it must.
                yield Text(f"  {words}", style="cyan")
        if width < BESIDE:
            yield from _item(f"  {reason}", width)
            continue
        right = textwrap.wrap(reason, width - FLAG - 2)
        for words, line in zip_longest(left, right, fillvalue=""):
            yield Text(f"  {words:<{FLAG}}", style="cyan").append(line, style="default")


def _environment(env: Mapping[str, str]) -> Iterator[Text]:
    for name, value in env.items():
        words = f"{name}={value}"
        yield Text(f"  {words:<{FLAG}}", style="cyan").append("in its environment", style="default")


def _item(told: str, width: int) -> list[Text]:
    return [Text(line) for line in textwrap.wrap(plain(told), width, initial_indent="  ", subsequent_indent="    ")]


def _paragraph(told: str, width: int, style: str) -> Iterator[Text]:
    yield from (Text(line, style=style) for line in textwrap.wrap(plain(told), width))


def plain(told: str) -> str:
    """What headers and addresses say may hold characters that steer a terminal."""
    return "".join(character if character.isprintable() else "?" for character in told)


def _section(heading: str, lines: Iterator[Text]) -> Iterator[Text]:
    found = list(lines)
    if found:
        yield Text()
        yield Text(heading, style="bold")
        yield from found


def comparison(name: str, compared: Sequence[Compared], width: int) -> Iterator[Table | Text]:
    """Several machines below each other; then, why some have no plan."""
    contexts = {each.plan.run.context for each in compared if each.plan}
    same = f", context {tokens(*contexts)}" if len(contexts) == 1 else ""
    yield Text(plain(f"{name}{same}; tokens per second with an empty context"), style="bold")
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", width=width)
    shown.add_column("MACHINE", no_wrap=True)
    shown.add_column("WHERE", overflow="fold", ratio=1)
    headings = ["DECODE", "PREFILL", *([] if same else ["CONTEXT"]), "PRICE", "PER T/S"]
    for heading in headings:
        shown.add_column(heading, justify="right", no_wrap=True)
    for each in compared:
        shown.add_row(*_row(each, context=not same))
    yield shown
    for each in compared:
        if each.problem is not None:
            yield Text()
            yield from _paragraph(f"{each.problem.message} {each.problem.hint}".strip(), width, style="yellow")


def _row(each: Compared, *, context: bool) -> list[str | Text]:
    price = each.machine.price
    told = f"{price.amount:,.0f} {price.currency}" if price else "-"
    if each.plan is None:
        return [each.machine.name, Text("does not fit", style="red"), "-", "-", *(["-"] if context else []), told, "-"]
    speed = each.plan.speeds[0]
    per = f"{price.amount / speed.decode.value:,.2f}" if price and speed.decode.value else "-"
    return [
        each.machine.name,
        where(each.plan),
        rate(speed.decode.value),
        rate(speed.prefill.value),
        *([tokens(each.plan.run.context)] if context else []),
        told,
        per,
    ]


def where(report: PlanReport) -> str:
    """In a few words, which devices hold the layers: ``gpu0 + gpu1, 12 layers' experts on host``."""
    layers = list(dict.fromkeys(span.device for span in report.layout.layers))
    gpus = [name for name in (*report.layout.gpus, "host") if name in layers or report.layout.split == "tensor"]
    shown = [name for name in gpus if name != "host" or "host" in layers]
    spilled = _on_host(report) - (sum(s.last - s.first + 1 for s in report.layout.layers if s.device == "host"))
    experts = f", experts of {spilled} layers on host" if report.model.experts and spilled > 0 else ""
    return " + ".join(shown) + experts


def _on_host(report: PlanReport) -> int:
    return sum(span.last - span.first + 1 for span in report.layout.experts if span.device == "host")
