"""What Ollama's requests become: bodies of the engine's API, and wishes of the gateway."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.errors import InvalidRequest
from hostler.gateway.translate.ollama.asked import Asking, Kind, Wishes, asked, read, wishes_of
from hostler.gateway.translate.ollama.memory import LONGEST, Turn, packed, unpacked
from hostler.gateway.translate.ollama.template import rendered

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "The sea?"}]}
PIXEL = "iVBORw0KGgoAAAANSUhEUg=="


def asking(kind: Kind, body: object, *, chats: bool = True) -> Asking:
    return asked(read(kind, json.dumps(body).encode()), chats=chats)


def told(kind: Kind, body: object, *, chats: bool = True) -> dict:  # type: ignore[type-arg]
    return json.loads(asking(kind, body, chats=chats).body)


def wishes(kind: Kind, body: object) -> Wishes:
    return wishes_of(read(kind, json.dumps(body).encode()))


def test_a_chat_streams_unless_it_says_otherwise() -> None:
    assert told("chat", CHAT)["stream"] is True
    assert told("chat", CHAT)["stream_options"] == {"include_usage": True}
    assert "stream" not in told("chat", {**CHAT, "stream": False})
    assert wishes("chat", {**CHAT, "stream": None}).stream


def test_options_are_said_in_the_engines_words() -> None:
    options = {
        "temperature": 0.1, "top_k": 20, "top_p": 0.9, "min_p": 0.05, "seed": 7, "stop": ["\n"], "num_predict": 8.0,
        "repeat_penalty": 1.1, "repeat_last_n": 64, "presence_penalty": 0.5, "frequency_penalty": 0.25, "mirostat": 2,
        "mirostat_tau": 5, "mirostat_eta": 0.1, "num_keep": 4, "num_ctx": 2048, "num_gpu": 0, "unheard_of": [1],
    }  # fmt: skip
    said = told("chat", {**CHAT, "options": options})
    kept = ("temperature", "top_k", "top_p", "min_p", "seed", "stop", "repeat_penalty", "repeat_last_n", "mirostat")
    assert {name: said[name] for name in kept} == {name: options[name] for name in kept}
    assert said["max_tokens"] == 8
    assert said["n_keep"] == 4
    assert not said.keys() & {"num_ctx", "num_gpu", "unheard_of", "options"}
    asked_for = wishes("chat", {**CHAT, "options": options})
    assert (asked_for.context, asked_for.loading) == (2048, ("num_gpu",))


@pytest.mark.parametrize("endless", [0, -1, -2])
def test_an_answer_without_an_end_has_no_bound(endless: int) -> None:
    assert "max_tokens" not in told("chat", {**CHAT, "options": {"num_predict": endless, "seed": -1}})
    assert "seed" not in told("chat", {**CHAT, "options": {"seed": -1}})


def test_formats() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert told("chat", {**CHAT, "format": "json"})["response_format"] == {"type": "json_object"}
    assert told("chat", {**CHAT, "format": schema})["response_format"]["json_schema"]["schema"] == schema
    assert "response_format" not in told("chat", {**CHAT, "format": ""})
    raw = told("generate", {"prompt": "a", "raw": True, "format": schema})
    assert raw["json_schema"] == schema
    with pytest.raises(InvalidRequest):
        told("chat", {**CHAT, "format": "xml"})
    with pytest.raises(InvalidRequest):  # shown in part: cut inside of a letter
        asked(read("chat", b'{"messages":[],"format":"' + "ä".encode() * 40 + b'"}'), chats=True)


@pytest.mark.parametrize(("think", "effort"), [(True, "medium"), (False, "none"), ("low", "low"), ("high", "high")])
def test_thinking(think: bool | str, effort: str) -> None:
    assert told("chat", {**CHAT, "think": think})["reasoning_effort"] == effort
    assert wishes("chat", {**CHAT, "think": think}).thinks is (think is not False)


def test_a_conversation_with_tools_and_images() -> None:
    call = {"function": {"name": "depth", "arguments": {"at": [1, 2]}}}
    messages = [
        {"role": "user", "content": "How deep?", "images": [PIXEL]},
        {"role": "assistant", "content": None, "thinking": "Hm.", "tool_calls": [call, call]},
        {"role": "tool", "content": "7", "tool_name": "depth"},
        {"role": "tool", "content": "8", "tool_name": "depth"},
    ]
    user, assistant, first, second = told("chat", {**CHAT, "messages": messages})["messages"]
    assert user["content"][1]["image_url"]["url"] == f"data:image/png;base64,{PIXEL}"
    assert json.loads(assistant["tool_calls"][0]["function"]["arguments"]) == {"at": [1, 2]}
    assert assistant["reasoning_content"] == "Hm."
    assert [first["tool_call_id"], second["tool_call_id"]] == [one["id"] for one in assistant["tool_calls"]]


def test_tools_pass_as_they_are_and_none_is_none() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "x": 1}}}
    assert told("chat", {**CHAT, "tools": [tool]})["tools"] == [tool]
    assert told("chat", {**CHAT, "tools": [{"function": {"name": "f"}}]})["tools"][0]["type"] == "function"
    assert "tools" not in told("chat", {**CHAT, "tools": []})
    with pytest.raises(InvalidRequest):
        told("chat", {**CHAT, "tools": [{"name": "f"}]})


def test_a_prompt_is_a_chat_where_the_model_is_for_chats() -> None:
    body = {"model": "tiny", "prompt": "The sea?", "system": "Be brief.", "images": [PIXEL]}
    asks = asking("generate", body)
    assert asks.target == "chat"
    assert [one["role"] for one in json.loads(asks.body)["messages"]] == ["system", "user"]
    base = asking("generate", {"prompt": "Once"}, chats=False)
    assert (base.target, json.loads(base.body)["prompt"]) == ("completions", "Once")


def test_raw_prompts_templates_and_suffixes() -> None:
    template = "{{- if .System }}<s>{{ .System }}</s>{{ end }} <u>{{ .Prompt }}</u>{{ .Response }}</a>"
    asks = asking("generate", {"prompt": "a", "system": "b", "template": template})
    assert (asks.target, json.loads(asks.body)["prompt"]) == ("completions", "<s>b</s> <u>a</u>")
    assert asking("generate", {"prompt": "a", "raw": True}).target == "completions"
    infill = asking("generate", {"prompt": "def f(", "suffix": "return 1", "options": {"num_predict": 4}})
    assert infill.target == "infill"
    assert (
        json.loads(infill.body).items()
        >= {"input_prefix": "def f(", "input_suffix": "return 1", "n_predict": 4}.items()
    )
    with pytest.raises(InvalidRequest, match="raw mode"):
        asking("generate", {"prompt": "a", "raw": True, "system": "b"})


def test_templates_that_are_not_understood_are_refused() -> None:
    values = {"System": "", "Prompt": "a", "Suffix": ""}
    assert rendered("{{ if .System }}x{{ else }}y{{ end }}{{ .Prompt }}", values) == "ya"
    assert rendered("a {{- .Prompt -}} b", values) == "aab"
    for wrong in ("{{ range .Messages }}{{ end }}", "{{ if .System }}", "{{ .Nothing }}", "{{ if .A }}" * 20):
        with pytest.raises(InvalidRequest):
            rendered(wrong, values)


def test_texts_to_embed() -> None:
    assert told("embed", {"model": "v", "input": ["a", "b"], "dimensions": 8})["dimensions"] == 8
    assert told("embeddings", {"model": "v", "prompt": "a"})["input"] == "a"


def test_an_image_of_blanks_is_seen_through_at_once() -> None:
    """Each blank was looked at again for each blank before it: a MiB of them held the gateway up for an hour."""
    with pytest.raises(InvalidRequest):
        told("chat", {"messages": [{"role": "user", "images": [" " * 2**20 + "!"]}]})
    assert "AAAA" in json.dumps(told("chat", {"messages": [{"role": "user", "images": ["\nAA AA== \n"]}]}))


@pytest.mark.parametrize(
    ("keep_alive", "seconds"),
    [
        (0, 0.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1.5s", 1.5),
        (-1, math.inf),
        ("-1m", math.inf),
        ("300", 300.0),
        ("999999999999h", math.inf),
        (1e300, math.inf),
    ],
)
def test_how_long_a_model_shall_stay(keep_alive: object, seconds: float) -> None:
    assert wishes("chat", {**CHAT, "keep_alive": keep_alive}).stay_s == seconds


def test_requests_without_a_prompt_only_load_or_unload() -> None:
    assert wishes("chat", {"model": "a", "messages": []}).empty
    assert wishes("generate", {"model": "a", "keep_alive": "5m"}).empty
    assert wishes("generate", {"model": "a", "prompt": "", "keep_alive": 0}).unloads
    assert not wishes("generate", {"model": "a", "prompt": "b", "keep_alive": 0}).unloads
    assert wishes("embed", {"model": "a", "input": []}).empty


@given(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text())))
def test_what_was_said_comes_back_from_its_numbers(turns: list[Turn]) -> None:
    numbers = packed(turns)
    assert unpacked(numbers) == turns
    assert all(0 <= number < 2**31 for number in numbers)


@given(st.lists(st.integers()))
def test_other_numbers_are_refused(numbers: list[int]) -> None:
    if numbers:
        with pytest.raises(InvalidRequest):
            unpacked(numbers)


def test_a_long_conversation_is_not_remembered() -> None:
    assert packed([("user", "a" * LONGEST)]) == []


#: Fields that mean something, with values of any kind.
FIELDS = (
    "model", "messages", "stream", "format", "keep_alive", "options", "think", "tools", "prompt", "suffix", "system",
    "template", "raw", "images", "context", "input", "dimensions", "logprobs", "top_logprobs", "role", "content",
    "tool_calls", "function", "arguments", "seed", "num_ctx", "num_predict", "stop", "temperature",
)  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(),
    st.sampled_from(["json", "5m", "user", "tool", "{{ .Prompt }}", "low", PIXEL]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=20,
)


@given(st.sampled_from(["chat", "generate", "embed", "embeddings"]), st.dictionaries(st.sampled_from(FIELDS), VALUES))
def test_any_object_is_asked_or_refused(kind: Kind, body: dict[str, object]) -> None:
    try:
        said = read(kind, json.dumps(body).encode())
        wishes_of(said)
        json.loads(asked(said, chats=True).body)
    except InvalidRequest:
        return


@given(st.binary())
def test_any_bytes_are_refused(body: bytes) -> None:
    try:
        read("chat", body)
    except InvalidRequest:
        return
    assert isinstance(json.loads(body), dict)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"{", b'{"model":1}', b'{"keep_alive":1e999}', b'{"options":{"num_ctx":1e300}}',
        b"[" * 10**5, b'{"messages":[],"format":' + b'{"a":' * 10**5 + b"1" + b"}" * 10**5 + b"}",
        b'{"messages":' + b"[" * 10**5, b'{"a":' * 10**5, b'{"messages":[{"role":"user","content":"\xff"}]}',
        b'{"format":' + b'{"a":' * 10**5, b'{"messages":[{}]}', b'{"options":{"top_k":"many"}}',
    ],
)  # fmt: skip
def test_bad_bodies_are_told_so(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        wishes_of(read("chat", body))


def test_of_a_field_said_twice_the_last_counts() -> None:
    assert wishes_of(read("chat", b'{"model":"a","model":"b","messages":[]}')).model == "b"
