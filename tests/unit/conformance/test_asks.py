"""What a storm asks depends on its seed alone."""

from __future__ import annotations

from collections import Counter

import pytest

from hostler.conformance.asks import Ask, Subject, Weather, body, drawn

WEATHER = Weather(subjects=(Subject("a"), Subject("b", "completions")), seed=7, requests=2000, cancels=0.2, tokens=8)


def asks(weather: Weather = WEATHER) -> list[Ask]:
    return [drawn(weather, number) for number in range(weather.requests)]


def test_the_same_seed_draws_the_same_requests() -> None:
    assert asks() == asks()
    assert len({ask.id for ask in asks()}) == WEATHER.requests


def test_every_kind_is_drawn() -> None:
    drawn_ = asks()
    phases = Counter(ask.leaving.phase for ask in drawn_ if ask.leaving is not None)
    assert set(phases) == {"sending", "waiting", "answering", "operator"}
    assert sum(phases.values()) == pytest.approx(0.2 * WEATHER.requests, rel=0.15)
    assert {ask.subject.name for ask in drawn_} == {"a", "b"}
    assert {ask.tokens for ask in drawn_} == set(range(1, 9))
    assert {ask.stream for ask in drawn_} == {True, False}


def test_without_an_operator_clients_leave_instead() -> None:
    import msgspec

    phases = {ask.leaving.phase for ask in asks(msgspec.structs.replace(WEATHER, operator=False)) if ask.leaving}
    assert phases == {"sending", "waiting", "answering"}


def test_what_is_sent() -> None:
    chat = next(ask for ask in asks() if ask.subject.api == "chat" and ask.stream)
    sent = body(chat, exact=True)
    assert (sent["model"], sent["max_tokens"], sent["ignore_eos"]) == ("a", chat.tokens, True)
    assert chat.id in str(sent["messages"])
    plain = next(ask for ask in asks() if ask.subject.api == "completions" and not ask.stream)
    assert set(body(plain, exact=False)) == {"model", "max_tokens", "temperature", "prompt"}
