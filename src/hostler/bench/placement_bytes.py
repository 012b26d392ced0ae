"""``python -m hostler.bench.placement_bytes``: predicted bytes against what the engine says it holds.

From the recorded dry runs (``tests/data``), and live: dry runs of the embedded engine with sizes that the formulae were
not found with, and loads of the two starter models. Writes its section of docs/benchmarks/placement.md and every row to
benchmarks/results/placement-bytes.json.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from hostler.bench.bytes_page import Compared, Comparison, section, written
from hostler.bench.dryrun import Answer, Asked, ask, engine
from hostler.bench.sections import replaced
from hostler.models.gguf import read_shape
from hostler.models.shape import ModelShape
from hostler.models.starters import STARTERS, fetch
from hostler.placement.bytes import Classes, bytes_of
from hostler.placement.layout import HOST, Run, whole
from hostler.testing.recordings import (
    ENGINE_HOST,
    DeviceRow,
    read_recorded,
    read_recorded_devices,
)
from hostler.testing.zoo import PUBLISHED, write_projector

COMMAND: Final = "make bench-placement"
ALONE: Final = "the processor alone"
MIB: Final = 2**20

#: Sizes that no formula was found with: caches, micro-batches, slots and contexts that no record has.
UNSEEN: Final = (
    Asked(700, "f16", 512, 1),
    Asked(9000, "f16", 64, 2),
    Asked(3000, "f16", 2048, 3),
    Asked(50000, "iq4_nl", 128, 8),
    Asked(100000, "q5_1", 1024, 1),
    Asked(262144, "q8_0", 2048, 16),
)
LOADS: Final = (Asked(2048, "f16", 512, 1), Asked(8192, "f16", 512, 1), Asked(16384, "q8_0", 256, 4))


class Shapes:
    """The shapes of published models, from headers written to a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.of = functools.cache(self._of)

    def path(self, name: str, recipe: str) -> Path:
        """The header-only file."""
        return next(model for model in PUBLISHED if model.name == name).write(self._folder, recipe)

    def projector(self) -> Path:
        """The header-only file of a projector."""
        return write_projector(self._folder)

    def _of(self, name: str, recipe: str) -> ModelShape:
        return read_shape([self.path(name, recipe)])


def on_host(model: str, part: str, shape: ModelShape, asked: Asked, said: Answer) -> Comparison:
    """A run on the processor alone."""
    each = asked.context // asked.slots
    run = Run(
        context=each, slots=asked.slots, cache_k=asked.cache, cache_v=asked.cache, ubatch=asked.ubatch, repacked=False
    )
    held = bytes_of(shape, run, whole(shape, HOST), {})[HOST]
    return Comparison(
        model=model,
        part=part,
        layout=ALONE,
        sizes=_sizes(*asked),
        device=HOST,
        classes={name: (_mib(held, name), reported) for name, reported in said._asdict().items()},
    )


def recorded(folder: Path, shapes: Shapes) -> Iterator[Comparison]:
    """The recorded dry runs of the embedded engine."""
    for row in read_recorded(folder).rows:
        asked = Asked(row.context, row.cache, row.ubatch, row.slots)
        said = Answer(row.weights, row.kv, row.recurrent, row.compute, row.output)
        yield on_host(row.model, "recorded", shapes.of(row.model, row.recipe), asked, said)


def on_devices(row: DeviceRow, shape: ModelShape) -> Iterator[Comparison]:
    """Every device of a recorded dry run with cards; RPC devices do not compute for the host."""
    found = bytes_of(shape, row.run, row.placed(len(shape.layers)), dict.fromkeys(row.devices, "host"))
    for device, held in row.devices.items():
        own = found[HOST if device == ENGINE_HOST else device]
        yield Comparison(
            model=row.model,
            part="devices",
            layout=row.layout,
            sizes=_sizes(row.context, row.cache, row.ubatch, row.slots),
            device=device,
            classes={
                "weights": (_mib(own, "weights"), held.model),
                "context": (_mib(own, "kv") + _mib(own, "recurrent"), held.context),
                "compute": (_mib(own, "compute"), held.compute),
            },
        )


