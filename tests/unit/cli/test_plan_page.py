"""The page on placement: its examples are what the program prints, its table of keys is what it writes."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from hostler.hardware import machines
from hostler.testing.zoo import PUBLISHED
from hostler.wire.comparison import Compared
from hostler.wire.plan import PlanReport

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "placement.md").read_text("utf-8")
ROW = re.compile(r"^\| `([a-z_\[\].]+)` \| (.*) \|$", re.MULTILINE)


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("plan_examples", ROOT / "tests" / "tools" / "plan_examples.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


TOOL = tool()


def words(text: str) -> list[str]:
    """Words without figures, bars and where lines break: what stays when a prediction gets better.

    Other ways are left out: which are worth telling depends on the figures.
    """
    kept = [line for line in text.partition("Other ways")[0].splitlines() if not re.fullmatch(r" {6}[a-z.]{20,}", line)]
    return [word for word in re.sub(r"[\d.,|()\[\]\\-]+", " ", " ".join(kept)).split() if len(word) > 1]


@pytest.mark.parametrize("example", TOOL.examples(PAGE), ids=lambda example: example[0][:40])
def test_examples_are_what_the_program_prints(example: tuple[str, str | None, str], home: Path) -> None:
    """Figures may have moved since; `python tests/tools/plan_examples.py` writes them anew."""
    TOOL.write_models(home)
    arguments, lines, told = example
    printed = TOOL.shown(arguments, lines)
    assert set(words(printed)) == set(words(told))
    assert max(len(line) for line in printed.splitlines() if "--override-tensor" not in line) <= 80


def test_what_the_page_places_by_hand_fits_the_machine_of_its_examples(home: Path) -> None:
    TOOL.write_models(home)
    settings = PAGE.partition("```toml\n[profiles.by-hand]")[2].partition("```")[0]
    (home / "hostler.toml").write_text(f"[profiles.by-hand]{settings}")
    assert "placed by hand" in TOOL.shown("plan by-hand --hardware rtx4090-5070ti", None)


def fields(kind: type[msgspec.Struct]) -> list[str]:
    return list(kind.__struct_fields__)


def nested(text: str) -> set[str]:
    return set(re.findall(r"`([a-z_]+)`", text))


def test_the_table_of_keys_is_what_is_written() -> None:
    """Programs rely on these: a key that vanishes here is a broken promise."""
    rows = {row[1]: row[2] for row in ROW.finditer(PAGE.partition("## For programs")[2])}
    assert [key for key in rows if "[" not in key] == fields(PlanReport)
    of: dict[str, type[msgspec.Struct]] = {
        field.name: kind for field in msgspec.structs.fields(PlanReport) if (kind := _struct(field.type)) is not None
    }
    assert set(of) == {"machine", "model", "run", "layout", "devices", "speeds", "flags", "alternatives"}
    for key, kind in of.items():
        below = {inner.name: _struct(inner.type) for inner in msgspec.structs.fields(kind)}
        deeper = {name for each in below.values() if each and key != "devices" for name in fields(each)}
        assert nested(rows[key]) == set(below) | deeper, key
    bytes_kind = _struct(next(f.type for f in msgspec.structs.fields(of["devices"]) if f.name == "bytes"))
    assert bytes_kind is not None
    assert nested(rows["devices[].bytes"]) == set(fields(bytes_kind))
    assert fields(Compared) == ["machine", "plan", "problem"]


def _struct(kind: object) -> type[msgspec.Struct] | None:
    """The struct in a type: itself, in a tuple, or beside None."""
    for each in (kind, *getattr(kind, "__args__", ())):
        if isinstance(each, type) and issubclass(each, msgspec.Struct):
            return each
    return None


@pytest.mark.parametrize("machine", machines.names())
def test_every_flag_of_a_plan_is_explained(machine: str, home: Path) -> None:
    TOOL.write_models(home)
    explained = set(re.findall(r"--[a-z][a-z-]+", PAGE.partition("## Flags")[2].partition("\n## ")[0]))
    for model in PUBLISHED:
        arguments = f"plan {model.name}-{model.recipes[0]} --hardware {machine} --json"
        printed = TOOL.shown(arguments, None)
        if '"flags"' in printed:  # some fit nowhere
            told = msgspec.json.decode(printed, type=PlanReport)
            assert {word for flag in told.flags for word in flag.argv if word.startswith("--")} <= explained
