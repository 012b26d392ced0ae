"""What the docs say of the code is so: links, commands, configurations, names, rules, diagrams."""

from __future__ import annotations

import dataclasses
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from documents import ROOT, SOURCE, code_in, fences, pages, rows, section, text, tracked

from hostler.cli.reference import commands
from hostler.config.load import parse
from hostler.engines import state
from hostler.fleet.scheduling import scheduler
from hostler.testing.fake_engine.switches import Switches

ARCHITECTURE = "docs/developer/index.md"
COMMANDS = {name for name, _ in commands()}
_LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")


def anchor(heading: str) -> str:
    """As Markdown makes it: small letters, no punctuation, dashes for spaces."""
    return re.sub(r"[\s]+", "-", re.sub(r"[^\w\s.-]", "", heading.lower()).replace(".", "")).strip("-")


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page: str) -> None:
    for link in _LINK.findall(text(page)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, fragment = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.resolve() in {path.resolve() for path in tracked()}, f"{page}: {link}"
        if fragment:
            headings = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
            assert fragment in {anchor(heading) for heading in headings}, f"{page}: {link}"


def test_navigation_and_pages_agree() -> None:
    named = set(re.findall(r"^ +- [^:]+: (\S+\.md)$", text("mkdocs.yml"), re.MULTILINE))
    there = {page.removeprefix("docs/") for page in pages() if page.startswith("docs/")}
    assert named <= there
    assert {page for page in there - named if not page.startswith("benchmarks/")} == set()


@pytest.mark.parametrize("page", [page for page in pages() if fences(page, "toml")])
def test_configurations_are_valid_together(page: str) -> None:
    parse("\n".join(fences(page, "toml")), Path(page))


@pytest.mark.parametrize("page", pages())
def test_commands_exist(page: str) -> None:
    """``hostler word`` in a line of code, and at most one word more for a group."""
    written = text(page)
    lines = [line for line in written.splitlines() if line.startswith("    ")]
    lines += [
        line for language in ("", "sh", "console") for block in fences(page, language) for line in block.split("\n")
    ]
    for line in [*lines, *code_in(re.sub(r"^```.*?^```", "", written, flags=re.MULTILINE | re.DOTALL))]:
        words = re.match(r"\s*(?:\S*/)?hostler ([a-z]+)(?: ([a-z]+))?\b", line)
        if words is not None and not line.strip().startswith("hostler up:"):
            assert f"hostler {words[1]}" in COMMANDS or f"hostler {words[1]} {words[2]}" in COMMANDS, f"{page}: {line}"


@pytest.mark.parametrize("page", pages())
def test_options_of_commands_exist(page: str) -> None:
    """Every ``--option`` of a hostler command in the docs is in that command's help."""
    known = dict(commands())
    for line in [*code_in(text(page)), *text(page).splitlines()]:
        if not re.match(r"\s*(\.venv/bin/)?hostler [a-z]", line):
            continue
        words = shlex.split(line, comments=True)[1:]
        words = words[: words.index("--")] if "--" in words else words  # another command's follow
        name = next((n for n in (" ".join(["hostler", *words[:2]]), f"hostler {words[0]}") if n in known), None)
        if name is None:
            continue
        options = {option for parameter in known[name].params for option in parameter.opts}
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= options, f"{page}: {line}"


@pytest.mark.parametrize("page", pages())
def test_make_targets_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    lines = [*code_in(text(page)), *(line for line in text(page).splitlines() if line.startswith("    "))]
    named = {match[1] for line in lines if (match := re.match(r"\s*(?:\w+=\S+ )?make ([a-z-]+)", line))}
    assert named <= targets


def test_every_room_has_a_row_in_the_order_of_the_layers() -> None:
    shown = [name.rstrip("/") for row in rows(section(ARCHITECTURE, "## Rooms")) for name in code_in(row[0])]
    folders = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").is_file()}
    modules = {path.name for path in SOURCE.glob("*.py")} - {"__init__.py"}
    assert set(shown) == folders | modules
    contracts = tomllib.loads(text("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    order = [name.strip().removeprefix("hostler.") for layer in layers for name in layer.split("|")]
    named = [name.removesuffix(".py") for name in shown]
    assert [name for name in named if name in order] == [name for name in order if name in named]


def test_the_traced_request_names_real_code() -> None:
    traced = rows(section(ARCHITECTURE, "## One request"))
    assert len(traced) > 10
    for row in traced:
        (file,), (name,) = code_in(row[1]), code_in(row[2])
        assert re.search(rf"^\s*(?:async )?(?:def|class) {name}\b", text(f"src/hostler/{file}"), re.MULTILINE), row


@pytest.mark.parametrize("page", [page for page in pages() if page.startswith("docs/developer/")])
def test_files_that_are_named_exist(page: str) -> None:
    for each in code_in(text(page)):
        if re.fullmatch(r"[a-z_/0-9]+/[a-z_0-9]*\.py", each):
            assert (SOURCE / each).is_file() or (ROOT / each).is_file(), f"{page}: {each}"


def numbered(markdown: str) -> list[str]:
    """The items of a numbered list, in one line each."""
    items = re.findall(r"^\d+\. (.*?)(?=^\d+\. |\n\n|\Z)", markdown, re.MULTILINE | re.DOTALL)
    return [" ".join(item.split()) for item in items]


def test_the_fleets_rules_are_the_schedulers() -> None:
    said = re.sub(r":\w+:(`[^`]+`)", r"\1", scheduler.__doc__ or "").replace("``", "`")
    rules = numbered(re.sub(r"`hostler\.engines\.state\.(\w+)`", r"`hostler.engines.state.\1`", said))
    shown = numbered(section("docs/developer/fleet.md", "## The rules"))
    assert shown == rules
    assert len(rules) >= 7


def test_the_life_of_an_instance_is_drawn_as_the_code_says() -> None:
    drawn = [line.strip() for line in fences(ARCHITECTURE, "text")[0].splitlines()]
    said = [line.strip() for line in (state.__doc__ or "").splitlines()]
    assert drawn == said[said.index(drawn[0]) :][: len(drawn)]


def test_switches_of_the_fake_engine_exist() -> None:
    known = {field.name for field in dataclasses.fields(Switches)}
    shown = [
        name for row in rows(section("docs/developer/testing.md", "## The fake engine")) for name in code_in(row[1])
    ]
    assert len(shown) > 20
    assert set(shown) <= known
