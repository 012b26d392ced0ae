"""One knob for reasoning: what each API calls it, and what an engine hears."""

from __future__ import annotations

import msgspec
import pytest
from asked import ROUTES, Body, asked, profile

from hostler.gateway.asking.reasoning import edit_of
from hostler.models.reasoning import Thinking

SWITCH = Thinking(switch="enable_thinking", bounded=True)
OTHER_SWITCH = Thinking(switch="thinking")
LEVELS = Thinking(levels=("low", "medium", "high"), bounded=True)
BOTH = Thinking(switch="enable_thinking", levels=("high", "max"), bounded=True)
ALWAYS = Thinking(bounded=True)
WORD = Thinking(word="/no_think")
NONE = Thinking()

OFF = {"chat_template_kwargs": {"enable_thinking": False}}
ON = {"chat_template_kwargs": {"enable_thinking": True}}
SYSTEM = [{"role": "system", "content": "/no_think"}, {"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("thinking", "effort", "told", "notes"),
    [
        (SWITCH, "none", OFF, []),
        (SWITCH, "high", ON, []),
        (SWITCH, "low", {**ON, "thinking_budget_tokens": 2048}, []),
        (OTHER_SWITCH, "none", {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}, []),
        (LEVELS, "low", {"chat_template_kwargs": {"reasoning_effort": "low"}}, []),
        (LEVELS, "minimal", {"chat_template_kwargs": {"reasoning_effort": "low"}}, ["reasoning minimal is low here"]),
        (LEVELS, "none", {"chat_template_kwargs": {"reasoning_effort": "low"}}, ["reasoning none is low here"]),
        (BOTH, "none", OFF, []),
        (BOTH, "max", {"chat_template_kwargs": {"enable_thinking": True, "reasoning_effort": "max"}}, []),
        (ALWAYS, "none", {"thinking_budget_tokens": 1}, []),
        (ALWAYS, "medium", {}, []),
        (WORD, "none", {"messages": SYSTEM}, []),
        (WORD, "high", {}, []),
        (SWITCH, "plenty", {}, []),
    ],
)
@pytest.mark.parametrize("api", ["chat", "apply_template"])
def test_an_effort_in_the_words_of_the_template(
    api: str, thinking: Thinking, effort: str, told: dict[str, dict[str, str]], notes: list[str]
) -> None:
    got = asked(edit_of, profile(thinking=thinking), api, reasoning_effort=effort)
    level = told.get("chat_template_kwargs", {}).get("reasoning_effort", effort)
    assert got == ({"reasoning_effort": level, **told}, notes)


@pytest.mark.parametrize(
    ("api", "said", "told"),
    [
        ("chat", {"reasoning": {"effort": "none"}}, OFF),
        ("chat", {"thinking": {"type": "disabled"}}, OFF),
        ("chat", {"thinking": {"type": "enabled", "budget_tokens": 99}}, {**ON, "thinking_budget_tokens": 99}),
        ("chat", {"reasoning_effort": None}, {}),
        ("responses", {"reasoning": {"effort": "none"}}, OFF),
        ("responses", {"reasoning": {"summary": "auto"}}, {}),
        ("chat", {"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": True, "x": 1}}, None),
    ],
)
def test_every_name_of_the_knob(api: str, said: Body, told: Body | None) -> None:
    got, _ = asked(edit_of, profile(thinking=SWITCH), api, **said)
    if told is None:  # the template's own arguments are more exact than the knob
        assert got["chat_template_kwargs"] == {"enable_thinking": True, "x": 1}
    else:
        assert got == {**said, **told}


def bounded(tokens: int) -> Body:
    return {"thinking": {"type": "enabled", "budget_tokens": tokens}}


def level(effort: str) -> Body:
    return {"chat_template_kwargs": {"reasoning_effort": effort}}


DISABLED: Body = {"thinking": {"type": "disabled"}}
ADAPTIVE: Body = {"thinking": {"type": "adaptive"}}


