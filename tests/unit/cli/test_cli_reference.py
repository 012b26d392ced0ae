"""Every command explains itself, and the reference page is what the commands say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hostler.cli.reference import commands, help_of, page

ROOT = Path(__file__).parents[3]
COMMANDS = dict(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_of_itself(name: str) -> None:
    shown = help_of(name, COMMANDS[name])
    examples = shown.partition("Examples:")[2]
    assert f"{name} " in examples or examples.rstrip().endswith(name), shown


@pytest.mark.parametrize("name", [name for name in COMMANDS if not getattr(COMMANDS[name], "commands", None)])
def test_every_command_has_json_and_a_short_summary(name: str) -> None:
    assert "--json" in help_of(name, COMMANDS[name])
    summary = (COMMANDS[name].help or "").partition("\n")[0]
    assert 10 < len(summary) <= 60, summary
    assert not COMMANDS[name].get_short_help_str(60).endswith("...")


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs/reference/cli.md").read_text("utf-8") == page(), "run: python -m hostler.cli.reference"


def test_help_loads_nothing_heavy() -> None:
    """Help must come at once: what a command needs is imported when it runs."""
    heavy = ("rich", "httpx", "anyio", "psutil", "tomlkit", "litestar", "uvicorn", "xllamacpp", "platformdirs")
    code = (
        "import sys; sys.argv = ['hostler', '--help']\n"
        "from hostler.cli import main\n"
        "try: main()\n"
        f"except SystemExit: print([name for name in {heavy} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
