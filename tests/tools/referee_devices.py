"""Asks the engine what published models would hold on several devices.

``python tests/tools/referee_devices.py FOLDER``: the folder has ``llama-server`` and ``ggml-rpc-server``, of one build
with ``-DGGML_RPC=ON``. Two RPC servers on this machine then look like two cards, each with the whole memory; the
server's fit pass makes a dry run of header-only files with every layout below and logs what each device would hold and
where the graph is cut. Nothing is allocated, and the server is ended before it loads. ``llama-fit-params`` from that
folder is asked about the processor alone, to see how it differs; and the server about a projector. Recorded in
``tests/data/referee_devices.json``, with which `make test` compares.

An RPC device has no ``offload_op``: what a card would compute with experts that lie on the host is not in the records.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from hostler.testing.published import Published
from hostler.testing.zoo import PUBLISHED, QWEN2_5_VL_7B, write_projector

RECORDS = Path(__file__).parents[1] / "data" / "referee_devices.json"
#: Context over all slots, micro-batch, slots, type of the cache.
SIZES = ((4096, 512, 1, "f16"), (32768, 512, 1, "f16"), (32768, 256, 4, "q8_0"))
FIT_SIZES = ((4096, 512, 1, "f16"), (32768, 512, 1, "f16"), (32768, 256, 4, "f16"))
_COMMON = ("-fa", "on", "-lm", "none", "-nr", "--fit", "on", "-lv", "5", "--host", "127.0.0.1")
_DEVICE = re.compile(
    r"breakdown_print: \|\s+- (\S+)[^|]*\|(?:\s*\d+ =\s*\d+ \+ \()?\s*\d+ =\s*(\d+) \+\s*(\d+) \+\s*(\d+)"
)
_SCRATCH = re.compile(r"sched_reserve:\s+(\S+) compute buffer size =\s*([\d.]+) MiB")
_SPLITS = re.compile(r"sched_reserve: graph.*splits = (\d+)(?: / (\d+))?")
_PROJECTOR = re.compile(r"estimated worst-case memory usage of mmproj is ([\d.]+) MiB")
_FIT = re.compile(r"^Host (\d+) (\d+) (\d+)", re.MULTILINE)
_COPIES = re.compile(r"sched copies = (\d+)")
_END = "common_params_fit_impl: projected"


class Question(NamedTuple):
    """A layout and sizes; ``flags`` are the engine's, ``cards`` how many of the two it may use."""

    layout: str
    cards: int
    flags: tuple[str, ...]
    context: int
    ubatch: int
    slots: int
    cache: str


def questions(model: Published) -> Iterator[Question]:
    """Every layout with every size."""
    for layout, cards, flags in layouts(model):
        for sizes in SIZES:
            yield Question(layout, cards, flags, *sizes)


def layouts(model: Published) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """What is put where, in words, and how the engine is told."""
    half = str(model.layers // 2)
    yield "the processor alone", 0, ()
    yield "one card", 1, ("-ngl", "999")
    yield "half the layers on one card", 1, ("-ngl", half)
    yield "two cards 1:1", 2, ("-ngl", "999", "-ts", "1,1")
    yield "two cards 3:1", 2, ("-ngl", "999", "-ts", "3,1")
    yield "half the layers on two cards", 2, ("-ngl", half, "-ts", "1,1")
    if model.experts:
        yield "experts on the host", 1, ("-ngl", "999", "-ncmoe", "999")
        yield "experts of half the layers on the host", 1, ("-ngl", "999", "-ncmoe", half)
        yield "two cards, experts of half the layers on the host", 2, ("-ngl", "999", "-ts", "1,1", "-ncmoe", half)


class Engine:
    """The programs of one build."""

    def __init__(self, folder: Path) -> None:
        self.server = folder / "llama-server"
        self._rpc_server = folder / "ggml-rpc-server"
        self._fit = folder / "llama-fit-params"

    def said(self, model: Path, question: Question) -> str:
        """The log of the fit pass, up to its verdict. The cards are new each time: a client that dies kills them."""
        with rpc_servers(self._rpc_server, question.cards) as endpoints:
            cards = ("--rpc", ",".join(endpoints)) if endpoints else ()
            return self._said(model, (*cards, *_sizes(question), *question.flags))

    def projector(self, model: Path, projector: Path) -> float:
        """MiB that the server expects of ``projector``: its weights, and its scratch memory for a large image."""
        return float(_PROJECTOR.findall(self._said(model, ("--mmproj", str(projector), "-c", "4096")))[0])

    def fit_params(self, model: Path, question: Question) -> tuple[int, int, int]:
        """What ``llama-fit-params`` says of the processor alone: MiB of model, context and compute."""
        command = (str(self._fit), "-m", str(model), *_sizes(question), "-fa", "on", "-nr", "-fitp", "on")
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=True)
        held, context, compute = _FIT.findall(done.stdout)[0]
        return int(held), int(context), int(compute)

    def _said(self, model: Path, own: Sequence[str]) -> str:
        command = (str(self.server), "-m", str(model), *_COMMON, "--port", str(_free_port()), *own)
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as running:
            assert running.stdout is not None
            lines = []
            for line in running.stdout:
                lines.append(line)
                if _END in line or "failed to fit" in line:
                    break
            running.kill()
        return "".join(lines)

    def ask(self, model: Path, question: Question) -> dict[str, object]:
        """MiB by device and class, and the cuts of the graph."""
        said = self.said(model, question)
        sizes = {name: [int(each) for each in rest] for name, *rest in _DEVICE.findall(said)}
        cuts, copies = _SPLITS.findall(said), _COPIES.findall(said)
        scratch = [float(size) for _, size in _SCRATCH.findall(said)]
        if "Host" not in sizes or not cuts or len(scratch) < len(sizes):
            sys.exit(f"{model.name} {question}: the engine did not answer:\n{said[-3000:]}")
        # The log names both cards RPC0 here and tells them apart by address; the order is that of the breakdown.
        precise = scratch[-len(sizes) :]
        devices = {
            name: {"model": held[0], "context": held[1], "compute": fine}
            for (name, held), fine in zip(sizes.items(), precise, strict=True)
        }
        prompt, token = cuts[-1]
        return {"devices": devices, "splits": [int(prompt), int(token or prompt)], "copies": int(copies[-1])}


