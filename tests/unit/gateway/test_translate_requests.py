"""Chat requests as Anthropic's messages API takes them."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.errors import InvalidRequest
from hostler.gateway.translate.chat_by_messages.request import LONGEST_ANSWER, LONGEST_THOUGHT
from hostler.gateway.translate.chat_by_messages.translation import ChatByMessages

SKY = {"role": "user", "content": "Why is the sky blue?"}


def sent(messages: list[object] | None = None, **fields: object) -> dict:  # type: ignore[type-arg]
    body = json.dumps({"model": "cloud", "messages": [SKY] if messages is None else messages, **fields}).encode()
    return json.loads(ChatByMessages("claude-x", 0).request(body))


def text(said: str) -> dict[str, str]:
    return {"type": "text", "text": said}


def test_the_least_request_has_what_the_api_wants() -> None:
    assert sent() == {
        "model": "claude-x",
        "max_tokens": LONGEST_ANSWER,
        "messages": [{"role": "user", "content": [text("Why is the sky blue?")]}],
    }


def test_what_the_system_says_goes_before_the_conversation() -> None:
    told = sent(
        [{"role": "system", "content": "Be brief."}, SKY, {"role": "developer", "content": [text("In French.")]}]
    )
    assert told["system"] == [text("Be brief."), text("In French.")]
    assert [turn["role"] for turn in told["messages"]] == ["user"]


def test_turns_in_a_row_become_one() -> None:
    told = sent([SKY, {"role": "user", "content": "And the sea?"}, {"role": "assistant", "content": "Both "}])
    assert [turn["role"] for turn in told["messages"]] == ["user", "assistant"]
    assert len(told["messages"][0]["content"]) == 2
    assert told["messages"][1]["content"] == [text("Both")]  # it does not go on from white space


def test_empty_text_is_left_out_because_the_api_refuses_it() -> None:
    told = sent([SKY, {"role": "assistant", "content": ""}, {"role": "user", "content": [text(" \n"), text("Well?")]}])
    assert told["messages"] == [{"role": "user", "content": [text("Why is the sky blue?"), text("Well?")]}]


CALL = {"id": "call:1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sky", "n": 1.0}'}}


def test_calls_and_their_results() -> None:
    told = sent(
        [
            SKY,
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call:1", "content": "It is blue."},
            {"role": "user", "content": "So?"},
        ]
    )
    asked, result = told["messages"][1:]
    assert asked["content"] == [{"type": "tool_use", "id": "call_1", "name": "look", "input": {"at": "sky", "n": 1.0}}]
    assert result["role"] == "user"
    assert result["content"][0] == {"type": "tool_result", "tool_use_id": "call_1", "content": [text("It is blue.")]}
    assert result["content"][1] == text("So?")


@pytest.mark.parametrize(
    ("arguments", "becomes"),
    [("", {}), (None, {}), ("{}", {}), ("{broken", {"arguments": "{broken"}), ("[1]", {"arguments": "[1]"})],
)
def test_wrong_arguments_of_an_earlier_turn_do_not_end_the_conversation(arguments: object, becomes: object) -> None:
    call = {"id": "a", "function": {"name": "f", "arguments": arguments}}
    told = sent([SKY, {"role": "assistant", "tool_calls": [call]}])
    assert told["messages"][1]["content"][0]["input"] == becomes


def test_images_and_files() -> None:
    parts = [
        text("What is this?"),
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "https://pictures.example/a.jpg"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"}},
    ]
    inline, link, file = sent([{"role": "user", "content": parts}])["messages"][0]["content"][1:]
    assert inline == {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    assert link == {"type": "image", "source": {"type": "url", "url": "https://pictures.example/a.jpg"}}
    assert file["source"]["media_type"] == "application/pdf"
    assert file["title"] == "a.pdf"


TOOL = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}


def test_tools() -> None:
    told = sent(
        tools=[TOOL, {"type": "function", "function": {"name": "go", "parameters": {}}}, {"type": "web_search"}]
    )
    assert told["tools"] == [
        {"name": "look", "description": "Looks.", "input_schema": {"type": "object"}},
        {"name": "go", "input_schema": {"type": "object", "properties": {}}},
    ]


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "look"}}},
            {"type": "tool", "name": "look"},
        ),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        (
            {"tool_choice": "required", "parallel_tool_calls": False},
            {"type": "any", "disable_parallel_tool_use": True},
        ),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
    ],
)
def test_tool_choice(fields: dict[str, object], choice: object) -> None:
    assert sent(tools=[TOOL], **fields).get("tool_choice") == choice
    assert "tool_choice" not in sent(**fields)  # without tools it is refused


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 6, "max_tokens": 5}, {"max_tokens": 6}),
        ({"temperature": 1.7}, {"temperature": 1.0}),
        ({"temperature": 0}, {"temperature": 0.0}),
        ({"top_p": 0.5}, {"top_p": 0.5}),
        ({"top_k": 40}, {"top_k": 40}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}),
        ({"stream": True}, {"stream": True}),
        ({"user": "u1"}, {"metadata": {"user_id": "u1"}}),
        ({"n": 1, "seed": 3, "logit_bias": {}}, {}),
    ],
)
def test_settings(fields: dict[str, object], told: dict[str, object]) -> None:
    assert sent(**fields) == {**sent(), **told}


def test_one_of_temperature_and_top_p_is_sent() -> None:
    assert "top_p" not in sent(temperature=0.2, top_p=0.5)


@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high", "xhigh"])
def test_effort_becomes_thinking(effort: str) -> None:
    told = sent(reasoning_effort=effort, temperature=0.2, top_k=3)
    assert told["thinking"]["type"] == "adaptive"
    assert told["output_config"]["effort"] == ("low" if effort == "minimal" else effort)
    assert not {"temperature", "top_k", "top_p"} & set(told)  # refused beside thinking


def test_no_effort_is_no_thinking() -> None:
    assert sent(reasoning_effort="none", temperature=0.2) == {**sent(), "temperature": 0.2}


def test_a_forced_call_leaves_no_room_for_thinking() -> None:
    assert "thinking" not in sent(reasoning_effort="high", tools=[TOOL], tool_choice="required")


def test_thinking_in_the_other_apis_own_words_is_handed_on() -> None:
    own = {"type": "enabled", "budget_tokens": 2048}
    assert sent(thinking=own)["thinking"] == own


@pytest.mark.parametrize(
    ("fields", "most"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, LONGEST_ANSWER + 2048),
        ({"thinking": {"type": "disabled"}}, LONGEST_ANSWER),
        ({"thinking": "much"}, LONGEST_ANSWER),
        ({"reasoning_effort": "high"}, LONGEST_ANSWER + LONGEST_THOUGHT),
        ({"reasoning_effort": "high", "max_tokens": 5}, 5),
    ],
)
def test_thoughts_count_in_the_bound_on_an_answer(fields: dict[str, object], most: int) -> None:
    assert sent(**fields)["max_tokens"] == most


def test_formats() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    told = sent(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    assert told["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    assert "JSON" in sent(response_format={"type": "json_object"})["system"][0]["text"]
    assert sent(response_format={"type": "text"}) == sent()


def test_marks_for_the_cache_are_handed_on() -> None:
    mark = {"type": "ephemeral"}
    told = sent([{"role": "user", "content": [{**text("Long."), "cache_control": mark}]}], cache_control=mark)
    assert told["messages"][0]["content"][0]["cache_control"] == mark
    assert told["cache_control"] == mark


@pytest.mark.parametrize(
    ("messages", "fields", "said"),
    [
        (None, {"n": 2}, "one answer"),
        (None, {"max_tokens": "many"}, "max_tokens"),
        ([{"role": "oracle", "content": "x"}], {}, "oracle"),
        ([{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}], {}, "input_audio"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "file:///a"}]}], {}, "address"),
        ([{"role": "user", "content": [{"type": "file", "file": {"file_data": "AAAA"}}]}], {}, "data of a file"),
    ],
)
def test_what_cannot_be_said_is_refused(messages: list[object] | None, fields: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        sent(messages, **fields)


ROLES = st.sampled_from(["system", "user", "assistant", "tool"])
CONTENT = st.one_of(st.none(), st.text(max_size=8), st.lists(st.builds(text, st.text(max_size=8)), max_size=3))
MESSAGES = st.fixed_dictionaries({"role": ROLES, "content": CONTENT, "tool_call_id": st.text(max_size=8)})


@given(st.lists(MESSAGES, max_size=8))
def test_any_conversation_becomes_turns_that_alternate_and_say_something(messages: list[object]) -> None:
    told = sent(messages)
    roles = [turn["role"] for turn in told["messages"]]
    assert all(one != other for one, other in pairwise(roles))
    assert all(turn["content"] for turn in told["messages"])
    texts = [block["text"] for turn in told["messages"] for block in turn["content"] if block["type"] == "text"]
    assert all(text.strip() for text in texts)
    said = [part for message in messages for part in pieces(message["content"])]  # type: ignore[index]
    results = [
        block["text"]
        for turn in told["messages"]
        for part in turn["content"]
        if part["type"] == "tool_result"
        for block in part.get("content", [])
    ]
    kept = "".join([*texts, *results, *(block["text"] for block in told.get("system", []))])
    assert len(kept) <= sum(map(len, said))


def pieces(content: object) -> list[str]:
    if isinstance(content, list):
        return [part["text"] for part in content]
    return [content] if isinstance(content, str) else []
