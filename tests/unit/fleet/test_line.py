"""Whose turn it is: keys take turns, interactive goes before batch, and nobody waits for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.line import in_order, joining, most_pressing
from hostler.fleet.scheduling.rules import Rules

RULES = Rules(queue=1000, starvation_s=30.0, load_tries=3, backoff_s=2.0)


class Queue:
    """A line for one profile, served one at a time."""

    def __init__(self) -> None:
        self.state, self.now, self.tickets = m.State(), 0.0, 0

    def join(self, key: str, *, batch: bool = False, profile: str = "a") -> int:
        self.tickets += 1
        self.now += 0.01
        asked = m.Waiter(ticket=self.tickets, profile=profile, since=self.now, principal=key, batch=batch)
        waiter, state = joining(self.state, asked)
        self.state = replace(state, waiting=(*state.waiting, waiter))
        return self.tickets

    def order(self) -> list[int]:
        return [w.ticket for w in in_order(self.state, RULES, self.now)]

    def serve(self) -> m.Waiter:
        first = in_order(self.state, RULES, self.now)[0]
        self.state = replace(self.state, waiting=tuple(w for w in self.state.waiting if w != first))
        return first


def test_a_key_with_many_waiters_lets_others_in_between() -> None:
    queue = Queue()
    many = [queue.join("anna") for _ in range(10)]
    one = queue.join("ben")
    two = queue.join("ben")
    assert queue.order()[:4] == [many[0], one, many[1], two]


def test_one_key_alone_is_served_as_it_came() -> None:
    queue = Queue()
    assert [queue.join("anna") for _ in range(5)] == queue.order()


def test_keys_that_come_back_at_once_do_not_pass_one_that_waits() -> None:
    """Two clients that ask again as soon as they were served kept the second request of a third waiting for ever."""
    queue = Queue()
    patient = {queue.join("anna") for _ in range(3)}
    queue.join("ben")
    queue.join("carl")
    for _ in range(9):
        served = queue.serve()
        patient.discard(served.ticket)
        if served.principal != "anna":
            queue.join(served.principal)
    assert not patient


def test_batch_lets_others_go_first_until_its_bound() -> None:
    queue = Queue()
    batch = queue.join("anna", batch=True)
    first = queue.join("anna")
    assert queue.order() == [first, batch]
    queue.now += 31.0
    late = queue.join("ben")
    assert queue.order()[0] == batch
    assert queue.order()[-1] == late


def test_batch_is_not_loaded_before_what_somebody_looks_at() -> None:
    queue = Queue()
    queue.join("anna", batch=True, profile="b")
    queue.join("anna", profile="c")
    assert [w.profile for w in most_pressing(queue.state, RULES, queue.now)] == ["c", "b"]
    assert [w.profile for w in most_pressing(queue.state, RULES, queue.now + 40.0)] == ["b", "c"]


@given(st.lists(st.sampled_from(["join anna", "join ben", "join carl", "serve"]), max_size=60))
def test_nobody_is_passed_more_often_than_by_one_round_of_the_others(steps: list[str]) -> None:
    """Between two requests of a key at most as many of another are served as it has turns before them."""
    queue, passed = Queue(), {0: 0}
    for step in steps:
        if step == "serve":
            if queue.state.waiting:
                served = queue.serve()
                for waiter in queue.state.waiting:
                    if waiter.since < served.since:
                        passed[waiter.ticket] = passed.get(waiter.ticket, 0) + 1
                        assert served.turn <= waiter.turn
        else:
            queue.join(step.removeprefix("join "))
    keys = 3
    turns = max((w.turn for w in queue.state.waiting), default=0) + len(steps)
    assert max(passed.values()) <= keys * turns
