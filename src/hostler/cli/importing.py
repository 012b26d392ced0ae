"""`hostler import`: other programs' configurations become profiles; nothing of them vanishes unsaid."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hostler.cli.command import Session, command
from hostler.cli.noting import note

if TYPE_CHECKING:
    from rich.console import Console

    from hostler.importers.merge import Merge
    from hostler.importers.protocol import Imported


class Format(StrEnum):
    """What `--from` takes."""

    models_conf = "models-conf"
    llama_swap = "llama-swap"
    llama_server = "llama-server"
    ollama = "ollama"


FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The file to import.", show_default=False)]
FromOption = Annotated[
    Format | None, typer.Option("--from", help="What the file is; default: what it looks like.", show_default=False)
]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Show what would change and write nothing.")]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="NAME", help="Only this profile; may be repeated.", show_default=False),
]
_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        app,
        "import",
        "hostler import config.yaml --dry-run     show what it would add",
        "hostler import models.conf --only coder",
        "hostler import Modelfile",
        gateway=False,
    )(import_file)


def import_file(
    session: Session,
    file: FileArgument,
    kind: FromOption = None,
    dry_run: DryOption = False,
    only: OnlyOption = None,
) -> None:
    """Turn another program's models into profiles.

    It reads models.conf, llama-swap's YAML, llama-server's presets (INI) and Ollama's Modelfile. What has no
    counterpart is listed; profiles that are there stay as they are.
    """
    from hostler.cli import output
    from hostler.cli.whereabouts import load_config
    from hostler.config.edit import NewProfile, add_profiles, with_profiles
    from hostler.importers.formats import read
    from hostler.importers.merge import merge

    found, imported = read(file, kind.value if kind else None, os.environ)
    loaded = load_config(session.config)
    merged = merge(imported, loaded.config, file, only or [])
    new = [NewProfile(name=each.name, fields=each.fields, comment=each.comment) for each in merged.profiles]
    before = loaded.text or ""
    after = with_profiles(before, loaded.file, new) if new else before
    if new and not dry_run:
        add_profiles(loaded.file, new)
        note(session.config, "import", str(file), f"added {', '.join(each.name for each in new)}")
    shown = difference(before, after, str(loaded.file))
    if session.json:
        output.write_json(_report(loaded.file, found, merged, imported, dry_run, shown))
    else:
        _show(output.console(session), loaded.file, merged, imported, dry_run, shown)


def difference(before: str, after: str, file: str) -> str:
    """A unified diff; empty when nothing changes."""
    from difflib import unified_diff

    lines = unified_diff(before.splitlines(), after.splitlines(), file, f"{file} (imported)", lineterm="")
    return "\n".join(lines)


def _report(file: Path, kind: str, merged: Merge, imported: Imported, dry_run: bool, diff: str) -> dict[str, object]:
    return {
        "file": file,
        "kind": kind,
        "written": bool(merged.profiles) and not dry_run,
        "profiles": merged.profiles,
        "present": merged.present,
        "notes": merged.notes,
        "retired": imported.retired,
        "diff": diff,
    }


def _show(screen: Console, file: Path, merged: Merge, imported: Imported, dry_run: bool, diff: str) -> None:
    from rich.text import Text

    if dry_run and diff:
        for line in diff.splitlines():
            screen.print(Text(line, style=_STYLES.get(line[:1], "")), soft_wrap=True)
        screen.print()
    for heading, lines in _said(merged, imported):
        screen.print(Text(heading, style="bold"))
        for line in lines:
            screen.print(Text(f"  {line}"), soft_wrap=True)
        screen.print()
    screen.print(Text(_conclusion(file, merged, dry_run)), soft_wrap=True)


def _said(merged: Merge, imported: Imported) -> list[tuple[str, list[str]]]:
    """What there is to read, under headings."""
    sections = [
        ("Means something else here:", [str(note) for note in merged.notes if note.sort == "changed"]),
        ("Not carried over:", [str(note) for note in merged.notes if note.sort == "unused"]),
        ("Commented out there, so not imported:", [f"{each.name} (line {each.line})" for each in imported.retired]),
        ("There already, with the same values:", list(merged.present)),
    ]
    return [(heading, lines) for heading, lines in sections if lines]


def _conclusion(file: Path, merged: Merge, dry_run: bool) -> str:
    names = [profile.name for profile in merged.profiles]
    if not names:
        return f"Nothing to add to {file}."
    verb = "would be added" if dry_run else ("are in" if len(names) > 1 else "is in")
    listed = f"{len(names)} profile{'' if len(names) == 1 else 's'} ({', '.join(names)})"
    if dry_run:
        return f"{listed} {verb} to {file}. Nothing is written: --dry-run."
    return f"{listed} {verb} {file}. `hostler ls` shows what can be asked now."
