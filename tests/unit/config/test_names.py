from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.config.names import CACHED, Names
from hostler.errors import UnknownProfile

NAMES = Names(
    [
        ("smollm2", ("tiny", "Gpt-4o")),
        ("coder", ("claude-*", "gpt-?")),
        ("opus", ("claude-opus-*", "claude-[0-9]*")),
        ("org/model:q4", ()),
        ("Coder", ()),
        ("tiny", ("coder",)),
    ]
)


@pytest.mark.parametrize(
    ("sent", "profile"),
    [
        ("smollm2", "smollm2"),
        ("tiny", "smollm2"),  # the earlier entry's alias wins over a later entry's name
        ("coder", "coder"),
        ("Coder", "Coder"),
        ("CODER", "coder"),
        ("smollm2:latest", "smollm2"),
        ("TINY:LATEST", "smollm2"),
        ("gpt-4O", "smollm2"),
        ("claude-sonnet-4", "coder"),
        ("claude-opus-4", "opus"),  # the longer literal part
        ("claude-3", "coder"),  # equally long: the earlier one
        ("CLAUDE-OPUS-4", "opus"),
        ("gpt-5:latest", "coder"),
        ("org/model:q4", "org/model:q4"),
    ],
)
def test_a_name_means_one_profile(sent: str, profile: str) -> None:
    assert NAMES.resolve(sent) == profile
    assert NAMES.resolve(sent) == profile  # and again, out of the cache


def test_an_unknown_name_is_answered_with_the_near_ones() -> None:
    with pytest.raises(UnknownProfile) as caught:
        NAMES.resolve("smolm2")
    assert caught.value.message == 'No profile is named "smolm2". Did you mean smollm2?'
    assert "hostler ls" in caught.value.hint


def test_part_of_a_name_is_near_too_and_at_most_five_are_named() -> None:
    many = Names([(f"qwen3-coder-30b-a3b-instruct-{index}", ()) for index in range(9)])
    assert len(many.nearest("qwen3")) == 5


def test_without_any_profile_the_message_suggests_nothing() -> None:
    with pytest.raises(UnknownProfile) as caught:
        Names([]).resolve("x")
    assert caught.value.message == 'No profile is named "x".'


def test_a_name_of_absurd_length_is_refused_without_being_quoted_whole() -> None:
    everything = Names([("all", ("*",))])
    with pytest.raises(UnknownProfile) as caught:
        everything.resolve("x" * 1_000_000)
    assert len(caught.value.message) < 500


def test_ever_new_names_do_not_grow_memory() -> None:
    everything = Names([("all", ("*",))])
    for index in range(CACHED * 2 + 1):
        assert everything.resolve(f"name-{index}") == "all"
    assert len(everything._cache) <= CACHED


words = st.text("abAB-*?:[]", min_size=1, max_size=6)
entries = st.lists(st.tuples(words, st.lists(words, max_size=3)), max_size=5)


@given(entries, words)
def test_a_name_always_means_a_profile_that_exists_or_is_unknown(
    given_entries: list[tuple[str, list[str]]], sent: str
) -> None:
    names = Names(given_entries)
    try:
        first = names.resolve(sent)
    except UnknownProfile:
        assert sent not in {name for name, _ in given_entries}
    else:
        assert first in {name for name, _ in given_entries}
        assert names.resolve(sent) == first == Names(given_entries).resolve(sent)


@given(st.lists(st.text("abcAB", min_size=1, max_size=3), min_size=1, max_size=6, unique=True))
def test_an_exact_name_is_never_shadowed_by_a_pattern_or_by_case(profiles: list[str]) -> None:
    names = Names([("catch-all", ("*",)), *((name, ()) for name in profiles)])
    for name in profiles:
        assert names.resolve(name) == name
        assert names.resolve(f"{name}:latest") == name
