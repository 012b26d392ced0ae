"""Bodies are read once, and what is wrong with one is said."""

from __future__ import annotations

import pytest

from hostler.errors import InvalidRequest
from hostler.gateway.asking.peek import peek


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
        (b'{"model": 5}', "`model`"),
        (b'{"stream": 1}', "`stream`"),
        (b'{"a": "\xc3("}', "byte 7"),
        (b"\xef\xbb\xbf{}", "byte 0"),
        (b"{} {}", "byte 4"),
    ],
)
def test_what_is_wrong_is_said(body: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        peek(body)
    assert says in refusal.value.message
