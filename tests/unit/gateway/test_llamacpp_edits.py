"""Requests as llama.cpp understands them, and without lines that change each time."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.config.settings import SamplingSettings
from hostler.errors import InvalidRequest
from hostler.fleet.protocol import Served
from hostler.gateway.asking import volatile
from hostler.gateway.asking.checks.reading import read
from hostler.gateway.asking.fields import Fields
from hostler.gateway.asking.llamacpp import formats, tools, turns
from hostler.gateway.asking.prepared import Asking, Maker, Preparing
from hostler.gateway.routes import INFERENCE
from hostler.models.turns import alternates

TINY = Served(name="tiny", task="chat", embeddings=False, sampling=SamplingSettings(), context=4096)
ROUTES = {route.api: route for route in INFERENCE.values() if route.family != "ollama"}
USER = {"role": "user", "content": "Hello"}
BILLING = "x-anthropic-billing-header: cc_version=2.1.197.e51; cc_entrypoint=cli; cch=a5145;"


def edited(maker: Maker, api: str, body: dict[str, object], served: Served = TINY) -> dict[str, object]:
    raw = json.dumps(body).encode()
    fields = Fields(raw, read(api, raw))
    edit = maker(served, ROUTES[api])
    if edit is not None:
        edit(fields)
    told = fields.bytes()
    if json.loads(told) == body:
        assert told is raw  # what needs no edit is the very same object
    found: dict[str, object] = json.loads(told)
    return found


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (BILLING, ""),
        (BILLING + "\n\nYou are an agent.", "You are an agent."),
        (BILLING + "You are an agent.", "You are an agent."),
        (BILLING + "\nx-agent-session-header: id=5f\nYou", "You"),
        ("You are x-anthropic-billing-header: a=b;", "You are x-anthropic-billing-header: a=b;"),
        ("x-ray: a picture of bones", "x-ray: a picture of bones"),
        ("", ""),
    ],
)
def test_only_headers_at_the_head_are_volatile(text: str, left: str) -> None:
    assert volatile.steady(text) == left


@given(st.text(max_size=60))
def test_a_text_only_loses_what_it_begins_with(text: str) -> None:
    assert text.endswith(volatile.steady(text))
    assert volatile.steady("You " + text) == "You " + text


@pytest.mark.parametrize(
    ("api", "body", "left"),
    [
        ("messages", {"system": BILLING + "Be"}, {"system": "Be"}),
        (
            "messages",
            {"system": [{"type": "text", "text": BILLING}, {"type": "text", "text": "Be", "cache_control": {}}]},
            {"system": [{"type": "text", "text": "Be", "cache_control": {}}]},
        ),
        ("messages", {"system": [{"type": "text", "text": BILLING}]}, {"system": [{"type": "text", "text": ""}]}),
        ("messages", {"system": "Be"}, {"system": "Be"}),
        (
            "chat",
            {"messages": [{"role": "system", "content": BILLING + "\nBe"}, USER]},
            {"messages": [{"role": "system", "content": "Be"}, USER]},
        ),
        (
            "chat",
            {"messages": [{"role": "system", "content": [{"type": "text", "text": BILLING + "Be"}]}]},
            {"messages": [{"role": "system", "content": [{"type": "text", "text": "Be"}]}]},
        ),
        ("chat", {"messages": [USER, {"role": "system", "content": BILLING}]}, None),
        ("chat", {"messages": [{"role": "user", "content": BILLING}]}, None),
        ("responses", {"input": "x", "instructions": BILLING + "Be"}, {"input": "x", "instructions": "Be"}),
        (
            "responses",
            {"input": [{"role": "developer", "content": [{"type": "input_text", "text": BILLING + "Be"}]}]},
            {"input": [{"role": "developer", "content": [{"type": "input_text", "text": "Be"}]}]},
        ),
    ],
)
def test_volatile_lines_leave(api: str, body: dict[str, object], left: dict[str, object] | None) -> None:
    more = {"messages": [USER]} if api == "messages" else {}
    assert edited(volatile.edit_of, api, body | more) == (left or body) | more
    kept = msgspec.structs.replace(TINY, steady=False)
    assert edited(volatile.edit_of, api, body | more, kept) == body | more


def test_the_system_in_the_middle_speaks_in_the_users_turn() -> None:
    said = edited(
        turns.edit_of,
        "messages",
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Do", "cache_control": {"type": "ephemeral"}}]},
                {"role": "system", "content": "Mind"},
                {"role": "assistant", "content": "Done"},
                USER,
            ]
        },
    )
    assert said["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Do", "cache_control": {"type": "ephemeral"}},
                {"type": "text", "text": "Mind"},
            ],
        },
        {"role": "assistant", "content": "Done"},
        USER,
    ]


def test_developers_of_a_response_are_one_system_turn() -> None:
    def item(role: str, text: str) -> dict[str, object]:
        return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}

    said = edited(
        turns.edit_of,
        "responses",
        {
            "instructions": "Zero",
            "input": [
                item("developer", "One"),
                item("developer", "Two"),
                item("user", "Three"),
                {"role": "user", "content": "Four"},
                {"type": "function_call", "name": "f", "call_id": "c", "arguments": "{}"},
                item("developer", "Five"),
            ],
        },
    )
    told = said["input"]
    assert isinstance(told, list)
    assert "instructions" not in said
    texts = [(one.get("role"), [part["text"] for part in one.get("content", [])]) for one in told]
    assert texts == [("system", ["Zero", "One", "Two"]), ("user", ["Three", "Four"]), (None, []), ("user", ["Five"])]


def test_a_template_that_alternates_gets_one_turn_of_each_side() -> None:
    strict = msgspec.structs.replace(TINY, alternates=True)
    said = [USER, USER, {"role": "system", "content": "Mind"}, {"role": "assistant", "content": "Done"}, USER]
    hello, mind = {"type": "text", "text": "Hello"}, {"type": "text", "text": "Mind"}
    told = [{"role": "user", "content": [hello, hello, mind]}, {"role": "assistant", "content": "Done"}, USER]
    for api in ("chat", "messages"):
        assert edited(turns.edit_of, api, {"messages": said}, strict) == {"messages": told}
        plain: dict[str, object] = {"messages": [*told[1:], {"role": "assistant", "content": "x"}]}
        assert edited(turns.edit_of, api, plain, strict) == plain
    assert edited(turns.edit_of, "chat", {"messages": said}) == {"messages": said}


@pytest.mark.parametrize(
    ("template", "strict"),
    [
        (None, False),
        ("{{ raise_exception('Only user and assistant') }}", False),
        ("{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}", True),
    ],
)
def test_templates_that_alternate_say_so(template: str | None, strict: bool) -> None:
    assert alternates(template) is strict


@pytest.mark.parametrize(
    ("api", "body"),
    [
        ("messages", {"messages": [USER, {"role": "assistant", "content": "x"}], "system": "Be"}),
        ("responses", {"input": "x", "instructions": "Be"}),
        ("responses", {"input": [{"role": "system", "content": "x"}, USER]}),
        ("chat", {"messages": [USER, {"role": "system", "content": "x"}]}),
    ],
)
def test_turns_that_every_template_has_stay(api: str, body: dict[str, object]) -> None:
    assert edited(turns.edit_of, api, body) == body


def function(name: str) -> dict[str, object]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


def test_other_kinds_of_tools_are_left_out() -> None:
    said = edited(tools.edit_of, "chat", {"messages": [USER], "tools": [{"type": "web_search"}, function("f")]})
    assert said["tools"] == [function("f")]
    said = edited(tools.edit_of, "responses", {"input": "x", "tools": [{"type": "namespace", "tools": []}]})
    assert "tools" not in said
    mine = {"name": "f", "input_schema": {"type": "object"}}
    body = {"messages": [USER], "tools": [mine, {"type": "web_search_20250305", "name": "web_search"}]}
    assert edited(tools.edit_of, "messages", body)["tools"] == [mine]


@pytest.mark.parametrize(
    ("api", "choice"),
    [
        ("chat", {"type": "function", "function": {"name": "g"}}),
        ("responses", {"type": "function", "name": "g"}),
        ("messages", {"type": "tool", "name": "g"}),
    ],
)
def test_a_forced_tool_is_the_only_one(api: str, choice: dict[str, object]) -> None:
    both: list[dict[str, object]] = [function("f"), function("g")]
    if api != "chat":
        both = [{"type": "function" if api == "responses" else "custom", "name": name} for name in "fg"]
    body: dict[str, object] = {"messages": [USER], "input": "x", "tools": both, "tool_choice": choice}
    said = edited(tools.edit_of, api, body)
    assert said["tools"] == [both[1]]
    assert said["tool_choice"] == (choice if api == "messages" else "required")
    with pytest.raises(InvalidRequest) as refusal:
        edited(tools.edit_of, api, body | {"tools": both[:1]})
    assert refusal.value.param is not None
    assert refusal.value.param.startswith("tool_choice")


@pytest.mark.parametrize(
    ("api", "tool"),
    [("chat", {**function("f"), "name": 5}), ("responses", {"type": "function", "name": "f", "function": "f"}),
     ("messages", {"name": "f", "function": 5})],
)  # fmt: skip
def test_a_tool_that_cannot_be_read_is_refused(api: str, tool: dict[str, object]) -> None:
    """A field that its API does not declare, and that only the choice among tools looks at."""
    other = {"type": "web_search", "name": "w"}
    raw = json.dumps({"messages": [USER], "input": "x", "max_tokens": 9, "tools": [tool, other]}).encode()
    route = ROUTES[api]
    with pytest.raises(InvalidRequest, match="it has to be"):
        Preparing().prepared(Asking(route, {}, raw, route.peek(raw, {})), TINY)


@pytest.mark.parametrize(
    ("choice", "told"),
    [("any", "required"), ({"type": "allowed_tools", "mode": "required", "tools": []}, "required"),
     ({"type": "web_search"}, "auto"), ("none", "none")],
)  # fmt: skip
def test_choices_that_llamacpp_does_not_know(choice: object, told: str) -> None:
    body = {"messages": [USER], "tools": [function("f")], "tool_choice": choice}
    assert edited(tools.edit_of, "chat", body)["tool_choice"] == told


def test_no_tool_may_be_chosen_by_a_message() -> None:
    body = {"messages": [USER], "tools": [{"name": "f"}], "tool_choice": {"type": "none"}}
    assert edited(tools.edit_of, "messages", body) == {"messages": [USER]}


def test_the_format_of_a_response_is_asked_for_as_that_of_a_chat() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    wish = {"format": {"type": "json_schema", "name": "n", "schema": schema, "strict": True}, "verbosity": "low"}
    said = edited(formats.edit_of, "responses", {"input": "x", "text": wish})
    assert said["response_format"] == {
        "type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True},
    }  # fmt: skip
    said = edited(formats.edit_of, "responses", {"input": "x", "text": {"format": {"type": "json_object"}}})
    assert said["response_format"] == {"type": "json_object"}
    body: dict[str, object] = {"input": "x", "text": {"format": {"type": "text"}}}
    assert edited(formats.edit_of, "responses", body) == body


def test_nulls_that_llamacpp_breaks_on_leave() -> None:
    body = {"input": "x", "instructions": None, "max_output_tokens": None, "reasoning": None}
    assert edited(formats.edit_of, "responses", body) == {"input": "x"}
    assert edited(formats.edit_of, "responses", {"input": "x", "top_logprobs": 2}) == {"input": "x"}
    assert edited(formats.edit_of, "completions", {"prompt": "x", "suffix": None, "best_of": 1}) == {"prompt": "x"}
    assert edited(formats.edit_of, "embeddings", {"input": "x", "encoding_format": None}) == {"input": "x"}


@pytest.mark.parametrize(("field", "value"), [("suffix", "y"), ("best_of", 2), ("echo", True)])
def test_what_llamacpp_cannot_complete_is_said(field: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        edited(formats.edit_of, "completions", {"prompt": "x", field: value})
    assert refusal.value.param == field


@pytest.mark.parametrize("maker", [turns.edit_of, tools.edit_of, formats.edit_of])
def test_other_engines_are_asked_as_the_client_says(maker: Maker) -> None:
    for served in (msgspec.structs.replace(TINY, speaks="openai"), msgspec.structs.replace(TINY, counts=False)):
        assert all(maker(served, route) is None for route in ROUTES.values())
