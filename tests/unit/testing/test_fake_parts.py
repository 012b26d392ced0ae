"""The fake engine's own parts: switches, slots, request reading."""

from __future__ import annotations

from dataclasses import fields

import pytest

from hostler.testing.fake_engine import switches
from hostler.testing.fake_engine.flags import BadFlag, parse
from hostler.testing.fake_engine.slots import Slot, Slots, Waiting, shared
from hostler.testing.fake_engine.switches import Switches, UnknownSwitch, changed, take_switches
from hostler.testing.fake_engine.wire import parse_head, take_chunked
from hostler.testing.http import Event, parse_events


def test_switches_come_from_environment_and_command_line_which_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ENGINE", '{"tokens": 5, "rate": 2}')
    told, rest = take_switches(["-c", "10", "--fake-tokens", "7", "--fake-never-ready", "--fake-crash=9"])
    assert (told.tokens, told.rate, told.never_ready, told.crash) == (7, 2.0, True, "9")
    assert rest == ["-c", "10"]


@pytest.mark.parametrize("values", [{"no_such": 1}, {"tokens": "many"}])
def test_a_wrong_switch_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(UnknownSwitch):
        changed(Switches(), values)


def test_every_switch_is_in_the_help() -> None:
    text = switches.describe()
    for item in fields(Switches):
        assert f"--fake-{item.name.replace('_', '-')}" in text


def test_context_is_shared_or_divided_among_slots() -> None:
    assert parse(["-c", "100", "-np", "4"]).slot_context == 25
    assert parse(["-c", "100", "-np", "4", "-kvu"]).slot_context == 100
    with pytest.raises(BadFlag, match="invalid argument: --nope"):
        parse(["--nope"])


def test_who_waits_gets_the_slot_in_order() -> None:
    slots, order = Slots(1), []

    def waiting(name: str) -> Waiting:
        def granted(slot: Slot) -> None:
            order.append(name)

        return Waiting(granted)

    second = waiting("second")
    for who in (waiting("first"), second, waiting("third")):
        slots.ask(who)
    assert (order, slots.busy, len(slots.waiting)) == (["first"], 1, 2)
    slots.forget(second)
    slots.release(slots.all[0])
    assert order == ["first", "third"]


def test_a_prompt_goes_where_most_of_it_is_remembered() -> None:
    slots, granted = Slots(3), []
    for slot, cached in zip(slots.all, (["a"], ["a", "b"], []), strict=True):
        slot.cached = list(cached)
    slots.ask(Waiting(granted.append, ["a", "b", "c"]))
    assert granted == [slots.all[1]]
    granted[0].begin(0, ["a", "b", "c"], 5, stream=False, reuse=True)
    assert (granted[0].cache_n, granted[0].processed_n) == (2, 1)
    assert shared(["a", "b"], ["a", "c"]) == 1


def test_heads_and_chunked_bodies() -> None:
    request, keep = parse_head(b"POST /x?y=1 HTTP/1.1\r\nHost: h\r\nConnection: close")
    assert (request.method, request.path, request.query, keep) == ("POST", "/x", "y=1", False)
    assert take_chunked(bytearray(b"3\r\nabc\r\n0\r\n\r\nrest"), 0) == (b"abc", 13)
    assert take_chunked(bytearray(b"3\r\nab"), 0) is None


def test_events_and_comments_are_told_apart() -> None:
    body = b": waiting\n\nevent: a\ndata: {}\n\ndata: [DONE]\n\n"
    assert parse_events(body) == [Event("", "", "waiting"), Event("a", "{}"), Event("", "[DONE]")]
