"""Which instances leave: enough on the right devices, at least cost, and none too many."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hostler.fleet.scheduling.eviction import Candidate, choose, cost

sizes = st.dictionaries(st.sampled_from(["host", "gpu0", "gpu1"]), st.integers(0, 50), max_size=3)
candidates = st.lists(st.tuples(sizes, st.floats(0, 1e5), st.floats(0, 100)), max_size=14).map(
    lambda rows: [Candidate(str(n), *row) for n, row in enumerate(rows)]
)


def fits(need: dict[str, int], free: dict[str, int], chosen: list[Candidate]) -> bool:
    return all(
        free.get(device, 0) + sum(c.bytes.get(device, 0) for c in chosen) >= size for device, size in need.items()
    )


@given(sizes, sizes, candidates)
def test_the_choice_frees_enough_and_nothing_in_it_is_spare(
    need: dict[str, int], free: dict[str, int], offered: list[Candidate]
) -> None:
    need = {device: size for device, size in need.items() if size}
    ids = choose(need, free, offered)
    if ids is None:
        assert not fits(need, free, offered)
        return
    chosen = [c for c in offered if c.id in ids]
    assert fits(need, free, chosen)
    assert not any(fits(need, free, [c for c in chosen if c is not spare]) for spare in chosen)


@given(candidates)
def test_what_fits_evicts_nobody(offered: list[Candidate]) -> None:
    assert choose({"host": 5}, {"host": 5}, offered) == ()


def test_the_right_device_counts() -> None:
    on_host = Candidate("host", {"host": 100}, idle_s=1e6, load_s=0.1)
    on_gpu = Candidate("gpu", {"gpu0": 10}, idle_s=1.0, load_s=60.0)
    assert choose({"gpu0": 10}, {"gpu0": 0}, [on_host, on_gpu]) == ("gpu",)


def test_long_idle_and_quick_to_load_leaves_first() -> None:
    hot = Candidate("hot", {"host": 10}, idle_s=1, load_s=10)
    cold = Candidate("cold", {"host": 10}, idle_s=3600, load_s=10)
    quick = Candidate("quick", {"host": 10}, idle_s=1, load_s=0.2)
    assert choose({"host": 10}, {}, [hot, cold]) == ("cold",)
    assert choose({"host": 10}, {}, [hot, quick]) == ("quick",)
    assert cost(cold) < cost(quick) < cost(hot)
