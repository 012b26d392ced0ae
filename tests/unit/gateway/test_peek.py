"""Bodies are read, never re-encoded; defaults are spliced in as bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.config.settings import SamplingSettings
from hostler.errors import InvalidRequest
from hostler.gateway.peek import Defaults, peek

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
DEFAULTS = Defaults(SamplingSettings(temperature=0.2, top_p=0.9, max_tokens=60))
NAMES = ("temperature", "top_p", "max_tokens", "other")
SPACE = st.text(" \n\t\r", max_size=3)


@given(st.dictionaries(st.sampled_from(NAMES), JSON), SPACE, SPACE, st.sampled_from([None, 1]))
def test_a_splice_adds_what_is_missing_and_touches_nothing_else(
    body: dict[str, object], before: str, after: str, indent: int | None
) -> None:
    text = json.dumps(body, indent=indent, ensure_ascii=False)
    raw = (before + "{" + after + text[1:]).encode()
    spliced = DEFAULTS.splice(raw, peek(raw))
    assert json.loads(spliced) == {"temperature": 0.2, "top_p": 0.9, "max_tokens": 60} | body
    assert spliced.endswith(raw.partition(b"{")[2])


def test_a_synonym_counts_as_set() -> None:
    raw = b'{"max_completion_tokens":5}'
    assert json.loads(DEFAULTS.splice(raw, peek(raw))) == {"temperature": 0.2, "top_p": 0.9, "max_completion_tokens": 5}


def test_much_white_space_in_an_empty_object() -> None:
    raw = b"{" + b" " * 1000 + b"}"
    assert json.loads(DEFAULTS.splice(raw, peek(raw)))["top_p"] == 0.9


def test_without_defaults_the_body_is_the_same_object() -> None:
    raw = b'{"a":1}'
    assert Defaults(SamplingSettings()).splice(raw, peek(raw)) is raw


def test_null_means_not_said() -> None:
    asked = peek(b'{"model":null,"stream":null}')
    assert (asked.model, asked.stream) == (None, None)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b"{", "truncated"),
        (b'{"a": nope}', "byte 7"),
        (b'{"a": NaN}', "byte 6"),
        (b"[1]", "object"),
        (b'"text"', "object"),
        (b'{"model": 5}', "$.model"),
        (b'{"stream": 1}', "$.stream"),
        (b'{"a": "\xc3("}', "byte 7"),
        (b"\xef\xbb\xbf{}", "byte 0"),
        (b"{} {}", "byte 4"),
    ],
)
def test_what_is_wrong_is_said(body: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        peek(body)
    assert says in refusal.value.message
