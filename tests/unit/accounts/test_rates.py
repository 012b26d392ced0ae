"""Token buckets: so many at once, then as many as come back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.accounts.keys import LOCAL, Principal
from hostler.accounts.rates import Buckets, Pace, Rates, place_of, spend
from hostler.errors import TooManyRequests

GUEST = Principal("guest", "inference")


@given(rate=st.integers(1, 10_000), pauses=st.lists(st.floats(0, 30), max_size=60))
def test_no_minute_grants_more_than_a_full_bucket_and_what_came_back(rate: int, pauses: list[float]) -> None:
    full_at, now, granted = 0.0, 1000.0, 0
    for pause in pauses:
        now += pause
        full_at, wait = spend(full_at, now, rate)
        if wait:
            assert spend(full_at, now + wait, rate)[1] == 0
        else:
            granted += 1
    assert granted <= rate + (now - 1000.0) * rate / 60 + 1e-3


@given(rate=st.integers(1, 600), first=st.floats(0, 1e6))
def test_a_minute_of_requests_at_once_and_then_one_each_step(rate: int, first: float) -> None:
    full_at = 0.0
    for _ in range(rate):
        full_at, wait = spend(full_at, first, rate)
        assert wait == 0
    full_at, wait = spend(full_at, first, rate)
    assert wait == pytest.approx(60 / rate, abs=1e-5)
    assert spend(full_at, first + 60 / rate + 1e-5, rate)[1] == 0


def test_many_names_take_no_memory_and_the_busy_ones_stay_known() -> None:
    buckets = Buckets(most=10)
    for number in range(1000):
        assert buckets.take(f"once-{number}", 0.0, 60) == 0
        buckets.take("busy", 0.0, 60)
        assert len(buckets) <= 10
    assert buckets.take("busy", 0.0, 60) > 0


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.168.1.5", "192.168.1.5"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.168.1.5", "192.168.1.5"),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("", ""),
        ("a socket", ""),
    ],
)
def test_whom_an_address_belongs_to(address: str, place: str) -> None:
    assert place_of(address) == place


def test_each_address_and_each_key_has_its_own() -> None:
    pace = Pace(Rates(key=2, address=3))
    for _ in range(3):
        pace.check_address("192.168.1.5", 0.0)
    with pytest.raises(TooManyRequests, match="3 requests a minute") as refused:
        pace.check_address("192.168.1.5", 0.0)
    assert refused.value.retry_after_s == pytest.approx(20)
    pace.check_address("192.168.1.6", 0.0)
    for _ in range(2):
        pace.check_key(GUEST, "192.168.1.5", 0.0)
    with pytest.raises(TooManyRequests, match="'guest'"):
        pace.check_key(GUEST, "192.168.1.7", 0.0)
    pace.check_key(Principal("other", "admin"), "192.168.1.5", 0.0)


def test_this_machine_is_bound_by_a_keys_own_rate_alone() -> None:
    pace = Pace(Rates(key=1, address=1))
    for _ in range(5):
        pace.check_address("127.0.0.1", 0.0)
        pace.check_key(GUEST, "127.0.0.1", 0.0)
        pace.check_key(LOCAL, "127.0.0.1", 0.0)
    slow = Principal("slow", "inference", rate=2)
    for _ in range(2):
        pace.check_key(slow, "127.0.0.1", 0.0)
    with pytest.raises(TooManyRequests):
        pace.check_key(slow, "127.0.0.1", 0.0)
    pace.check_key(slow, "127.0.0.1", 30.1)


def test_other_rates_hold_at_once_and_what_was_spent_stays_spent() -> None:
    pace = Pace(Rates())
    for _ in range(5):
        pace.check_address("192.168.1.5", 0.0)
    pace.configure(Rates(address=2))
    for _ in range(2):
        pace.check_address("192.168.1.5", 0.0)
    pace.configure(Rates(address=2, key=1))
    with pytest.raises(TooManyRequests):
        pace.check_address("192.168.1.5", 0.0)
    pace.configure(Rates())
    pace.check_address("192.168.1.5", 0.0)
