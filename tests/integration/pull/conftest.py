"""A hub with a tiny model in several variants, and the `hostler` command pointed at it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from imitation_hub import Hub, serving

from hostler.testing.gguf_files import write_tiny_gguf

HOSTLER = Path(sys.executable).with_name("hostler")


def tiny(folder: Path, mib: float) -> bytes:
    """A valid GGUF of about so many MiB, so that it takes a while to fetch."""
    return write_tiny_gguf(folder / "tiny.gguf", fill_mib=mib).read_bytes()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    folder = tmp_path / "published"
    folder.mkdir()
    return {
        "README.md": b"# tiny",
        "tiny-Q4_K_M.gguf": tiny(folder, 3),
        "tiny-Q8_0.gguf": tiny(folder, 5),
        "tiny-UD-Q5_K_XL.gguf": tiny(folder, 4),
        "mmproj-F16.gguf": tiny(folder, 0.1),
    }


@pytest.fixture
def hub(files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving(files) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield running


@pytest.fixture
def hostler() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command line as a user does: the hub's client reads its settings once, when it is imported."""

    def hostler(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [HOSTLER, *arguments],
            capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
            env=os.environ | environment,
        )  # fmt: skip

    return hostler
