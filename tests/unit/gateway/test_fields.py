"""Fields: whatever is edited, the body says what a dictionary would; what nobody edits stays as it was written."""

from __future__ import annotations

import json
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from hostler.config.settings import SamplingSettings
from hostler.fleet.protocol import Served
from hostler.gateway.asking.fields import Fields
from hostler.gateway.asking.peek import peek
from hostler.gateway.asking.sampling import edit_of
from hostler.gateway.routes import INFERENCE

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
NAMES = st.sampled_from(["temperature", "top_p", "max_tokens", "other", "sch\u00f6n"])
SPACE = st.text(" \n\t\r", max_size=3)
CHAT = INFERENCE[b"/v1/chat/completions"]


def fields(raw: bytes) -> Fields:
    return Fields(raw, peek(raw))


def written(body: dict[str, object], before: str = "", after: str = "", indent: int | None = None) -> bytes:
    text = json.dumps(body, indent=indent, ensure_ascii=False)
    return (before + "{" + after + text[1:]).encode()


Step = tuple[str, str, object]


@given(
    st.dictionaries(NAMES, JSON),
    st.lists(st.tuples(st.sampled_from(["set", "default", "drop", "get", "in"]), NAMES, JSON), max_size=6),
    SPACE,
)
def test_edits_are_those_of_a_dictionary(body: dict[str, object], steps: list[Step], space: str) -> None:
    edited, known = fields(written(body, space, space)), dict(body)
    for step, name, value in steps:
        text = json.dumps(value).encode()
        if step == "set":
            edited.set(name, text)
            known[name] = value
        elif step == "default":
            edited.default(name, text)
            known.setdefault(name, value)
        elif step == "drop":
            edited.drop(name)
            known.pop(name, None)
        elif step == "get":
            said = edited.get(name)
            assert (None if said is None else json.loads(said)) == known.get(name)
        else:
            assert (name in edited) == (name in known)
    assert json.loads(edited.bytes()) == known


@given(st.dictionaries(NAMES, JSON), SPACE, SPACE, st.sampled_from([None, 1]))
def test_additions_touch_nothing_else(body: dict[str, object], before: str, after: str, indent: int | None) -> None:
    raw = written(body, before, after, indent)
    edited = fields(raw)
    edited.set("new", b"[1]")
    assert edited.bytes().endswith(raw.partition(b"{")[2])


def test_much_white_space_in_an_empty_object() -> None:
    edited = fields(b"{" + b" " * 1000 + b"}")
    edited.default("top_p", b"0.9")
    assert json.loads(edited.bytes()) == {"top_p": 0.9}


def test_unedited_the_body_is_the_same_object() -> None:
    raw = b'{"a":1}'
    edited = fields(raw)
    assert edited.get("a") == b"1"
    edited.drop("b")
    assert edited.bytes() is raw


def test_a_model_of_null_is_replaced_not_joined() -> None:
    edited = fields(b'{"model":null}')
    edited.set("model", b'"a"')
    assert edited.bytes().count(b"model") == 1


def defaults(sampling: SamplingSettings) -> Callable[[Fields], None] | None:
    served = Served(name="p", task="chat", embeddings=False, sampling=sampling, context=1)
    return edit_of(served, CHAT)


def test_sampling_defaults_are_added_where_the_client_said_nothing() -> None:
    edit = defaults(SamplingSettings(temperature=0.2, top_p=0.9, max_tokens=60))
    assert edit is not None
    edited = fields(b'{"max_completion_tokens":5,"top_p":null}')
    edit(edited)
    assert json.loads(edited.bytes()) == {"temperature": 0.2, "top_p": None, "max_completion_tokens": 5}


def test_a_profile_without_defaults_edits_nothing() -> None:
    assert defaults(SamplingSettings()) is None
