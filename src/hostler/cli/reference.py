"""Writes docs/reference/cli.md from the command tree: ``python -m hostler.cli.reference [--check]``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typer.core import TyperCommand, TyperGroup

PAGE = Path("docs/reference/cli.md")
WIDTH = 80
INTRODUCTION = """\
# Command line

All commands but `up`, `doctor`, `hardware`, `pull`, `engine`, `import`, `config`, `profile`, `key` and `starters` ask a
running gateway: the one of `--url`, else of `HOSTLER_URL`, else the one that runs on this home, else the configured
host and port. `HOSTLER_KEY` holds the key, if the gateway wants one.

Exit codes: 0 done, 1 an error, 2 wrong usage or a port that is taken, 3 no gateway, 130 ended by Ctrl-C. Errors go to
standard error as one message that ends with what to do next; with `--json` as the error body of the management API.

`hostler --install-completion` makes the shell complete commands, options and profile names.
"""


def commands() -> Iterator[tuple[str, TyperCommand | TyperGroup]]:
    """Every visible command with its full name, groups before their members."""
    from typer.main import get_command

    from hostler.cli.tree import app

    root = get_command(app)
    yield from _walk("hostler", root)  # type: ignore[arg-type]


def _walk(name: str, command: TyperCommand | TyperGroup) -> Iterator[tuple[str, TyperCommand | TyperGroup]]:
    yield name, command
    members: dict[str, TyperCommand | TyperGroup] = getattr(command, "commands", {})
    for member, inner in members.items():
        if not inner.hidden:
            yield from _walk(f"{name} {member}", inner)


def help_of(name: str, command: TyperCommand | TyperGroup) -> str:
    """What ``--help`` shows, at a fixed width."""
    import typer

    context = typer.Context(
        command, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH, help_option_names=["-h", "--help"]
    )
    return command.get_help(context)


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for name, command in commands():
        text = "\n".join(line.rstrip() for line in help_of(name, command).strip().splitlines())
        parts.append(f"## `{name}`\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` only say whether it is as it should be."""
    text = page()
    if arguments == ["--check"]:
        if PAGE.exists() and PAGE.read_text("utf-8") == text:
            return 0
        print(f"{PAGE} is out of date: run `python -m hostler.cli.reference`.", file=sys.stderr)
        return 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
