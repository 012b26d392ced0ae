"""The first line: which gateway, since when, and how it is. Pure."""

from __future__ import annotations

from rich.text import Text

from hostler.cli.top.board import Board, Lost, Snapshot
from hostler.cli.top.marks import BAD, DIM, WARN, short_time


def header(board: Board, now: float, width: int) -> Text:
    """The line at ``now`` (seconds since the Unix epoch), cut to ``width``."""
    line = _header(board, now, width)
    line.no_wrap = True
    line.truncate(width, overflow="ellipsis")
    return line


def _header(board: Board, now: float, width: int) -> Text:
    if isinstance(board.link, Lost):
        line = Text(f"reconnecting for {short_time(now - board.link.since)}: {board.link.reason}", style="bold yellow")
        hint = f" {board.link.hint}"
        return line.append(hint) if line.cell_len + len(hint) <= width else line
    if board.snapshot is None:
        return Text(f"connecting to {board.url}", style=DIM)
    line = _known(board.snapshot, board.url)
    default = f"  default {board.snapshot.status.default}" if board.snapshot.status.default else ""
    return line.append(default, style=DIM) if line.cell_len + len(default) <= width else line


def _known(snapshot: Snapshot, url: str) -> Text:
    status = snapshot.status
    line = Text().append(f"hostler {status.version}", style="bold").append(f"  {url}")
    line.append(f"  up {short_time(snapshot.at - status.started_at)}", style=DIM)
    if status.draining:
        line.append("  stopping", style=WARN)
    if status.config_error:
        line.append(f"  config: {status.config_error}", style=BAD)
    line.append(f"  {status.running} running", style="" if status.running else DIM)
    return line.append(f"  {status.queued} waiting", style=WARN if status.queued else DIM)
