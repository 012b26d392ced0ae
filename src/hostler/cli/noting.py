"""What a command did by itself becomes a row of the audit."""

from __future__ import annotations

from pathlib import Path


def note(config: Path | None, action: str, target: str, detail: str = "") -> None:
    """Write that it was done; a file that cannot be written is told in the log, and stops nothing."""
    from hostler.accounts.audit import FILE_NAME, Audit, by_command
    from hostler.cli.whereabouts import state_folder

    Audit(state_folder(config) / FILE_NAME).write(by_command(action, target, detail))
