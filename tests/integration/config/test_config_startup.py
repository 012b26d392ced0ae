"""Reading the configuration is on every start-up path: it must not pull in what only editing needs."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from hostler.config import diff, load, names, paths
load.load(paths.home({"HOSTLER_HOME": sys.argv[1]}), {}, {})
heavy = {"anyio", "asyncio", "litestar", "platformdirs", "pydantic", "rich", "sqlalchemy", "tomlkit", "typer"}
print(sorted(heavy & set(sys.modules)))
"""


def test_loading_the_configuration_imports_nothing_heavy(tmp_path: object) -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
