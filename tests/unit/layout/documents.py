"""The repository's own text: its tracked files, and pages taken apart into tables, code and links."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "src" / "hostler"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CELL = re.compile(r"(?<!\\)\|")


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that git tracks or would add, and that exists."""
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    return tuple(path for name in names if name and (path := ROOT / name).is_file())


@cache
def text(name: str) -> str:
    """A file of the repository."""
    return (ROOT / name).read_text("utf-8")


def pages() -> list[str]:
    """Every page of the documentation, and those beside it."""
    inside = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
    return [*inside, "README.md", "CONTRIBUTING.md"]


def section(name: str, heading: str) -> str:
    """What stands below a heading, up to the next of the same or a higher level."""
    marks = len(heading) - len(heading.lstrip("#"))
    body = text(name).partition(f"\n{heading}\n")[2]
    assert body, f"{name} has no heading {heading!r}"
    return re.split(rf"^#{{1,{marks}}} ", body, maxsplit=1, flags=re.MULTILINE)[0]


def rows(markdown: str) -> list[list[str]]:
    """The cells of every table row, heads and rulers left out."""
    lines = [line.strip() for line in markdown.splitlines()]
    found = [[cell.strip() for cell in _CELL.split(line)[1:-1]] for line in lines if line.startswith("|")]
    ruler = {number for number, cells in enumerate(found) if all(set(cell) <= set("-: ") for cell in cells)}
    return [cells for number, cells in enumerate(found) if number not in ruler and number + 1 not in ruler]


def code_in(cell: str) -> list[str]:
    """The words between backquotes."""
    return re.findall(r"`([^`]+)`", cell)


def fences(name: str, language: str) -> list[str]:
    """The fenced blocks of a language on a page."""
    return [body for kind, body in _FENCE.findall(text(name)) if kind == language]
