"""The `hostler` command. Each module holds one group of commands; :func:`main` is the entry point."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    try:
        from hostler.cli.tree import app

        app(prog_name="hostler")
    except KeyboardInterrupt:  # while modules are still being imported, or after everything was stopped
        sys.exit(INTERRUPTED)
