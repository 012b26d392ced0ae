"""Reading an engine's answer from the bytes that have come so far."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.engines.talking.exchange import Answer, Broken, parsed

SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n"
INTERIM = b"HTTP/1.1 102 Processing\r\n\r\n" + SIZED
UNTIL_CLOSED = b"HTTP/1.1 503 Busy\r\n\r\nhello"


@pytest.mark.parametrize("data", [SIZED, CHUNKED, INTERIM], ids=["sized", "chunked", "interim"])
def test_an_answer_is_whole_only_at_its_end(data: bytes) -> None:
    end = data.index(b"llo\r\n0\r\n") + 8 if data is CHUNKED else len(data)
    for at in range(end):
        assert parsed(data[:at], ended=False) is None
    assert parsed(data, ended=False) == Answer(200, b"hello")


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    assert parsed(UNTIL_CLOSED, ended=False) is None
    assert parsed(UNTIL_CLOSED, ended=True) == Answer(503, b"hello")


@given(st.binary(max_size=80))
def test_what_is_not_http_is_broken_and_nothing_else(data: bytes) -> None:
    try:
        answer = parsed(data, ended=True)
    except Broken:
        return
    assert answer is None or isinstance(answer, Answer)


@pytest.mark.parametrize(
    "data",
    [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", CHUNKED.replace(b"3;", b"zz;")],
)
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(Broken):
        parsed(data, ended=False)
