"""Which conversation a request belongs to, and telling the engine which slot to take."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.fleet.protocol import Conversation, Place
from hostler.gateway.asking.conversations import conversation_of
from hostler.gateway.asking.peek import placed

WORDS = "the harbour master wrote down every boat that came in before the storm " * 20


def body(**fields: object) -> bytes:
    return json.dumps({"model": "a", **fields}).encode()


@pytest.mark.parametrize(
    ("headers", "fields", "key"),
    [
        ({b"x-hostler-conversation": b"own"}, {"prompt_cache_key": "k", "user": "u"}, "own"),
        ({b"x-session-id": b"s"}, {"prompt_cache_key": "k", "user": "u"}, '"k"'),
        ({b"x-session-affinity": b"ses_1", b"x-session-id": b"ses_1"}, {}, "ses_1"),
        ({b"x-claude-code-session-id": b"c"}, {"metadata": {"user_id": "u1"}}, "c"),
        ({}, {"metadata": {"user_id": "u1"}, "user": "u"}, '"u1"'),
        ({}, {"user": "u"}, '"u"'),
        ({}, {"user": None, "prompt_cache_key": "", "metadata": ["no", "object"]}, ""),
        ({}, {"user": {"strange": 1}}, '{"strange": 1}'),
    ],
)
def test_a_name_is_the_most_certain_that_there_is(
    headers: dict[bytes, bytes], fields: dict[str, object], key: str
) -> None:
    assert conversation_of(headers, body(**fields)).key == key


@pytest.mark.parametrize("field", ["messages", "input"])
def test_the_next_turn_begins_with_the_messages_of_the_last_one(field: str) -> None:
    turns = [{"role": "system", "content": WORDS}, {"role": "user", "content": "hello"}]
    first = conversation_of({}, body(stream=True, **{field: turns}))
    second = conversation_of({}, body(**{field: [*turns, {"role": "user", "content": "and then?"}], "tools": []}))
    assert len(first.marks) == 2
    assert second.marks[:2] == first.marks
    assert second.size > first.size > len(WORDS)
    other = conversation_of({}, body(**{field: [turns[0], {"role": "user", "content": "hi"}]}))
    assert (other.marks[0] == first.marks[0], other.marks[1] == first.marks[1]) == (True, False)


@pytest.mark.parametrize("fields", [{"prompt": WORDS}, {"input": "hello"}, {"messages": "no list"}, {"prompt": [1, 2]}])
def test_a_text_is_one_message(fields: dict[str, object]) -> None:
    assert len(conversation_of({}, body(**fields)).marks) in (1, 2)


def test_a_body_without_messages_has_no_marks() -> None:
    assert conversation_of({}, body()) == Conversation()


objects = st.dictionaries(
    st.sampled_from(["model", "id_slot", "cache_prompt", "text"]), st.integers() | st.text() | st.booleans(), max_size=4
)


@given(objects, st.integers(-1, 7), st.booleans(), st.sampled_from(["", " ", "\n\t "]))
def test_the_slot_stands_last_so_that_it_counts(told: dict[str, object], slot: int, fresh: bool, space: str) -> None:
    text = json.dumps(told).encode()
    text = b"%b%b%b}%b" % (space.encode(), text[:-1], space.encode(), space.encode())
    whole = b"".join(placed(text, Place(slot, fresh)))
    read = json.loads(whole)
    expected = {**told, "id_slot": slot, **({"cache_prompt": False} if fresh else {})}
    assert read == expected
    pairs = json.loads(whole, object_pairs_hook=list)
    assert [name for name, _ in pairs][-1] == ("cache_prompt" if fresh else "id_slot")
