"""Asks the engine what published models would hold in memory: ``python tests/tools/referee.py [MODEL ...]``.

The embedded build makes a dry run (``no_alloc``) of header-only files, one process each, and its log lines are
recorded in ``tests/data/referee.json`` with build and flags; `make test` compares predictions with them. After the
lines that count the process dies, since there are no weights to compute with: expected, and why it is a process.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hostler.testing.zoo import PUBLISHED

RECORDS = Path(__file__).parents[1] / "data" / "referee.json"
CONTEXTS, CACHES, UBATCHES, SLOTS = (4096, 32768, 131072), ("f16", "q8_0", "q4_0"), (256, 512), (1, 4)

_DRY_RUN = """
import sys, xllamacpp as x
params = x.CommonParams()
params.model.path, context, cache, ubatch, slots = sys.argv[1], *sys.argv[2:]
params.n_ctx, params.n_ubatch, params.n_parallel = int(context), int(ubatch), int(slots)
params.cache_type_k = params.cache_type_v = getattr(x.ggml_type, "GGML_TYPE_" + cache.upper())
params.flash_attn_type = x.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
params.kv_unified = params.warmup = False
params.fit_params = params.no_alloc = params.no_extra_bufts = True
params.load_mode = x.llama_load_mode.LLAMA_LOAD_MODE_NONE
params.verbosity = 4
x.Server(params)
"""
_TRIES = 20
_MIB = r"\s*([\d.]+) MiB"
_LINES = {
    "kv": re.compile(rf"llama_kv_cache: size ={_MIB}"),
    "recurrent": re.compile(rf"llama_memory_recurrent: size ={_MIB}"),
    "compute": re.compile(rf"sched_reserve:\s+CPU compute buffer size ={_MIB}"),
    "output": re.compile(rf"CPU\s+output buffer size ={_MIB}"),
}
_WEIGHTS = re.compile(r"\|\s+- Host\s+\|\s+\d+ =\s+(\d+) \+")


class Run(NamedTuple):
    """One question."""

    model: str
    recipe: str
    context: int
    cache: str
    ubatch: int
    slots: int


def questions(wanted: list[str]) -> Iterator[Run]:
    """Every combination for every model, or for those named; the first quantisation of each."""
    for model in PUBLISHED:
        if not wanted or model.name in wanted:
            for flags in itertools.product(CONTEXTS, CACHES, UBATCHES, SLOTS):
                yield Run(model.name, model.recipes[0], *flags)


def ask(path: Path, run: Run) -> dict[str, float]:
    """The engine's figures in MiB, by class."""
    for _ in range(_TRIES):
        said = _log(path, run)
        # The last line of interest may be lost when the process dies before its log is written.
        if "sched_reserve: graph: nodes" in said:
            found = {name: sum(float(size) for size in line.findall(said)) for name, line in _LINES.items()}
            weights = _WEIGHTS.search(said)
            if weights is not None and found["compute"]:
                return {"weights": float(weights[1]), **found}
    sys.exit(f"{run}: the engine did not answer:\n{said[-2000:]}")


def _log(path: Path, run: Run) -> str:
    command = [sys.executable, "-c", _DRY_RUN, str(path), *(str(flag) for flag in run[2:])]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)
    return done.stdout + done.stderr


def main() -> None:
    """Ask everything and write the records."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        paths = {model.name: model.write(Path(folder), model.recipes[0]) for model in PUBLISHED}
        for run in questions(sys.argv[1:]):
            rows.append(run._asdict() | ask(paths[run.model], run))
            print(json.dumps(rows[-1]), flush=True)
    told = {
        "engine": f"xllamacpp {importlib.metadata.version('xllamacpp')}",
        "flags": "no_alloc, fit, no repack, flash attention on, one cache per slot, load mode none; sizes in MiB",
        "rows": rows,
    }
    RECORDS.parent.mkdir(exist_ok=True)
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    RECORDS.write_text(
        json.dumps({**told, "rows": []}, indent=1).replace('"rows": []', f'"rows": [\n{lines}\n ]') + "\n"
    )


if __name__ == "__main__":
    main()
