"""Writes header-only files of published models into a folder: ``python tests/tools/sparse_models.py FOLDER``.

Each has every tensor of the real file with its type, and no data; together they take a few hundred KiB on disk. The
engine's dry run (``llama-fit-params -fitp on``) accepts them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hostler.testing.zoo import write_all


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python tests/tools/sparse_models.py FOLDER")
    for path in write_all(Path(sys.argv[1])):
        stat = path.stat()
        print(f"{path.name:40} {stat.st_size / 2**30:7.2f} GiB, {stat.st_blocks * 512 / 2**10:5.0f} KiB on disk")


if __name__ == "__main__":
    main()