@pytest.mark.parametrize(
    ("thinking", "said", "told"),
    [
        (SWITCH, DISABLED, {**OFF, **bounded(1)}),
        (SWITCH, ADAPTIVE, {}),
        (SWITCH, {**ADAPTIVE, "output_config": {"effort": "low"}}, {**ON, **bounded(2048)}),
        (SWITCH, bounded(4000), {**ON, **bounded(4000)}),
        (ALWAYS, DISABLED, bounded(1)),
        (LEVELS, {**ADAPTIVE, "output_config": {"effort": "max"}}, level("high")),
        (LEVELS, bounded(1024), level("low")),
        (LEVELS, bounded(9999), level("medium")),
        (WORD, {**DISABLED, "system": "Be brief."}, {"system": "Be brief.\n\n/no_think"}),
        (WORD, DISABLED, {"system": "/no_think"}),
    ],
)
@pytest.mark.parametrize("api", ["messages", "count_tokens"])
def test_messages_are_told_by_arguments_and_a_budget(api: str, thinking: Thinking, said: Body, told: Body) -> None:
    got, _ = asked(edit_of, profile(thinking=thinking), api, **said)
    assert got == {**said, **told}


@pytest.mark.parametrize(
    ("api", "said", "left"),
    [
        ("chat", {"reasoning_effort": "high"}, {}),
        ("chat", {"reasoning": {"effort": "low"}, "thinking": bounded(99)["thinking"]}, {}),
        ("apply_template", {"reasoning_effort": "high"}, {}),
        ("responses", {"reasoning": {"effort": "high", "summary": "auto"}}, {}),
        ("messages", {**ADAPTIVE, "output_config": {"effort": "max", "x": 1}}, {"output_config": {"x": 1}}),
        ("count_tokens", bounded(4000), {}),
    ],
)
def test_a_model_that_does_not_reason_hears_nothing_of_it(api: str, said: Body, left: Body) -> None:
    got = asked(edit_of, profile(thinking=NONE), api, **said)
    assert got == (left, ["reasoning left out: the model has none"])


@pytest.mark.parametrize("said", [{"reasoning_effort": "none"}, ADAPTIVE, DISABLED, {"reasoning": {"summary": "auto"}}])
def test_where_that_is_what_was_asked_for_nobody_is_told(said: Body) -> None:
    assert asked(edit_of, profile(thinking=NONE), "chat", **said) == ({}, [])


def test_a_system_prompt_in_parts_gets_one_more() -> None:
    parts = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    got, _ = asked(edit_of, profile(thinking=WORD), "messages", system=parts, **DISABLED)
    assert got["system"] == [*parts, {"type": "text", "text": "\n\n/no_think"}]


def test_a_word_goes_where_the_system_speaks() -> None:
    served = profile(thinking=WORD)
    talk = [{"role": "developer", "content": [{"type": "text", "text": "Be brief."}]}, {"role": "user", "content": "x"}]
    got, _ = asked(edit_of, served, "chat", messages=talk, reasoning_effort="none")
    added = {"type": "text", "text": "\n\n/no_think"}
    assert msgspec.json.decode(msgspec.json.encode(got["messages"])) == [
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}, added]},
        talk[1],
    ]
    got, _ = asked(edit_of, served, "responses", instructions="Be brief.", reasoning={"effort": "none"})
    assert got["instructions"] == "Be brief.\n\n/no_think"


def test_the_profile_says_what_the_client_does_not() -> None:
    served = profile(thinking=SWITCH, reasoning="none")
    assert asked(edit_of, served, "chat") == (OFF, [])
    assert asked(edit_of, served, "messages") == ({**OFF, **bounded(1)}, [])
    assert asked(edit_of, served, "chat", reasoning_effort="high") == ({"reasoning_effort": "high", **ON}, [])


def test_engines_that_read_the_clients_own_words_get_them() -> None:
    remote = profile(reasoning="low", speaks="openai")
    assert asked(edit_of, remote, "chat") == ({"reasoning_effort": "low"}, [])
    assert asked(edit_of, remote, "chat", reasoning_effort="high") == ({"reasoning_effort": "high"}, [])
    assert asked(edit_of, remote, "responses") == ({"reasoning": {"effort": "low"}}, [])
    assert edit_of(profile(speaks="openai"), ROUTES["chat"]) is None
    assert edit_of(profile(thinking=SWITCH), ROUTES["embeddings"]) is None
