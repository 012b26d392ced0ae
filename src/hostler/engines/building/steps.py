"""Runs the steps of a build: each a process group of its own, niced, its lines logged and understood."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Literal

import anyio
import msgspec
from anyio.streams.text import TextReceiveStream

from hostler.config.settings import LimitSettings
from hostler.engines.processes.group import end
from hostler.errors import BuildFailed

Stage = Literal["fetch", "unpack", "configure", "compile", "try", "done"]

_NINJA = re.compile(r"^\[(\d+)/(\d+)\]")
_MAKE = re.compile(r"^\[ *(\d+)%\]")
_WRONG = re.compile(r"(?i)\b(error|fatal)\b")
_KEPT = 400


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One command; ``env`` is added to the environment."""

    stage: Stage
    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = {}


class BuildProgress(msgspec.Struct, frozen=True):
    """How far a build is; ``fraction`` of this stage when it is known."""

    stage: Stage
    fraction: float | None = None


Report = Callable[[BuildProgress], None]


async def run(step: Step, log: Path, report: Report) -> None:
    """Run it to its end; every line goes to ``log``. Cancelling ends its whole process group.

    Raises BuildFailed with the first line that says why.
    """
    report(BuildProgress(step.stage))
    kept: deque[str] = deque(maxlen=_KEPT)
    try:
        child = await anyio.open_process(
            _niced(step.argv), stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, cwd=step.cwd,
            env=_environment(step.env), start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise BuildFailed(f"{step.argv[0]} cannot be started: {error.strerror}.", hint="Install it.") from error
    try:
        assert child.stdout is not None
        with log.open("a", encoding="utf-8") as file:
            file.write(f"$ {' '.join(step.argv)}\n")
            async for text in TextReceiveStream(child.stdout, errors="replace"):
                _take(text, file, kept, step.stage, report)
        code = await child.wait()
    finally:
        with anyio.CancelScope(shield=True):
            await end(child, LimitSettings())
            await child.aclose()
    if code:
        raise BuildFailed(f"The step `{step.stage}` failed: {reason(kept) or f'exit code {code}'}.", hint=f"See {log}.")


def _take(text: str, file: IO[str], kept: deque[str], stage: Stage, report: Report) -> None:
    file.write(text)
    # A line may come in two pieces: the first then only costs a fraction that is told a line later.
    for line in text.splitlines():
        kept.append(line)
        if (done := fraction(line)) is not None:
            report(BuildProgress(stage, done))


def fraction(line: str) -> float | None:
    """How far a line of ninja (``[3/120] ...``) or make (``[ 42%] ...``) says that the build is."""
    if found := _NINJA.match(line):
        return min(int(found[1]) / max(int(found[2]), 1), 1.0)
    if found := _MAKE.match(line):
        return min(int(found[1]) / 100, 1.0)
    return None


def reason(lines: Sequence[str]) -> str:
    """The first line that speaks of an error, and the last one else; shortened."""
    said = [line.strip() for line in lines if line.strip()]
    found = next((line for line in said if _WRONG.search(line)), said[-1] if said else "")
    return found.rstrip(".")[:300]


def _niced(argv: Sequence[str]) -> list[str]:
    """So that whoever uses the machine meanwhile does not notice."""
    nice = shutil.which("nice")
    return [nice, "-n", "19", *argv] if nice else list(argv)


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    import os

    return {**os.environ, "NINJA_STATUS": "[%f/%t] ", "PYTHONUNBUFFERED": "1", **more}
