"""A profile's sampling defaults, in the words of each API."""

from __future__ import annotations

import pytest
from asked import ROUTES, asked, profile

from hostler.config.sampling import SamplingSettings
from hostler.gateway.asking.sampling import edit_of

SET = profile(sampling=SamplingSettings(temperature=0.2, top_k=7, min_p=0.1, max_tokens=60, seed=3))


@pytest.mark.parametrize(
    ("api", "added"),
    [
        ("chat", {"temperature": 0.2, "top_k": 7, "min_p": 0.1, "max_tokens": 60, "seed": 3}),
        ("completions", {"temperature": 0.2, "top_k": 7, "min_p": 0.1, "max_tokens": 60, "seed": 3}),
        ("completion", {"temperature": 0.2, "top_k": 7, "min_p": 0.1, "max_tokens": 60, "seed": 3}),
        ("infill", {"temperature": 0.2, "top_k": 7, "min_p": 0.1, "max_tokens": 60, "seed": 3}),
        ("responses", {"temperature": 0.2, "top_k": 7, "min_p": 0.1, "max_output_tokens": 60, "seed": 3}),
        ("messages", {"temperature": 0.2, "top_k": 7}),
        ("count_tokens", {}),
        ("embeddings", {}),
    ],
)
def test_what_is_left_out_is_added_in_the_words_of_the_api(api: str, added: dict[str, object]) -> None:
    assert asked(edit_of, SET, api) == (added, [])


@pytest.mark.parametrize(
    ("api", "said"),
    [
        ("chat", {"temperature": 0, "max_completion_tokens": 5}),
        ("infill", {"temperature": 1.5, "n_predict": 5}),
        ("completion", {"temperature": 1.5, "n_predict": 5}),
        ("responses", {"temperature": 0.9, "max_output_tokens": 5}),
    ],
)
def test_what_a_client_says_stays(api: str, said: dict[str, object]) -> None:
    got, _ = asked(edit_of, SET, api, **said)
    assert got == {"top_k": 7, "min_p": 0.1, "seed": 3, **said}


@pytest.mark.parametrize("api", sorted(ROUTES))
def test_a_profile_without_defaults_costs_nothing(api: str) -> None:
    assert edit_of(profile(), ROUTES[api]) is None
