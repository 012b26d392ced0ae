"""What costs start-up time or memory is loaded only by the room that is for it.

Every module is imported in a clean interpreter, all of a room's group in one, and then nothing heavy may be
there but what the group is for. The group `gateway` is everything that a gateway imports before it answers.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from documents import SOURCE

HEAVY = {
    "alembic", "gguf", "httpx", "huggingface_hub", "litestar", "mcp", "numpy", "platformdirs", "prompt_toolkit",
    "pydantic", "rich", "sqlalchemy",
    "starlette", "textual", "tomlkit", "typer", "xllamacpp",
}  # fmt: skip

#: Group, the modules in it (by prefix, the first that fits wins), and what it may load.
GROUPS: tuple[tuple[str, tuple[str, ...], set[str]], ...] = (
    ("migrations", ("hostler.store.migrations",), HEAVY),  # run by Alembic, in a process of its own
    (
        "database",
        (
            "hostler.store.database",
            "hostler.store.schema",
            "hostler.store.migrate",
            "hostler.ledger.usage",
            "hostler.ledger.sums",
        ),
        {"sqlalchemy", "alembic"},
    ),
    ("management", ("hostler.gateway.admin",), {"litestar"}),
    ("editing", ("hostler.config.edit",), {"tomlkit"}),
    ("client", ("hostler.client",), {"httpx"}),
    (
        "window",
        tuple(f"hostler.cli.top.{name}" for name in ("app", "chooser", "sheet", "window")),
        {"typer", "rich", "httpx", "textual", "platformdirs"},
    ),
    ("command line", ("hostler.cli",), {"typer", "rich", "httpx"}),
    ("benchmarks", ("hostler.bench",), set()),
    ("conformance", ("hostler.conformance",), set()),
    ("tests", ("hostler.testing",), set()),
    ("gateway", ("hostler",), set()),
)
IMPORT = "import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\nprint(*sys.modules)"


def every_module() -> list[str]:
    paths = (path.relative_to(SOURCE.parent).with_suffix("") for path in SOURCE.rglob("*.py"))
    return sorted(".".join(path.parts).removesuffix(".__init__") for path in paths if path.name != "__main__")


def group_of(module: str) -> str:
    return next(
        group for group, prefixes, _ in GROUPS if any(module == p or module.startswith(f"{p}.") for p in prefixes)
    )


@pytest.mark.parametrize("group", [group for group, _, _ in GROUPS if group != "migrations"])
def test_a_room_loads_only_what_it_is_for(group: str) -> None:
    names = [module for module in every_module() if group_of(module) == group]
    allowed = next(allowed for name, _, allowed in GROUPS if name == group)
    assert names
    done = subprocess.run(
        [sys.executable, "-I", "-c", IMPORT.format(names=names)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert {name for name in done.stdout.split() if name in HEAVY} - allowed == set()


def test_the_gateway_group_is_what_the_composition_root_needs() -> None:
    assert {
        group_of(name) for name in ("hostler.app", "hostler.gateway.relay.exchange", "hostler.ledger.recorder")
    } == {"gateway"}
