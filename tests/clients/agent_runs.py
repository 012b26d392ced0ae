"""Runs an agent as its user does: connected by `hostler connect`, in a folder of its own, with a home of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway_process import HOSTLER, Command, RunningGateway, eventually

NOTE = "the tide turns at four"
PATIENCE_S = 240.0


def lines(text: str) -> list[Any]:
    """JSON lines; anything else that was printed is left out."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@dataclass(frozen=True)
class Agent:
    """An agent's program, found in ``programs``, beside a gateway; it works in ``folder``, where `notes.txt` lies."""

    running: RunningGateway
    folder: Path
    programs: Path
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """A user's environment with nothing but this home and these programs."""
        path = os.pathsep.join((str(self.programs), str(HOSTLER.parent), os.environ["PATH"]))
        here = {"PATH": path, "PWD": str(self.folder), "TERM": "dumb"}
        return self.running.home.environment() | here | dict(self.more)

    def connect(self, client: str, model: str) -> str:
        """Write the client's configuration for this model; the line for a shell that starts the client with it."""
        done = self.running.cli("connect", client, "--model", model, "--write", "--json")
        assert done.code == 0, done.err
        return str(done.json["start"])

    def run(self, *words: str) -> Command:
        """Run it to its end."""
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        return Command(done.returncode, done.stdout, done.stderr)

    async def left_in_the_middle(self, was_cancelled: Callable[[], Awaitable[bool]], *words: str) -> bool:
        """Start it, end it as Ctrl-C does once it is answered, else as a closed terminal; whether that arrived."""
        process = self._started(words)
        try:
            await eventually(self._answered, "it is being answered", PATIENCE_S)
            os.killpg(process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            return await was_cancelled()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _started(self, words: tuple[str, ...]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            words, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    async def _answered(self) -> bool:
        running = (await self.running.api("/api/requests"))["in_flight"]
        return any(each["state"] == "running" for each in running)