def _sizes(question: Question) -> tuple[str, ...]:
    return (
        "-c", str(question.context), "-ub", str(question.ubatch), "-np", str(question.slots),
        "-ctk", question.cache, "-ctv", question.cache,
    )  # fmt: skip


@contextlib.contextmanager
def rpc_servers(program: Path, count: int) -> Iterator[list[str]]:
    """``count`` RPC servers on free ports of this machine; yields their endpoints."""
    with contextlib.ExitStack() as running:
        endpoints = []
        for _ in range(count):
            port = _free_port()
            command = (str(program), "-H", "127.0.0.1", "-p", str(port))
            process = running.enter_context(
                subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
            running.callback(process.kill)
            endpoints.append(f"127.0.0.1:{port}")
        for endpoint in endpoints:
            _await(endpoint)
        yield endpoints


def _await(endpoint: str) -> None:
    host, port = endpoint.rsplit(":", 1)
    for _ in range(500):
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return
        time.sleep(0.02)
    sys.exit(f"nothing listens on {endpoint}")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _version(server: Path) -> str:
    done = subprocess.run([str(server), "--version"], capture_output=True, text=True, check=True)
    return next(line for line in (done.stderr + done.stdout).splitlines() if line.startswith("version"))


def fitted(engine: Engine, model: Published, path: Path) -> Iterator[dict[str, object]]:
    """What ``llama-fit-params`` says of the processor alone."""
    for context, ubatch, slots, cache in FIT_SIZES:
        question = Question("the processor alone", 0, (), context, ubatch, slots, cache)
        held, kept, compute = engine.fit_params(path, question)
        sizes = {"context": context, "ubatch": ubatch, "slots": slots, "cache": cache}
        yield {"model": model.name, **sizes, "held": {"model": held, "context": kept, "compute": compute}}


def main() -> None:
    """Ask everything and write the records."""
    engine, rows, fits = Engine(Path(sys.argv[1])), [], []
    with tempfile.TemporaryDirectory() as scratch:
        paths = {model.name: model.write(Path(scratch), model.recipes[0]) for model in PUBLISHED}
        for model in PUBLISHED:
            path = paths[model.name]
            for question in questions(model):
                asked = {**question._asdict(), "flags": " ".join(question.flags)}
                rows.append({"model": model.name, "recipe": model.recipes[0], **asked, **engine.ask(path, question)})
                print(json.dumps(rows[-1]), flush=True)
            fits += fitted(engine, model, path)
        projector = engine.projector(paths[QWEN2_5_VL_7B.name], write_projector(Path(scratch)))
    told = {
        "engine": f"llama.cpp {_version(engine.server)}",
        "flags": " ".join(_COMMON[:-2]),
        "projector": projector,
        "rows": rows,
        "fit_params": fits,
    }
    RECORDS.write_text(written(told))


def written(told: dict[str, object]) -> str:
    """JSON with a line for each row."""
    parts = []
    for key, value in told.items():
        if isinstance(value, list):
            lines = ",\n".join(f"  {json.dumps(row)}" for row in value)
            parts.append(f" {json.dumps(key)}: [\n{lines}\n ]")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main()
