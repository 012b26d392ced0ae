"""The tree keeps its shape: sizes, names, pure modules, and nothing of the machine it was made on."""

from __future__ import annotations

import ast
import os
import pwd
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from documents import ROOT, SOURCE, code_in, section, text, tracked

LONGEST_FILE = 400
IMPURE = {"asyncio", "anyio", "socket", "subprocess", "logging", "time", "os", "psutil", "threading"}
VAGUE = {"utils", "util", "common", "helpers", "helper", "misc"}
# What prints the hosts that pip asks when nothing is configured.
DEFAULTS = (
    "from pip._internal.models.index import PyPI as p; print(f'https://{p.netloc} https://{p.file_storage_domain}')"
)


def modules() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py" and SOURCE in path.parents]


def test_source_files_are_short() -> None:
    long = {str(path.relative_to(ROOT)): count for path in modules() if (count := lines(path)) >= LONGEST_FILE}
    assert long == {}


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def test_names_say_something() -> None:
    assert [
        path for path in tracked() if VAGUE & {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}
    ] == []


def test_test_files_have_unique_names_and_are_no_packages() -> None:
    names = Counter(path.name for path in tracked() if ROOT / "tests" in path.parents and path.suffix == ".py")
    assert names["__init__.py"] == 0
    assert [name for name, count in names.items() if count > 1 and name != "conftest.py"] == []


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports, wherever in it; imports for types alone left out."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").partition(".")[0])
    return found


def pure() -> list[str]:
    return [name for name in code_in(section("docs/developer/index.md", "## Pure")) if name.endswith(".py")]


@pytest.mark.parametrize("name", pure())
def test_pure_modules_import_nothing_that_acts(name: str) -> None:
    assert imported(SOURCE / name) & IMPURE == set()


def test_the_pure_modules_of_the_contract_are_all_named() -> None:
    contracts = tomllib.loads(text("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    wanted = next(contract["source_modules"] for contract in contracts if "Pure" in contract["name"])
    named = [name.removesuffix(".py").replace("/", ".") for name in pure()]
    assert [each for each in wanted if not any(f"hostler.{name}".startswith(each) for name in named)] == []


def configured() -> tuple[set[str], set[str]]:
    """Hosts and folders of package registries, as the package managers of this machine are configured."""
    said = [value for name, value in os.environ.items() if re.match(r"(PIP|UV|NPM_CONFIG)_", name, re.IGNORECASE)]
    asked = [[sys.executable, "-m", "pip", "config", "list"], [sys.executable, "-c", DEFAULTS]]
    if npm := shutil.which("npm"):
        asked.append([npm, "config", "get", "registry"])
    # The fixture for all tests hides the user's own folder, and with it what the user has configured.
    environment = {**os.environ, "HOME": pwd.getpwuid(os.getuid()).pw_dir}
    for command in asked:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment)
        said.append(done.stdout)
    places = re.findall(r"(?:https?|file)://[^\s'\"]+", "\n".join(said))
    hosts = {host for place in places if (host := urlsplit(place).hostname)}
    return hosts, {urlsplit(place).path.rstrip("/") for place in places if place.startswith("file:")}


def test_nothing_of_this_machine_is_written_down() -> None:
    hosts, folders = configured()
    private = [re.escape(host) for host in hosts - {"localhost", "127.0.0.1"}]
    private += [
        rf"(?<![\w.-]){re.escape(folder)}(?![\w-])" for folder in {*folders, str(ROOT)} if folder.count("/") > 1
    ]
    told = re.compile("|".join(private).encode())
    found = [str(path.relative_to(ROOT)) for path in tracked() if told.search(path.read_bytes())]
    assert found == []


def test_lock_files_name_no_registry() -> None:
    locks = [path for path in tracked() if path.parent.name == "requirements" or path.name == "package-lock.json"]
    assert len(locks) >= 3
    assert [path.name for path in locks if re.search(rb"https?://|--(extra-)?index-url|file:", path.read_bytes())] == []


def test_newsfragments_have_known_types_and_one_sentence() -> None:
    kinds = {kind["directory"] for kind in tomllib.loads(text("pyproject.toml"))["tool"]["towncrier"]["type"]}
    for path in (path for path in tracked() if path.parent.name == "newsfragments" and path.name != ".gitignore"):
        assert path.name.split(".")[-2] in kinds, path.name
        assert len(path.read_text("utf-8").strip().splitlines()) == 1, path.name
