"""Edits meet whatever clients send: no value makes one fail, and what it is not about stays."""

from __future__ import annotations

import msgspec
import pytest
from asked import ROUTES, profile
from hypothesis import given
from hypothesis import strategies as st

from hostler.config.sampling import RequestSettings, SamplingSettings
from hostler.gateway.asking import ownership, reasoning, rewrites, sampling
from hostler.gateway.asking.fields import Fields
from hostler.gateway.asking.peek import Peek
from hostler.models.reasoning import Thinking

KNOBS = {
    "reasoning_effort", "reasoning", "thinking", "output_config", "chat_template_kwargs", "thinking_budget_tokens",
    "id_slot", "lora", "n_ctx", "num_ctx", "num_gpu", "use_mmap", "messages", "system", "instructions", "temperature",
    "top_k", "max_tokens", "max_output_tokens", "user", "a",
}  # fmt: skip
WORDS = st.sampled_from(["none", "low", "max", "enabled", "disabled", "adaptive", "system", "x", ""])
INNER = st.sampled_from(["effort", "type", "budget_tokens", "role", "content", "b", "enable_thinking"])
LEAVES = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, width=16) | WORDS
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(INNER, inner, max_size=3), max_leaves=6
)
BODIES = st.dictionaries(st.sampled_from([*sorted(KNOBS), "other", "more"]), VALUES, max_size=6)
STYLES = (
    Thinking(switch="thinking", bounded=True),
    Thinking(levels=("low", "high")),
    Thinking(word="/no_think"),
    Thinking(bounded=True),
    Thinking(),
)


@pytest.mark.parametrize("api", ["chat", "messages", "responses", "completions"])
@given(BODIES, st.sampled_from(STYLES), st.sampled_from([None, "none", "high"]))
def test_no_value_makes_an_edit_fail(api: str, body: dict[str, object], thinking: Thinking, effort: None) -> None:
    served = profile(
        thinking=thinking,
        reasoning=effort,
        sampling=SamplingSettings(temperature=0.5, max_tokens=7),
        request=RequestSettings(strip=("user", "a.b"), set={"top_k": 1, "chat_template_kwargs.b": 2}),
    )
    fields = Fields(msgspec.json.encode(body), Peek())
    for maker in (ownership.edit_of, rewrites.edit_of, reasoning.edit_of, sampling.edit_of):
        edit = maker(served, ROUTES[api])
        if edit is not None:
            edit(fields)
    got = msgspec.json.decode(fields.bytes(), type=dict[str, object])
    sent = msgspec.json.decode(msgspec.json.encode(body), type=dict[str, object])
    assert {name: value for name, value in got.items() if name not in KNOBS} == {
        name: value for name, value in sent.items() if name not in KNOBS
    }
    assert all(note.isascii() and "," not in note for note in fields.notes)
