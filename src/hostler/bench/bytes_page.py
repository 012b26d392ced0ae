"""Predicted against reported bytes: the rows, the section of the page, and the data file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

#: Classes in the order of the page, and what an error of each is told in.
CLASSES: Final = {"weights": "MiB", "kv": "MiB", "recurrent": "MiB", "output": "MiB", "compute": "%"}


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One device in one run: by class what was predicted and what the engine reported, MiB.

    ``part`` is where the report comes from: recorded, live, loaded, devices or llama-fit-params.
    """

    model: str
    part: str
    layout: str
    sizes: str
    device: str
    classes: dict[str, tuple[float, float]]


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the page shows; ``at`` in seconds since the Unix epoch, ``projector`` predicted and reported."""

    at: float
    command: str
    engines: dict[str, str]
    flags: dict[str, str]
    projector: tuple[float, float]
    comparisons: tuple[Comparison, ...]

    def of(self, part: str) -> list[Comparison]:
        """Those of one part."""
        return [comparison for comparison in self.comparisons if comparison.part == part]


def written(compared: Compared) -> str:
    """JSON with a line for each comparison."""
    head = msgspec.json.encode(msgspec.structs.replace(compared, comparisons=())).decode()
    rows = ",\n".join(msgspec.json.encode(each).decode() for each in compared.comparisons)
    return head.removesuffix("[]}") + f"[\n{rows}\n]}}\n"


def section(compared: Compared) -> str:
    """The section, in Markdown."""
    day = time.strftime("%Y-%m-%d", time.gmtime(compared.at))
    recorded, live, loaded = (compared.of(part) for part in ("recorded", "live", "loaded"))
    runs, cards = len(compared.of("devices")), compared.engines["devices"]
    predicted, reported = compared.projector
    return f"""\
Errors are predicted less reported. For each model the smallest and the greatest over all its runs.

- Command: `{compared.command}`; every row: `benchmarks/results/placement-bytes.json`; {day}
- Recorded ({len(recorded)} dry runs, `tests/tools/referee.py`): {compared.engines["processor"]};
  {compared.flags["processor"]}
- Live ({len(live)} dry runs of other quantisations, with sizes that no formula was found with):
  {compared.engines["live"]}
- Loaded ({len(loaded)} loads of real files): {compared.engines["live"]}
- Several devices ({runs} devices in dry runs, `tests/tools/referee_devices.py`): {cards}; `{compared.flags["devices"]}`

### On the processor alone

{_by_class(recorded, "recorded")}

{_by_class(live, "live")}

{_by_class(loaded, "loaded")}

### On several devices

Weights and context (keys, values, states) are reported in whole MiB, cut off; hence errors from 0 to 1.

{_by_device(compared.of("devices"))}

### Beside it

- A projector (Qwen2.5-VL-7B's, F16): {predicted:,.0f} MiB predicted, {reported:,.0f} MiB expected by the server.
- `llama-fit-params` says of the compute buffer, as a multiple of what the server itself reserves: {_fit(compared)}."""


def _by_class(comparisons: Iterable[Comparison], title: str) -> str:
    head = [title, *(f"{name}, {unit}" for name, unit in CLASSES.items())]
    return _table(head, comparisons, lambda each: each.model, CLASSES)


def _by_device(comparisons: list[Comparison]) -> str:
    units = {"weights": "MiB", "context": "MiB", "compute": "%"}
    head = ["layout", "device", *(f"{name}, {unit}" for name, unit in units.items())]
    return _table(head, comparisons, lambda each: f"{each.layout} | {_device(each.device)}", units)


def _device(name: str) -> str:
    return {"RPC0": "first card", "RPC1": "second card"}.get(name, "host")


def _table(
    head: list[str], comparisons: Iterable[Comparison], key: Callable[[Comparison], str], units: dict[str, str]
) -> str:
    rows: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        rows.setdefault(key(comparison), []).append(comparison)
    lines = [
        "| " + " | ".join([name, *(_range(own, column, unit) for column, unit in units.items())]) + " |"
        for name, own in rows.items()
    ]
    return "\n".join(["| " + " | ".join(head) + " |", "|" + " --- |" * len(head), *lines])


def _range(comparisons: list[Comparison], name: str, unit: str) -> str:
    """The smallest and the greatest error."""
    found = [comparison.classes[name] for comparison in comparisons]
    if not any(max(each) for each in found):
        return "none"
    errors = [
        predicted - reported if unit == "MiB" else 100 * (predicted / reported - 1) if reported else 0.0
        for predicted, reported in found
    ]
    least, most = (_signed(error, 2 if unit == "MiB" else 1) for error in (min(errors), max(errors)))
    return least if least == most else f"{least} to {most}"


def _signed(error: float, places: int) -> str:
    # Adding 0.0 makes a plus of minus zero.
    return f"{round(error, places) + 0.0:+.{places}f}"


def _fit(compared: Compared) -> str:
    """By how much it overstates, over all models; the prediction stands for the server's own figure (see above)."""
    found = [each.classes["compute"] for each in compared.of("llama-fit-params")]
    ratios = [reported / predicted for predicted, reported in found]
    return f"{min(ratios):.1f} to {max(ratios):.1f} ({len(ratios)} runs)"
