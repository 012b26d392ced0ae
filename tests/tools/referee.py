"""Asks the engine what published models would hold in memory: ``python tests/tools/referee.py [MODEL ...]``.

The embedded build makes a dry run of header-only files (:mod:`hostler.bench.dryrun`); what it says is recorded in
``tests/data/referee.json`` with build and flags, and `make test` compares predictions with it.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hostler.bench.dryrun import Asked, ask, engine
from hostler.config.settings import CacheType
from hostler.testing.zoo import PUBLISHED

RECORDS = Path(__file__).parents[1] / "data" / "referee.json"
CONTEXTS, UBATCHES, SLOTS = (4096, 32768, 131072), (256, 512), (1, 4)
CACHES: Final[tuple[CacheType, ...]] = ("f16", "q8_0", "q4_0")


def questions() -> Iterator[Asked]:
    """Every combination."""
    for context, cache, ubatch, slots in itertools.product(CONTEXTS, CACHES, UBATCHES, SLOTS):
        yield Asked(context, cache, ubatch, slots)


def main() -> None:
    """Ask everything, of every model or those named, and write the records."""
    wanted, rows = sys.argv[1:], []
    with tempfile.TemporaryDirectory() as folder:
        for model in PUBLISHED:
            if not wanted or model.name in wanted:
                path = model.write(Path(folder), model.recipes[0])
                for asked in questions():
                    named = {"model": model.name, "recipe": model.recipes[0]}
                    rows.append(named | asked._asdict() | ask(path, asked)._asdict())
                    print(json.dumps(rows[-1]), flush=True)
    told = {
        "engine": engine(),
        "flags": "no_alloc, fit, no repack, flash attention on, one cache per slot, load mode none; sizes in MiB",
        "rows": [],
    }
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    RECORDS.write_text(json.dumps(told, indent=1).replace('"rows": []', f'"rows": [\n{lines}\n ]') + "\n")


if __name__ == "__main__":
    main()
