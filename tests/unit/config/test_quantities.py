from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.config.quantities import Bytes, Seconds, decode, encode, exact_bytes, exact_seconds
from hostler.config.settings import LimitSettings, MemorySettings

sizes = st.integers(0, 2**62).map(Bytes) | st.builds(
    lambda count, unit: Bytes(count * unit), st.integers(0, 4096), st.sampled_from([2**10, 2**20, 2**30])
)
durations = st.floats(0, 1e15).map(Seconds) | st.integers(0, 10**7).map(Seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [("12 GiB", 12 * 2**30), ("500 MB", 500 * 10**6), ("64k", 65536), ("0", 0), ("1.5KiB", 1536), (7, 7)],
)
def test_a_size_is_read(text: object, size: int) -> None:
    parsed = Bytes.parse(text)
    assert parsed == size
    assert type(parsed) is Bytes


@pytest.mark.parametrize(
    ("text", "seconds"), [("10m", 600), ("1h30m", 5400), ("250ms", 0.25), (2.5, 2.5), ("3", 3), ("1d 2h", 93600)]
)
def test_a_duration_is_read(text: object, seconds: float) -> None:
    parsed = Seconds.parse(text)
    assert parsed == seconds
    assert type(parsed) is Seconds


@pytest.mark.parametrize("wrong", ["12 XB", "", "-1", -1, True, 1.5, [], None, "9" * 400, 10**400, "GiB"])
def test_what_is_no_size_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"size|larger"):
        Bytes.parse(wrong)


@pytest.mark.parametrize("wrong", ["10x", "", " ", "-1", -1, True, float("nan"), float("inf"), "9" * 400, 10**400])
def test_what_is_no_duration_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        Seconds.parse(wrong)


@given(sizes)
def test_a_written_size_reads_back_exactly(size: Bytes) -> None:
    assert Bytes.parse(exact_bytes(size)) == size


@given(durations)
def test_a_written_duration_reads_back_exactly(duration: Seconds) -> None:
    assert Seconds.parse(exact_seconds(duration)) == duration


@given(sizes, durations)
def test_quantities_are_plain_numbers_on_the_wire_and_themselves_again_behind_it(size: Bytes, wait: Seconds) -> None:
    text = msgspec.json.encode(LimitSettings(body=size, load_s=wait), enc_hook=encode)
    raw = json.loads(text)
    assert type(raw["body"]) is int
    assert type(raw["load_s"]) is float
    back = msgspec.json.decode(text, type=LimitSettings, dec_hook=decode)
    assert (back.body, back.load_s) == (size, wait)
    assert (type(back.body), type(back.load_s)) == (Bytes, Seconds)


def test_quantities_inside_a_mapping_are_read_too() -> None:
    memory = msgspec.convert({"budget": {"host": "1 GiB"}, "reserve": None}, MemorySettings, dec_hook=decode)
    assert memory.budget == {"host": 2**30}
    assert type(memory.budget["host"]) is Bytes


def test_other_types_are_left_to_others() -> None:
    with pytest.raises(NotImplementedError):
        decode(complex, 1)
    with pytest.raises(NotImplementedError):
        encode(1j)
