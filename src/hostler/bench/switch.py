"""``python -m hostler.bench.switch``: what a switch of models costs, against a bare engine and the engine's own router.

Two models take turns. In each round every way to switch goes to the same one, and each in turn is first:

bare    the same command as the gateway's: SIGTERM, reaped, started, its port read from the log, first token
ours    a request for the other profile: drained, stopped, memory returned, started, warmed up, first token
router  with --server: `llama-server` without a model, `--models-max 1`, the same flags for each model

Times are from the decision to switch to the first token that the client sees.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import os
import platform
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from hostler.bench.machine import system
from hostler.bench.sections import replaced
from hostler.bench.switch_page import Figure, Report, section
from hostler.bench.switchers import Switcher, argv_of, bare, bare_command, ours, router

WARM_UP: Final = 2
FILES: Final = {"smollm2": "SmolLM2-135M-Instruct.Q4_1.gguf", "gemma": "gemma-3-270m-q4_k_m.gguf"}


async def measured(folder: Path, models: Mapping[str, Path], server: Path | None, switches: int) -> list[Figure]:
    """All ways to switch with one build, interleaved."""
    build = "embedded" if server is None else str(server)
    async with contextlib.AsyncExitStack() as stack:
        ways: dict[str, Switcher] = {}
        gateway = await stack.enter_async_context(ours(folder, models, build))
        commands: dict[str, tuple[str, ...]] = {}
        for name in models:
            await gateway.to(name)
            commands[name] = bare_command(await argv_of(gateway, name), server, folder)
        ways["bare"] = await stack.enter_async_context(bare(commands))
        ways["ours"] = gateway
        if server is not None:
            ways["router"] = await stack.enter_async_context(router(folder, server, commands))
        taken = await _alternate(ways, list(models), switches)
    title = "embedded" if server is None else "native"
    return [Figure.of(title, way, model, [s for m, s in taken[way] if m == model]) for way in ways for model in models]


async def _alternate(
    ways: Mapping[str, Switcher], models: list[str], switches: int
) -> dict[str, list[tuple[str, float]]]:
    """(model, seconds) of each switch, without the first rounds that fill caches."""
    taken: dict[str, list[tuple[str, float]]] = {way: [] for way in ways}
    order = list(ways)
    for number in range(-WARM_UP, switches):
        model = models[number % len(models)]
        for way in order:
            seconds = await ways[way].to(model)
            if number >= 0:
                taken[way].append((model, seconds))
        order.append(order.pop(0))
    return taken


async def run(models: Mapping[str, Path], server: Path | None, switches: int, command: str) -> Report:
    """Measure in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="hostler-bench-") as name:
        figures = await measured(Path(name), models, None, switches)
        if server is not None:
            figures += await measured(Path(name), models, server, switches)
    return Report(
        at=time.time(),
        machine=system(),
        python=platform.python_version(),
        engine=f"xllamacpp {importlib.metadata.version('xllamacpp')}",
        command=command,
        load=os.getloadavg()[1],
        figures=tuple(figures),
    )


def main() -> None:
    """Read the command line, run, print, and write where asked."""
    parser = argparse.ArgumentParser(
        prog="python -m hostler.bench.switch", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", type=Path, default=Path(".make/models"), help="where the starter models are")
    parser.add_argument("--server", type=Path, help="a natively built llama-server to measure as well, with its router")
    parser.add_argument("--switches", type=int, default=200)
    parser.add_argument("--data", type=Path, help="write the figures there (JSON)")
    parser.add_argument("--page", type=Path, help="renew the section of this page")
    told = parser.parse_args()
    models = {name: (told.models / file).absolute() for name, file in FILES.items()}
    server = None if told.server is None else told.server.absolute()
    command = f"make bench-switch SWITCHES={told.switches}" + ("" if server is None else " SERVER=llama-server")
    report = asyncio.run(run(models, server, told.switches, command))
    print(section(report))
    if told.data is not None:
        told.data.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    if told.page is not None:
        told.page.write_text(replaced(told.page.read_text("utf-8"), "switching", section(report)), "utf-8")


if __name__ == "__main__":
    main()
