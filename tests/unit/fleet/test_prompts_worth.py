"""What saved prompts are worth, who leaves a full shelf, and what makes two the same."""

from __future__ import annotations

import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.fleet.prompts.entries import BLOCK, Entry, continues, head_size, marks, resumes, tokens_in
from hostler.fleet.prompts.figures import FAILURES, Support
from hostler.fleet.prompts.keys import shaping
from hostler.fleet.prompts.worth import Rates, leaving, pays, usefulness

NOW = 1_700_000_000.0
DAY = 86400.0


def entry(name: str = "a", **fields: object) -> Entry:
    made = Entry(
        id=name, key="k", tenant="t", profile="p", tokens=4000, bytes=100_000_000, checksum=0, saved_at=NOW,
        used_at=NOW, computing_s=30.0,
    )  # fmt: skip
    return msgspec.structs.replace(made, **fields)


entries = st.builds(
    entry,
    name=st.text(min_size=1, max_size=6),
    bytes=st.integers(1, 10**10),
    computing_s=st.floats(0, 1000),
    used_at=st.floats(NOW - 20 * DAY, NOW),
    hits=st.integers(0, 5),
)


def test_restoring_pays_when_computing_takes_longer() -> None:
    assert pays(entry(), Rates())
    assert not pays(entry(computing_s=0.5), Rates())
    assert not pays(entry(), Rates(restored=100, used=0, restore=1e6))


def test_nothing_pays_while_nobody_knows_how_quick_the_engine_reads() -> None:
    assert not pays(entry(computing_s=0.0), Rates())


def test_what_was_never_used_loses_its_chance_but_not_all_of_it() -> None:
    assert Rates().chance == 0.5
    assert Rates(restored=1000, used=0).chance == 0.1
    assert Rates(restored=8, used=8).chance == pytest.approx(0.9)


@given(st.lists(entries, max_size=12, unique_by=lambda e: e.id), st.integers(0, 3 * 10**10))
def test_a_shelf_is_within_its_bounds_and_keeps_what_is_most_useful(kept: list[Entry], budget: int) -> None:
    gone = leaving(kept, NOW, budget, 7 * DAY)
    stays = [each for each in kept if each not in gone]
    assert sum(each.bytes for each in stays) <= budget
    assert all(NOW - each.used_at <= 7 * DAY for each in stays)
    pushed = [each for each in gone if NOW - each.used_at <= 7 * DAY]
    if stays and pushed:
        assert max(usefulness(e, NOW) for e in pushed) <= min(usefulness(e, NOW) for e in stays)
    if pushed:  # the last to go was needed
        assert sum(each.bytes for each in stays) + pushed[-1].bytes > budget


def test_seconds_per_byte_decide() -> None:
    large = entry("large", bytes=10**9, computing_s=40.0)
    small = entry("small", bytes=10**8, computing_s=20.0)
    assert leaving([large, small], NOW, 10**9, DAY) == [large]


def test_everything_goes_when_nothing_is_kept() -> None:
    assert leaving([entry()], NOW, 10**12, -1.0) == [entry()]


class TestMarks:
    def file(self, words: tuple[int, ...], before: tuple[int, ...] = ()) -> bytes:
        return b"qsgg" + struct.pack(f"<II{len(before) + len(words)}I", 4, len(before) + len(words), *before, *words)

    def test_tokens_are_found_behind_what_the_engine_puts_before_them(self) -> None:
        words = tuple(range(300))
        assert tokens_in(self.file(words, (2**32 - 1, 1, 300, 1)), 300) == struct.pack("<300I", *words)
        assert tokens_in(self.file(words), 300) == struct.pack("<300I", *words)

    @pytest.mark.parametrize("head", [b"", b"qsgg", b"[1, 2, 3, 4, 5, 6]", b"qsgg" + struct.pack("<II", 4, 2**31)])
    def test_another_format_has_none(self, head: bytes) -> None:
        assert tokens_in(head, 1) == b""

    @given(st.binary(max_size=400), st.integers(0, 200))
    def test_no_file_breaks_it(self, head: bytes, count: int) -> None:
        assert len(tokens_in(head, count)) in (0, 4 * count)

    def test_a_head_holds_all_tokens(self) -> None:
        assert head_size(300) >= len(self.file(tuple(range(300)), (0, 0, 0, 0)))

    def test_a_conversation_that_goes_on_is_recognised(self) -> None:
        first = struct.pack(f"<{10 * BLOCK}I", *range(10 * BLOCK))
        last_block_differs = first[: -4 * BLOCK] + bytes(4 * BLOCK)
        older = entry("old", marks=marks(first, b"salt"))
        assert len(older.marks) == 10
        assert continues(entry("new", marks=marks(first + bytes(4 * BLOCK), b"salt")), older)
        assert continues(entry("new", marks=marks(last_block_differs, b"salt")), older)
        half = marks(first[: 4 * 5 * BLOCK] + bytes(4 * 5 * BLOCK), b"salt")
        assert not continues(entry("new", marks=half), older)
        assert resumes(entry("new", marks=half), older)
        assert not continues(entry("new", tenant="other", marks=older.marks), older)
        assert not resumes(entry("new", key="other", marks=older.marks), older)

    def test_marks_say_nothing_without_their_salt(self) -> None:
        words = bytes(4 * 2 * BLOCK)
        assert not set(marks(words, b"one")) & set(marks(words, b"two"))


def test_only_flags_that_shape_a_slot_count() -> None:
    argv = ("python", "-m", "x", "--model", "/m.gguf", "--port", "1", "--ctx-size", "4096", "--threads", "2", "--jinja")
    moved = ("guard", "--model", "/n.gguf", "--jinja", "--port", "2", "--n-gpu-layers", "9", "--ctx-size", "4096")
    assert shaping(argv) == shaping(moved) == [("--ctx-size", "4096"), ("--jinja",)]
    assert shaping((*argv, "--rope-scale", "-1.5")) != shaping(argv)


def test_an_engine_is_given_up_only_when_it_never_worked() -> None:
    assert not Support(failed=FAILURES - 1).abandoned
    assert Support(failed=FAILURES).abandoned
    assert not Support(failed=FAILURES, used=1).abandoned
    assert Support(used=5, refused="not with images").abandoned == "not with images"
