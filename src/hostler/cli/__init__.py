"""The `hostler` command. Each module holds one group of commands; :func:`main` is the entry point."""

from __future__ import annotations


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    from hostler.cli.tree import app

    app(prog_name="hostler")
