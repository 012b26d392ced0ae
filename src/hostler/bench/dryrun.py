"""Asks the embedded engine what it holds: a dry run (``no_alloc``) of a header-only file, or a load of a real one.

One process each. Of a dry run the process dies after the lines that count, since there are no weights to compute with:
expected, and why it is a process.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

from hostler.config.settings import CacheType

_PROGRAM: Final = """
import os, sys, xllamacpp as x
params = x.CommonParams()
params.model.path, context, cache, ubatch, slots, dry = sys.argv[1], *sys.argv[2:]
params.n_ctx, params.n_ubatch, params.n_parallel = int(context), int(ubatch), int(slots)
params.cache_type_k = params.cache_type_v = getattr(x.ggml_type, "GGML_TYPE_" + cache.upper())
params.flash_attn_type = x.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
params.kv_unified = params.warmup = False
params.fit_params = params.no_alloc = dry == "dry"
params.no_extra_bufts = True
params.load_mode = x.llama_load_mode.LLAMA_LOAD_MODE_NONE
params.verbosity = 4
server = x.Server(params)
sys.stdout.flush()
os._exit(0)
"""
_TRIES: Final = 20
_TIMEOUT_S: Final = 60
_MIB: Final = r"\s*([\d.]+) MiB"
_LINES: Final = {
    "kv": re.compile(rf"llama_kv_cache: size ={_MIB}"),
    "recurrent": re.compile(rf"llama_memory_recurrent: size ={_MIB}"),
    "compute": re.compile(rf"sched_reserve:\s+CPU compute buffer size ={_MIB}"),
    "output": re.compile(rf"CPU\s+output buffer size ={_MIB}"),
}
_PROJECTED: Final = re.compile(r"\|\s+- Host\s+\|\s+\d+ =\s+(\d+) \+")
_LOADED: Final = re.compile(rf"load_tensors:\s+\S+ model buffer size ={_MIB}")


class Asked(NamedTuple):
    """Sizes of a run; ``context`` is that of all slots."""

    context: int
    cache: CacheType
    ubatch: int
    slots: int


class Answer(NamedTuple):
    """MiB by class, on the processor."""

    weights: float
    kv: float
    recurrent: float
    compute: float
    output: float


def engine() -> str:
    """Which engine is asked."""
    return f"xllamacpp {importlib.metadata.version('xllamacpp')}"


def ask(model: Path, asked: Asked, *, dry: bool = True) -> Answer:
    """What the engine says; blocking, a second or so. RuntimeError with its last lines when it does not answer."""
    said = ""
    for _ in range(_TRIES):
        said = _said(model, asked, dry=dry)
        # The last line of interest may be lost when the process dies before its log is written.
        if "sched_reserve: graph: nodes" in said:
            found = {name: sum(map(float, line.findall(said))) for name, line in _LINES.items()}
            weights = [float(size) for size in (_PROJECTED if dry else _LOADED).findall(said)]
            if weights and found["compute"]:
                return Answer(weights=weights[0] if dry else sum(weights), **found)
    raise RuntimeError(f"{model.name} {asked}: the engine did not answer:\n{said[-2000:]}")


def _said(model: Path, asked: Asked, *, dry: bool) -> str:
    sizes = (*(str(each) for each in asked), "dry" if dry else "load")
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(model), *sizes],
        capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr
