"""The response parser: however the bytes are cut, the events are the same."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.errors import EngineLost
from hostler.gateway.relay.http1 import END, Head, ResponseParser

RECORDED = {
    "length": b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=100\r\nContent-Length: 11\r\n\r\nhello\r\nyou!",
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab\r\nc\r\n1\r\n0\r\nA;x=y\r\n0123456789\r\n"
    b"0\r\n\r\n",
    "trailers": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n3\r\n\r\n0\r\n000\r\nA: b\r\nC: d\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\n"
    b"HTTP/1.1 201 \r\nContent-Length: 1\r\n\r\nx",
    "no content": b"HTTP/1.1 204 No Content\r\nA:b\r\n\r\n",
    "old": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
    "until close": b"HTTP/1.1 500\r\nConnection: close\r\n\r\nthe rest\r\n\r\n is body",
}  # fmt: skip
BODIES = {
    "length": b"hello\r\nyou!",
    "chunked": b"ab\r\nc00123456789",
    "trailers": b"\r\n0",
    "interim": b"x",
    "old": b"hi",
    "until close": b"the rest\r\n\r\n is body",
}


def read(pieces: list[bytes]) -> tuple[int, list[tuple[bytes, bytes]], bytes, bool, bool]:
    """Status, fields, body, complete before the peer closed, reusable."""
    parser = ResponseParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    before = bool(events) and events[-1] is END
    if not before:
        events += parser.eof()
    head, *body, end = events
    assert isinstance(head, Head)
    assert end is END
    assert all(isinstance(piece, bytes) and piece for piece in body)
    return (
        head.status,
        head.fields,
        b"".join(piece for piece in body if isinstance(piece, bytes)),
        before,
        parser.reusable,
    )


@pytest.mark.parametrize("name", RECORDED)
def test_whole(name: str) -> None:
    _, _, body, before, reusable = read([RECORDED[name]])
    assert body == BODIES.get(name, b"")
    assert before == reusable == (name != "until close")


@given(st.sampled_from(sorted(RECORDED)), st.lists(st.integers(0, 200), max_size=12))
def test_cut_anywhere(name: str, cuts: list[int]) -> None:
    data = RECORDED[name]
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in itertools.pairwise(places)]
    assert read(pieces) == read([data])


@pytest.mark.parametrize("name", RECORDED)
def test_byte_by_byte(name: str) -> None:
    data = RECORDED[name]
    assert read([data[at : at + 1] for at in range(len(data))]) == read([data])


@given(st.binary(max_size=400))
def test_noise_is_an_error_or_waits_for_more(noise: bytes) -> None:
    parser = ResponseParser()
    try:
        parser.feed(noise)
        parser.feed(noise)
    except EngineLost:
        return


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.integers(1, 50))
def test_any_chunks_come_back_as_their_bytes(chunks: list[bytes], step: int) -> None:
    framed = b"".join(b"%X\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed
    _, _, body, before, reusable = read([data[at : at + step] for at in range(0, len(data), step)])
    assert (body, before, reusable) == (b"".join(chunks), True, True)


def test_a_head_that_came_before_is_read_as_the_first_time() -> None:
    """The head and one byte more were taken for a whole answer whose length fitted by chance, as here."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 33\r\n\r\n" + bytes(range(33))
    first = read([answer])
    for cut in range(1, len(answer)):
        assert read([answer[:cut], answer[cut:]]) == first


def test_head_requests_have_no_body() -> None:
    parser = ResponseParser()
    parser.begin(bodiless=True)
    assert parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n")[-1] is END
    assert parser.reusable


@pytest.mark.parametrize("name", ["length", "chunked", "no content"])
def test_surplus_bytes_forbid_reuse(name: str) -> None:
    parser = ResponseParser()
    assert parser.feed(RECORDED[name] + b"H")[-1] is END
    assert not parser.reusable


@pytest.mark.parametrize(
    "fields",
    [b"Connection: close\r\nContent-Length: 0", b"Transfer-Encoding: chunked\r\nContent-Length: 5"],
)
def test_what_else_forbids_reuse(fields: bytes) -> None:
    parser = ResponseParser()
    parser.feed(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n")
    assert not parser.reusable


@pytest.mark.parametrize(
    "data",
    [
        b"SMTP ready\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 600 New\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\nSet-Cookie: c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\rSet-Cookie: c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 70_000,
    ],
)
def test_what_is_not_http_is_the_engines_fault(data: bytes) -> None:
    with pytest.raises(EngineLost):
        ResponseParser().feed(data)


def test_a_head_over_its_limit_is_told_with_the_limit() -> None:
    with pytest.raises(EngineLost, match=r"is over 64\.0 KiB\."):
        ResponseParser().feed(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000)


@pytest.mark.parametrize("name", ["length", "chunked", "trailers"])
def test_an_end_in_the_middle_is_an_error(name: str) -> None:
    parser = ResponseParser()
    parser.feed(RECORDED[name][:-1])
    with pytest.raises(EngineLost, match="middle"):
        parser.eof()
