"""Fields that are the profile's to say, or the gateway's."""

from __future__ import annotations

import pytest
from asked import ROUTES, asked, profile

from hostler.config.sampling import RequestSettings
from hostler.gateway.asking import ownership, rewrites
from hostler.models.reasoning import Thinking

RULES = profile(
    request=RequestSettings(
        strip=("user", "metadata.user_id", "a.b.c", "tool_choice"),
        set={"temperature": 0.3, "chat_template_kwargs.custom": True, "x.y": [1], "tool_choice": "auto"},
    )
)


@pytest.mark.parametrize("api", ["chat", "completions", "completion", "infill", "apply_template"])
def test_what_the_profile_sets_is_there(api: str) -> None:
    got, notes = asked(rewrites.edit_of, RULES, api)
    wanted = {"temperature": 0.3, "chat_template_kwargs": {"custom": True}, "x": {"y": [1]}, "tool_choice": "auto"}
    assert (got, notes) == (wanted, [])


def test_a_client_that_says_otherwise_is_told() -> None:
    got, notes = asked(
        rewrites.edit_of,
        RULES,
        "chat",
        temperature=1.5,
        user="u",
        metadata={"user_id": "m", "kept": 1},
        a={"b": 3},
        chat_template_kwargs={"custom": False, "kept": 2},
        x=None,
        tool_choice="required",
    )
    assert got == {
        "temperature": 0.3,
        "metadata": {"kept": 1},
        "a": {"b": 3},
        "chat_template_kwargs": {"custom": True, "kept": 2},
        "x": {"y": [1]},
        "tool_choice": "auto",
    }
    assert notes == [
        "user left out",
        "metadata.user_id left out",
        "tool_choice left out",
        "temperature set",
        "chat_template_kwargs.custom set",
        "x.y set",
    ]


def test_profiles_without_rules_and_other_requests_cost_nothing() -> None:
    assert rewrites.edit_of(profile(), ROUTES["chat"]) is None
    assert rewrites.edit_of(RULES, ROUTES["embeddings"]) is None
    assert rewrites.edit_of(RULES, ROUTES["tokenize"]) is None


@pytest.mark.parametrize("api", ["chat", "completions", "completion", "infill", "responses", "messages", "embeddings"])
def test_slots_and_adapters_are_not_a_clients_to_name(api: str) -> None:
    """A slot holds other people's words: `id_slot` reached the engine of a profile with one slot as it was sent."""
    ours = profile(thinking=Thinking())
    got, notes = asked(ownership.edit_of, ours, api, id_slot=0, lora=[{"id": 0, "scale": 2}], cache_prompt=True)
    assert (got, notes) == ({"cache_prompt": True}, ["id_slot left out", "lora left out"])
    assert asked(ownership.edit_of, ours, api, num_ctx=131072) == ({}, ["num_ctx=4096"])
    loading = {"n_gpu_layers": 99, "main_gpu": 1, "n_threads": 64, "num_batch": 8, "use_mmap": False}
    assert asked(ownership.edit_of, ours, api, **loading) == ({}, [f"{name} left out" for name in loading])
    assert ownership.edit_of(profile(speaks="openai"), ROUTES[api]) is None
