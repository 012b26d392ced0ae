"""A fake gateway, and the real `hostler` command run against it."""

from __future__ import annotations

import contextvars
import os
import socket
import subprocess
from collections.abc import Callable, Iterator

import pytest
from cli_run import HOSTLER, Run
from fake_gateway import FakeGateway, serving
from typer.testing import CliRunner, Result


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGateway]:
    """A fake gateway that HOSTLER_URL points to."""
    with serving() as fake:
        monkeypatch.setenv("HOSTLER_URL", fake.url)
        yield fake


@pytest.fixture
def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


@pytest.fixture
def run() -> Run:
    """Run a command line in this process, which begins an event loop.

    In a context of its own: while a fixture of the session has a loop, this context says that one runs.
    """
    from hostler.cli.tree import app

    def run(*arguments: str, stdin: str | None = None) -> Result:
        return contextvars.Context().run(CliRunner().invoke, app, list(arguments), input=stdin)

    return run


@pytest.fixture
def hostler() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command line as a user does, in a process of its own."""

    def hostler(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [HOSTLER, *arguments],
            capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
            env=os.environ | environment,
        )  # fmt: skip

    return hostler
