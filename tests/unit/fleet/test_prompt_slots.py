"""Whose words a slot holds, and which slot a request goes to."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.fleet.prompts.slots import ENGINES_CHOICE, WORTH_KEEPING, Slots
from hostler.fleet.protocol import Conversation, Place


def talk(*marks: int, key: str = "") -> Conversation:
    return Conversation(key, marks, 1000 * len(marks))


SYSTEM = tuple(range(20))  # what all conversations of a program begin with
ONE, OTHER = talk(*SYSTEM, 100), talk(*SYSTEM, 200)


def asked(slots: Slots, tenant: str, conversation: Conversation) -> Place:
    """One request from beginning to end."""
    place = slots.enter(tenant, conversation)
    assert place is not None
    slots.finished(tenant, place)
    slots.leave(place)
    return place


def longer(conversation: Conversation, *marks: int) -> Conversation:
    return talk(*conversation.marks, *marks, key=conversation.key)


def test_a_new_conversation_takes_an_empty_slot_though_another_begins_alike() -> None:
    slots = Slots(2)
    assert asked(slots, "a", ONE) == Place(0, fresh=False)
    assert asked(slots, "a", OTHER) == Place(1, fresh=False)


def test_interleaved_conversations_keep_their_slots() -> None:
    slots, one, other = Slots(2), ONE, OTHER
    for turn in range(5):
        assert asked(slots, "a", one) == Place(0, fresh=False)
        assert asked(slots, "a", other) == Place(1, fresh=False)
        one, other = longer(one, 1000 + turn), longer(other, 2000 + turn)


def test_a_name_finds_its_slot_though_its_beginning_changed() -> None:
    slots = Slots(2)
    asked(slots, "a", talk(1, 2, 3, key="s1"))
    asked(slots, "a", talk(1, 2, 9, key="s2"))
    assert asked(slots, "a", talk(7, 8, 9, 10, key="s1")).slot == 0
    assert asked(slots, "a", talk(1, 2, 3, 4, key="s2")).slot == 1


def test_a_short_request_under_a_session_s_name_leaves_its_conversation_alone() -> None:
    slots = Slots(2)
    asked(slots, "a", talk(*SYSTEM, key="session"))
    assert asked(slots, "a", talk(5, key="session")).slot == 1
    assert asked(slots, "a", talk(*SYSTEM, 21, key="session")).slot == 0


def test_what_is_short_goes_before_what_was_used_longer_ago() -> None:
    slots = Slots(2)
    asked(slots, "a", ONE)
    asked(slots, "a", talk())
    assert asked(slots, "a", talk()).slot == 1
    assert asked(slots, "a", talk()).slot == 1
    assert asked(slots, "a", longer(ONE, 1)).slot == 0


def test_what_was_used_longest_ago_goes_first() -> None:
    slots = Slots(2)
    asked(slots, "a", talk(*range(10)))
    asked(slots, "a", talk(*range(10, 20)))
    assert asked(slots, "a", talk(*range(20, 30))).slot == 0


def test_a_busy_slot_is_taken_by_nobody() -> None:
    slots = Slots(2)
    first = slots.enter("a", ONE)
    second = slots.enter("a", longer(ONE, 5))
    assert first is not None
    assert second is not None
    assert {first.slot, second.slot} == {0, 1}


def test_tenants_keep_apart_as_long_as_there_are_slots_for_all() -> None:
    slots = Slots(4)
    mine = {asked(slots, "a", talk(*range(n, n + 9))).slot for n in (0, 100, 200)}
    assert mine == {0, 1, 2}
    assert asked(slots, "b", ONE) == Place(3, fresh=False)
    assert asked(slots, "b", OTHER) == Place(0, fresh=True)
    for n in range(300, 900, 100):
        assert asked(slots, "a", talk(*range(n, n + 9))).slot in {1, 2}
        assert asked(slots, "b", talk(*range(n, n + 9))).slot in {0, 3}


def test_more_tenants_than_slots_go_on_from_nothing_of_each_other() -> None:
    slots, before = Slots(2), [""] * 2
    for tenant in "abcabc":
        place = asked(slots, tenant, ONE)
        assert place.fresh is (before[place.slot] not in ("", tenant))
        before[place.slot] = tenant


def test_one_slot_is_only_told_what_it_must_not_go_on_from() -> None:
    slots = Slots(1)
    assert slots.enter("a", talk()) is None
    slots.finished("a", None)
    assert slots.enter("a", talk()) is None
    assert slots.enter("b", talk()) == Place(ENGINES_CHOICE, fresh=True)
    assert slots.enter("b", talk()) == Place(ENGINES_CHOICE, fresh=True)
    slots.finished("b", None)
    assert slots.enter("b", talk()) is None


def test_where_the_engine_cannot_be_told_any_slot_may_hold_it() -> None:
    slots = Slots(2)
    asked(slots, "a", ONE)
    assert slots.enter("b", None) is None
    assert [slots.owner(0), slots.owner(1)] == [None, "b"]
    place = asked(slots, "a", longer(ONE, 1))
    assert place.fresh
    assert slots.owner(place.slot) == "a"


def test_a_restored_conversation_is_found_by_what_is_known_of_it() -> None:
    slots = Slots(2)
    slots.restored(0, "a", ONE)
    slots.restored(1, "a", OTHER)
    assert asked(slots, "a", longer(OTHER, 1)) == Place(1, fresh=False)
    assert asked(slots, "a", longer(ONE, 1)) == Place(0, fresh=False)


def test_restored_ones_that_nobody_knows_are_left_to_the_engine_to_find() -> None:
    slots = Slots(2)
    slots.restored(0, "a", None)
    assert asked(slots, "a", ONE) == Place(ENGINES_CHOICE, fresh=False)
    assert slots.owner(0) == "a"
    assert asked(slots, "a", OTHER).slot >= 0


def test_beside_other_tenants_the_engine_is_left_nothing() -> None:
    slots = Slots(3)
    asked(slots, "b", ONE)
    slots.restored(1, "a", None)
    assert asked(slots, "a", ONE) == Place(1, fresh=False)


requests = st.tuples(
    st.sampled_from("abc"),
    st.sampled_from(["go", "go", "go", "hang", "blind", "abandon"]),
    st.lists(st.integers(0, 3), max_size=4),
    st.sampled_from(["", "s1", "s2"]),
)


@settings(max_examples=300)
@given(st.integers(1, 4), st.lists(requests, max_size=40))
def test_nobody_goes_on_from_another_one_s_words(count: int, told: list[tuple[str, str, list[int], str]]) -> None:
    """Beside an engine that goes on from whatever is in the slot that it takes, the worst one it may."""
    slots, busy = Slots(count), set[int]()
    written: list[set[str]] = [set() for _ in range(count)]  # whose words may be in each
    for tenant, how, marks, key in told:
        place = slots.enter(tenant, None if how == "blind" else talk(*marks, key=key))
        free = [n for n in range(count) if n not in busy] or list(range(count))
        into = free if place is None or place.slot < 0 else [place.slot]
        assert place is None or place.slot not in busy
        if how != "blind" and not (place is not None and place.fresh):
            assert all(written[n] <= {tenant} for n in into)
        alone = len(into) == 1 and (place is None or place.slot >= 0 or count == 1)
        for n in into:
            written[n] = written[n] | {tenant}
        if how == "hang" and place is not None and place.slot >= 0:
            busy.add(place.slot)
            continue
        if how in ("go", "blind"):
            slots.finished(tenant, place)
            if alone and (count == 1 or how == "go"):
                written[into[0]] = {tenant}
        slots.leave(place)
        for n in range(count):
            assert slots.owner(n) in (None, *written[n])
            assert slots.owner(n) is None or written[n] == {slots.owner(n)}


class Plain:
    """The rules as they are told, looking through all slots for each: words ``of`` which tenants they hold, the
    conversation ``said`` last, and when they were put down (``at``)."""

    def __init__(self, count: int) -> None:
        self.of: list[set[str]] = [set() for _ in range(count)]
        self.said = [Conversation()] * count
        self.at = list(range(count))
        self.busy: set[int] = set()
        self.moves = count

    def enter(self, tenant: str, asked: Conversation) -> Place:
        free = [n for n in range(len(self.of)) if n not in self.busy]
        if not free:
            crossed = any(of - {tenant} for of in self.of)
            for of in self.of:
                of.add(tenant)
            return Place(ENGINES_CHOICE, crossed)
        number = self._chosen(tenant, asked, free)
        fresh = bool(self.of[number] - {tenant})
        self.of[number].add(tenant)
        self.said[number] = asked
        self.busy.add(number)
        return Place(number, fresh)

    def _chosen(self, tenant: str, asked: Conversation, free: list[int]) -> int:
        own = [n for n in free if self.of[n] == {tenant}]
        begun = [n for n in own if self.said[n].marks and asked.marks[: len(self.said[n].marks)] == self.said[n].marks]
        begun = [n for n in begun if not (asked.key and self.said[n].key) or asked.key == self.said[n].key]
        if begun:
            return max(begun, key=lambda n: (len(self.said[n].marks), self.at[n]))
        named = [n for n in own if asked.key == self.said[n].key and asked.size >= self.said[n].size]
        if asked.key and named:
            return max(named, key=lambda n: (self._alike(asked, n), self.at[n]))
        if empty := [n for n in free if not self.of[n]]:
            return empty[0]
        held = {each: self.of.count({each}) for each in {tenant}.union(*self.of)}
        others = [n for n in free if n not in own]
        if own and (not others or held[tenant] >= max(1, len(self.of) // len(held))):
            return min(own, key=self._last)
        return min(others, key=lambda n: (-max(held[each] for each in self.of[n]), *self._last(n)))

    def _alike(self, asked: Conversation, number: int) -> int:
        pairs = zip(asked.marks, self.said[number].marks, strict=False)
        return next((n for n, (one, other) in enumerate(pairs) if one != other), len(self.said[number].marks))

    def _last(self, number: int) -> tuple[bool, int]:
        return self.said[number].size >= WORTH_KEEPING, self.at[number]

    def leave(self, place: Place) -> None:
        if place.slot in self.busy:
            self.busy.remove(place.slot)
            self.at[place.slot] = self.moves = self.moves + 1


turns = st.tuples(
    st.sampled_from("aab"),
    st.text("xyz", max_size=3),
    st.sampled_from(["", "", "s1", "s2"]),
    st.sampled_from([1, 2000]),
    st.sampled_from(["go", "go", "go", "hang", "end"]),
)


@settings(max_examples=300)
@given(st.integers(2, 5), st.lists(turns, max_size=40))
def test_they_are_chosen_as_if_all_were_looked_through(count: int, told: list[tuple[str, str, str, int, str]]) -> None:
    slots, plain, open_ = Slots(count), Plain(count), list[Place]()
    for tenant, text, key, size, how in told:
        marks = tuple(hash(text[: n + 1]) for n in range(len(text)))
        asked = Conversation(key, marks, size * len(text))
        place = plain.enter(tenant, asked)
        assert slots.enter(tenant, asked) == place
        if how == "go" and place.slot >= 0:
            slots.finished(tenant, place)
            plain.of[place.slot] = {tenant}
        open_.append(place)
        for left in [] if how == "hang" else open_ if how == "end" else open_[-1:]:
            slots.leave(left)
            plain.leave(left)
        open_ = open_ if how == "hang" else [] if how == "end" else open_[:-1]
