"""The examples on the page on placement: what `hostler plan` really prints for models that are only headers.

``python tests/tools/plan_examples.py`` writes them anew. Each is a block of ``console`` that begins with a command
after ``$``; ``| head -N`` keeps the first lines.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

from typer.testing import CliRunner

from hostler.testing.zoo import PUBLISHED

PAGE = Path(__file__).parents[2] / "docs" / "placement.md"
_BLOCK = re.compile(r"^```console\n\$ hostler (.*?)(?: \| head -(\d+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def shown(arguments: str, lines: str | None) -> str:
    """What the command prints, its first ``lines``; the models are in the library of HOSTLER_HOME."""
    from hostler.cli.tree import app

    done = CliRunner().invoke(app, shlex.split(arguments))
    said = [line.rstrip() for line in (done.stdout or done.stderr).rstrip().splitlines()]
    return "\n".join(said[: int(lines)] if lines else said) + "\n"


def renewed(page: str) -> str:
    """``page`` with every example as it is now."""

    def again(block: re.Match[str]) -> str:
        head = f" | head -{block[2]}" if block[2] else ""
        return f"```console\n$ hostler {block[1]}{head}\n{shown(block[1], block[2])}```"

    return _BLOCK.sub(again, page)


def examples(page: str) -> list[tuple[str, str | None, str]]:
    """Arguments, number of lines and output of each example."""
    return [(block[1], block[2], block[3]) for block in _BLOCK.finditer(page)]


def write_models(home: Path) -> None:
    """Every published model into the library of ``home``."""
    (home / "models").mkdir(parents=True, exist_ok=True)
    for model in PUBLISHED:
        for recipe in model.recipes:
            model.write(home / "models", recipe)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOSTLER_HOME"] = folder
        write_models(Path(folder))
        before = PAGE.read_text("utf-8")
        after = renewed(before)
    PAGE.write_text(after, "utf-8")
    print(f"{len(examples(after))} examples; {PAGE.name} is {'as it was' if after == before else 'written anew'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