def by_fit_params(folder: Path, shapes: Shapes) -> Iterator[Comparison]:
    """What ``llama-fit-params`` says of the processor alone, against the same predictions."""
    recipes = {model.name: model.recipes[0] for model in PUBLISHED}
    for row in read_recorded_devices(folder).fit_params:
        shape = shapes.of(row.model, recipes[row.model])
        own = bytes_of(shape, row.run, whole(shape, HOST), {})[HOST]
        yield Comparison(
            model=row.model,
            part="llama-fit-params",
            layout=ALONE,
            sizes=_sizes(row.context, row.cache, row.ubatch, row.slots),
            device=HOST,
            classes={"compute": (_mib(own, "compute"), row.held.compute)},
        )


def live(shapes: Shapes) -> Iterator[Comparison]:
    """Dry runs now, with sizes and quantisations that no record has."""
    for model in PUBLISHED:
        recipe = model.recipes[-1]
        path = shapes.path(model.name, recipe)
        for asked in UNSEEN:
            print(f"asking the engine: {path.name} {_sizes(*asked)}", flush=True)
            yield on_host(model.name, "live", shapes.of(model.name, recipe), asked, ask(path, asked))


def loaded(models: Path) -> Iterator[Comparison]:
    """Loads of the starter models, which are fetched when they are not in ``models``."""
    for name in ("smollm2", "gemma3-270m"):
        path = fetch(STARTERS[name], models, lambda _: None)
        for asked in LOADS:
            print(f"loading {path.name} {_sizes(*asked)}", flush=True)
            yield on_host(path.stem, "loaded", read_shape([path]), asked, ask(path, asked, dry=False))


def compare(folder: Path, models: Path) -> Compared:
    """Ask and compare everything; a minute or two."""
    with tempfile.TemporaryDirectory() as scratch:
        shapes, devices = Shapes(Path(scratch)), read_recorded_devices(folder)
        parts: list[Iterable[Comparison]] = [recorded(folder, shapes), by_fit_params(folder, shapes), live(shapes)]
        parts += [on_devices(row, shapes.of(row.model, row.recipe)) for row in devices.rows]
        parts.append(loaded(models))
        return Compared(
            at=time.time(),
            command=COMMAND,
            engines={"processor": read_recorded(folder).engine, "devices": devices.engine, "live": engine()},
            flags={"processor": read_recorded(folder).flags, "devices": devices.flags},
            projector=_projector(shapes, devices.projector),
            comparisons=tuple(comparison for part in parts for comparison in part),
        )


def _projector(shapes: Shapes, reported: float) -> tuple[float, float]:
    """Predicted and reported MiB of the zoo's projector."""
    shape = shapes.of("Qwen2.5-VL-7B", "Q4_K_M")
    run = Run(context=4096, projector=shapes.projector().stat().st_size)
    return _mib(bytes_of(shape, run, whole(shape, HOST), {})[HOST], "projector"), reported


def _mib(held: Classes, name: str) -> float:
    size: int = getattr(held, name)
    return round((size + held.mapped if name == "weights" else size) / MIB, 3)


def _sizes(context: int, cache: str, ubatch: int, slots: int) -> str:
    return f"-c {context} -ctk {cache} -ctv {cache} -ub {ubatch} -np {slots}"


def main() -> None:
    """Compare, write the rows, and the page's section."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--records", type=Path, default=Path("tests/data"))
    arguments.add_argument("--models", type=Path, default=Path(".make/models"))
    arguments.add_argument("--data", type=Path, default=Path("benchmarks/results/placement-bytes.json"))
    arguments.add_argument("--page", type=Path, default=Path("docs/benchmarks/placement.md"))
    told = arguments.parse_args()
    compared = compare(told.records, told.models)
    told.data.parent.mkdir(parents=True, exist_ok=True)
    told.data.write_text(written(compared), "utf-8")
    told.page.write_text(replaced(told.page.read_text("utf-8"), "bytes", section(compared)), "utf-8")


if __name__ == "__main__":
    main()
