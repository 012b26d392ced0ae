"""The documentation builds without a warning, and a reader's browser asks nobody else for anything."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from documents import ROOT

_LOADED = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=[\"']?((?:https?:)?//[^\"'\s>]+)", re.IGNORECASE
)
_STYLED = re.compile(r"(?:url\(|@import )\s*[\"']?((?:https?:)?//[^\"')\s]+)")


def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    built = [path for path in (tmp_path / "site").rglob("*") if path.suffix in (".html", ".css")]
    assert len(built) > 10
    found = {place for path in built for place in _LOADED.findall(path.read_text("utf-8"))}
    found |= {place for path in built for place in _STYLED.findall(path.read_text("utf-8"))}
    assert found == set()
