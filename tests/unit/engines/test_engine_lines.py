"""Bytes to bounded lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hostler.engines.logs import Lines


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20)), st.randoms())
def test_lines_do_not_depend_on_how_the_bytes_arrive(texts: list[str], random: object) -> None:
    data = "".join(f"{text}\n" for text in texts).encode()
    lines, got = Lines(), []
    while data:
        at = random.randint(1, len(data))  # type: ignore[attr-defined]
        got += lines.feed(data[:at])
        data = data[at:]

    assert got == texts
    assert lines.end() == []


def test_a_line_without_end_is_cut_once() -> None:
    lines = Lines(limit=8)

    got = [line for _ in range(5) for line in lines.feed(b"abcd")]

    assert got == ["abcdabcd"]
    assert lines.feed(b"abcd\nnext\nrest") == ["next"]
    assert lines.end() == ["rest"]


def test_bad_bytes_and_carriage_returns_do_no_harm() -> None:
    assert Lines().feed(b"\xff\xfe ok\r\n") == ["\ufffd\ufffd ok"]
