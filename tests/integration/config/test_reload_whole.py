"""What a reload says is true: nothing in the gateway holds an old setting, but what is named as read at the start."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType

import pytest

from hostler import log
from hostler.app import Gateway
from hostler.config.diff import AT_START
from hostler.config.load import Loaded, load
from hostler.config.quantities import Bytes, Seconds
from hostler.config.settings import Home
from hostler.config.shape import Leaf, Map, Table, root

pytestmark = pytest.mark.anyio

#: Which no number that is somewhere for another reason equals. A connection takes files, so these are few.
FEW = {"connections": (1013, 1019)}
TEXTS = {
    "gateway.default": '"%s"', "gateway.cors": '["https://%s.example"]', "library.roots": '["/%s"]',
    "engines.default_build": '"%s"',
}  # fmt: skip


def leaves() -> Iterator[tuple[str, str, Leaf]]:
    """Section, name and shape of every setting that is no profile's, and not read at the start."""
    for section, field in root().fields.items():
        if isinstance(field.shape, Table):
            for name, inner in field.shape.fields.items():
                if isinstance(inner.shape, Leaf) and f"{section}.{name}" not in AT_START:
                    yield section, name, inner.shape
        else:
            assert isinstance(field.shape, Map)


def written(which: int) -> tuple[str, dict[object, str]]:
    """A configuration in which each setting has a value of its own, and what those are; ``which`` of two, 0 or 1."""
    numbers, sections, values = count(700_001 + which * 100_000, 2), dict[str, list[str]](), dict[object, str]()
    for section, name, shape in leaves():
        key = f"{section}.{name}"
        value: object = None
        if not shape.many and not shape.choices and shape.base in (int, float, Bytes, Seconds):
            value = FEW[name][which] if name in FEW else next(numbers)
            line = f"{name} = {value}"
        elif key in TEXTS:
            line = f"{name} = {TEXTS[key] % ('former', 'latter')[which]}"
            value = line.partition("= ")[2].strip('"[]')
        if value is not None:
            sections.setdefault(section, []).append(line)
            values[value] = key
    assert len(values) > 30
    return "\n".join(f"[{name}]\n" + "\n".join(lines) for name, lines in sections.items()), values


def held(*roots: object, but: object) -> Iterator[object]:
    """Every number and text that is reachable from ``roots``, not by way of modules, classes or ``but``."""
    seen, left = {id(but)}, list(roots)
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, ModuleType | type | CodeType | BuiltinFunctionType):
            continue
        seen.add(id(one))
        if isinstance(one, int | float | str):
            yield one
        elif isinstance(one, FunctionType):
            left += [one.__closure__, one.__defaults__, one.__kwdefaults__]
        else:
            left += gc.get_referents(one)


@pytest.fixture
def folders(tmp_path: Path) -> Home:
    return Home(tmp_path / "hostler.toml", *(tmp_path / name for name in ("models", "state", "cache", "logs")))


@pytest.fixture
def reading(folders: Home) -> Iterator[Home]:
    yield folders
    log.close()


def read(folders: Home, which: int) -> Loaded:
    text, _ = written(which)
    folders.config_file.write_text(f"{text}\n[profiles.a]\nmodel = '/none.gguf'\n")
    return load(folders, {}, {"gateway.port": 0})


async def test_nothing_holds_what_was_before(reading: Home) -> None:
    loaded = read(reading, 0)
    log.configure(loaded.config.log, reading.logs)
    gateway = Gateway(reading, {"gateway.port": 0}, loaded)
    with gateway._listener:
        before, after = written(0)[1], written(1)[1]
        roots = (gateway, *logging.getLogger().handlers)
        assert {before[one] for one in held(*roots, but=None) if one in before} == set(before.values())

        read(reading, 1)
        told = await gateway.running_config.reload(gateway.catalogue, gateway.fleet)
        assert told.waiting == ()
        roots = (gateway, *logging.getLogger().handlers)
        values = set(held(*roots, but=gateway.running_config._started))
        assert {before[one] for one in values if one in before} == set()
        assert {after[one] for one in values if one in after} == set(after.values())
