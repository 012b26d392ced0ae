"""JSON texts with something inside them changed: as if dictionaries were, and nothing else."""

from __future__ import annotations

import copy

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from hostler.gateway.asking.nested import within, without
from hostler.gateway.asking.system_line import in_messages, in_system

NAMES = st.sampled_from(["a", "b", "c"])
LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3) | st.lists(st.integers(0, 3), max_size=2)
VALUES = st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=8)
PATHS = st.lists(NAMES, min_size=1, max_size=3)


def text(value: object) -> bytes:
    return msgspec.json.encode(value)


@given(VALUES, PATHS, LEAVES)
def test_set_within(value: object, path: list[str], put: object) -> None:
    wanted = copy.deepcopy(value) if isinstance(value, dict) else {}
    held = wanted
    for name in path[:-1]:
        if not isinstance(held.get(name), dict):
            held[name] = {}
        held = held[name]
    held[path[-1]] = put
    assert msgspec.json.decode(within(text(value), path, text(put))) == wanted


@given(VALUES, PATHS)
def test_left_out(value: object, path: list[str]) -> None:
    wanted = copy.deepcopy(value)
    held: object = wanted
    for name in path[:-1]:
        held = held.get(name) if isinstance(held, dict) else None
    left = without(text(value), path)
    if isinstance(held, dict) and path[-1] in held:
        del held[path[-1]]
        assert left is not None
        assert msgspec.json.decode(left) == wanted
    else:
        assert left is None


@given(VALUES)
def test_a_line_is_put_into_whatever_there_is_or_it_stays_as_it_was(value: object) -> None:
    for put in (in_system, in_messages):
        msgspec.json.decode(put(text(value), "line"))
    if isinstance(value, str):
        assert msgspec.json.decode(in_system(text(value), "line")) == f"{value}\n\nline"
