"""Bodies as each API declares them: what is wrong is refused with its field, what is merely unknown passes."""

from __future__ import annotations

import json

import msgspec
import pytest

from hostler.config.settings import SamplingSettings
from hostler.errors import InvalidRequest
from hostler.fleet.protocol import Served
from hostler.gateway.asking.checks.fitting import check_for
from hostler.gateway.asking.checks.reading import read

USER = {"role": "user", "content": "Hello"}
PNG = "data:image/png;base64,iVBORw0KGgo="
BLIND = Served(name="tiny", task="chat", embeddings=False, sampling=SamplingSettings(), context=4096)
SEEING = msgspec.structs.replace(BLIND, name="eye", abilities=frozenset(["images"]))

WRONG: list[tuple[str, dict[str, object], str]] = [
    ("chat", {}, "messages"),
    ("chat", {"messages": "nope"}, "messages"),
    ("chat", {"messages": ["nope"]}, "messages[0]"),
    ("chat", {"messages": [{"content": "x"}]}, "messages[0].role"),
    ("chat", {"messages": [{"role": 5, "content": "x"}]}, "messages[0].role"),
    ("chat", {"messages": [USER, {"role": "user", "content": 5}]}, "messages[1].content"),
    ("chat", {"messages": [{"role": "user"}]}, "messages[0].content"),
    ("chat", {"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
    ("chat", {"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
    ("chat", {"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    ("chat", {"messages": [{"role": "assistant"}]}, "messages[0].content"),
    ("chat", {"messages": [USER], "max_tokens": -2}, "max_tokens"),
    ("chat", {"messages": [USER], "max_tokens": "8"}, "max_tokens"),
    ("chat", {"messages": [USER], "max_completion_tokens": 2**40}, "max_completion_tokens"),
    ("chat", {"messages": [USER], "temperature": -1}, "temperature"),
    ("chat", {"messages": [USER], "temperature": True}, "temperature"),
    ("chat", {"messages": [USER], "top_p": 1.5}, "top_p"),
    ("chat", {"messages": [USER], "n": 0}, "n"),
    ("chat", {"messages": [USER], "top_logprobs": 21, "logprobs": True}, "top_logprobs"),
    ("chat", {"messages": [USER], "top_logprobs": 2}, "top_logprobs"),
    ("chat", {"messages": [USER], "stop": [1]}, "stop[0]"),
    ("chat", {"messages": [USER], "tools": {}}, "tools"),
    ("chat", {"messages": [USER], "tools": [1]}, "tools[0]"),
    ("chat", {"messages": [USER], "tools": [{"function": {"name": "f"}}]}, "tools[0].type"),
    ("chat", {"messages": [USER], "tools": [{"type": "function"}]}, "tools[0].function"),
    ("chat", {"messages": [USER], "tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    ("chat", {"messages": [USER], "tool_choice": 1}, "tool_choice"),
    ("chat", {"messages": [USER], "tool_choice": "perhaps"}, "tool_choice"),
    ("chat", {"messages": [USER], "response_format": "json"}, "response_format"),
    ("chat", {"messages": [USER], "response_format": {}}, "response_format.type"),
    ("chat", {"messages": [USER], "stream_options": True}, "stream_options"),
    ("messages", {"messages": [USER]}, "max_tokens"),
    ("messages", {"messages": [USER], "max_tokens": None}, "max_tokens"),
    ("completions", {}, "prompt"),
    ("completions", {"prompt": None}, "prompt"),
    ("completions", {"prompt": []}, "prompt"),
    ("completions", {"prompt": [1.5]}, "prompt[0]"),
    ("completions", {"prompt": [-1]}, "prompt[0]"),
    ("completions", {"prompt": "x", "logprobs": -1}, "logprobs"),
    ("embeddings", {}, "input"),
    ("embeddings", {"input": 5}, "input"),
    ("embeddings", {"input": ""}, "input"),
    ("embeddings", {"input": []}, "input"),
    ("embeddings", {"input": ["", "x"]}, "input[0]"),
    ("embeddings", {"input": [[1], [-1]]}, "input[1][0]"),
    ("embeddings", {"input": "x", "encoding_format": "int8"}, "encoding_format"),
    ("embeddings", {"input": "x", "dimensions": 0}, "dimensions"),
    ("responses", {}, "input"),
    ("responses", {"input": {}}, "input"),
    ("responses", {"input": [1]}, "input[0]"),
    ("responses", {"input": "x", "max_output_tokens": -5}, "max_output_tokens"),
    ("responses", {"input": "x", "previous_response_id": "resp_1"}, "previous_response_id"),
    ("responses", {"input": "x", "text": {"format": {"type": "xml"}}}, "text.format.type"),
    ("responses", {"input": "x", "text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
    ("responses", {"input": "x", "tools": [{"type": "function"}]}, "tools[0].name"),
    ("messages", {"messages": "nope"}, "messages"),
    ("messages", {"messages": [{"role": "user"}]}, "messages[0].content"),
    ("messages", {"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
    ("messages", {"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    ("messages", {"messages": [USER], "system": [{"type": "text"}]}, "system[0].text"),
    ("messages", {"messages": [USER], "max_tokens": 0}, "max_tokens"),
    ("messages", {"messages": [USER], "system": 5}, "system"),
    ("messages", {"messages": [USER], "tool_choice": "auto"}, "tool_choice"),
    ("messages", {"messages": [USER], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ("messages", {"messages": [USER], "tools": [{"input_schema": {}}]}, "tools[0].name"),
    ("count_tokens", {}, "messages"),
]  # fmt: skip

RIGHT: list[tuple[str, dict[str, object]]] = [
    ("chat", {"messages": []}),
    ("chat", {"messages": [USER, {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f"}}]}]}),
    ("chat", {"messages": [{"role": "assistant", "content": None}]}),
    ("chat", {"messages": [{"role": "observation", "content": [{"type": "hologram", "data": {}}]}]}),
    ("chat", {"messages": [USER], "tools": [{"type": "custom", "custom": {"name": "x"}}, {"type": "web_search"}]}),
    ("chat", {"messages": [USER], "max_tokens": None, "stop": None, "n": None, "tools": None, "temperature": None}),
    ("chat", {"messages": [USER], "max_tokens": -1, "seed": -1, "top_k": 40.0, "max_completion_tokens": 100.0}),
    ("chat", {"messages": [USER], "unknown": {"deep": [1]}, "logit_bias": {"1": -100}}),
    ("completions", {"prompt": [[1, 2], "x", 3]}),
    ("completions", {"prompt": ["a", "b"], "logprobs": True}),
    ("embeddings", {"input": [1, 2, 3], "encoding_format": "base64"}),
    ("embeddings", {"content": "llama.cpp's own"}),
    ("responses", {"input": [{"type": "computer_call_output", "output": {"type": "x"}}], "tools": [{"type": "x"}]}),
    ("responses", {"input": [{"type": "shell_call_output", "output": [{"stdout": "x"}, "y", 5, None, ["z"]]}]}),
    ("responses", {"input": [{"type": "function_call_output", "call_id": "c", "output": "done"}]}),
    ("responses", {"input": "x", "store": True, "previous_response_id": None, "include": ["y"]}),
    ("input_tokens", {"input": "x"}),
    (
        "messages",
        {"messages": [USER, {"role": "system", "content": "x"}], "thinking": {"type": "adaptive"}, "max_tokens": 9},
    ),
    (
        "messages",
        {
            "messages": [USER],
            "max_tokens": 9,
            "tools": [{"type": "mcp_toolset", "mcp_server_name": "x"}],
            "betas": [1],
        },
    ),
    ("count_tokens", {"messages": [USER]}),
]


@pytest.mark.parametrize(("api", "body", "field"), WRONG)
def test_a_wrong_field_is_named(api: str, body: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        check_for(BLIND, read(api, json.dumps(body).encode()))
    assert refusal.value.param == field
    assert f"`{field}`" in refusal.value.message


@pytest.mark.parametrize(("api", "body"), RIGHT)
def test_the_unknown_passes(api: str, body: dict[str, object]) -> None:
    check_for(BLIND, read(api, json.dumps(body).encode()))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"messages": 5}, "`messages` is a whole number; it has to be a list."),
        ({"messages": [USER], "temperature": "hot"}, "`temperature` is a string; it has to be a number or null."),
        ({"messages": [USER], "n": 0}, "`n` has to be at least 1."),
        ({"messages": [USER], "top_p": 2}, "`top_p` has to be at most 1."),
        ({}, "`messages` is missing."),
    ],
)
def test_what_is_wanted_is_said(body: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        check_for(BLIND, read("chat", json.dumps(body).encode()))
    assert refusal.value.message == says


@pytest.mark.parametrize(
    ("api", "body", "path"),
    [
        ("chat", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "%s"}}]}]},
         "messages[0].content[0]"),
        ("apply_template", {"messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "%s"}}]}]},
         "messages[0].content[0]"),
        ("responses", {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "%s"}]}]},
         "input[0].content[0]"),
        ("responses", {"input": [{"type": "function_call_output", "call_id": "c", "output": [
            {"type": "input_text", "text": "here"}, {"type": "input_image", "text": 5, "image_url": "%s"}]}]},
         "input[0].output[1]"),
        ("messages", {"max_tokens": 9, "messages": [{"role": "user", "content": [
            {"type": "tool_result", "content": [{"type": "image", "source": {"type": "url", "url": "%s"}}]}]}]},
         "messages[0].content[0].content[0]"),
    ],
)  # fmt: skip
def test_a_picture_needs_eyes_and_is_not_fetched(api: str, body: dict[str, object], path: str) -> None:
    here = read(api, (json.dumps(body) % PNG).encode())
    elsewhere = read(api, (json.dumps(body) % "HTTP://10.0.0.1/x.png").encode())
    check_for(SEEING, here)
    for asked, served in ((here, BLIND), (elsewhere, SEEING)):
        with pytest.raises(InvalidRequest) as refusal:
            check_for(served, asked)
        assert refusal.value.param == path


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"url": "HTTP://10.0.0.1/x.mp3", "format": "mp3"}},
        {"type": "video_url", "video_url": {"url": "file:///etc/passwd"}},
        {"type": "input_video", "input_video": {"url": "https://10.0.0.1/x.mp4"}},
        {"type": "audio_url", "audio_url": {"url": "https://10.0.0.1/x.mp3"}},
    ],
)
def test_sounds_and_videos_are_never_fetched(part: dict[str, object]) -> None:
    asked = read("chat", json.dumps({"messages": [{"role": "user", "content": [part]}]}).encode())
    with pytest.raises(InvalidRequest, match="nothing but pictures"):
        check_for(msgspec.structs.replace(SEEING, remote_images=True), asked)
    data = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}
    check_for(SEEING, read("chat", json.dumps({"messages": [{"role": "user", "content": [data]}]}).encode()))


PARTS = [
    b'{"type":"image_url","image_url":{"url":"\\u0068ttp:\\/\\/10.0.0.1/x.png"}}',
    b'{"type":"input_audio","input_audio":{"data":"http\\u003a//10.0.0.1/x.wav","format":"wav"}}',
    b'{"type":"input_audio","input_audio":{"dat\\u0061":"\\u0066ile:///etc/passwd"}}',
]


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("part", PARTS)
def test_no_address_hides_behind_escapes(part: bytes, counts: bool) -> None:
    """Whoever reads JSON reads an address in it: an engine of ours, and a program."""
    asked = read("chat", b'{"messages":[{"role":"user","content":[%b]}]}' % part)
    with pytest.raises(InvalidRequest, match="fetched here"):
        check_for(msgspec.structs.replace(SEEING, counts=counts), asked)
    escaped = b'{"type":"input_audio","input_audio":{"data":"aG\\/k\\u003d","format":"wav"}}'
    check_for(SEEING, read("chat", b'{"messages":[{"role":"user","content":[%b]}]}' % escaped))


def test_a_program_that_makes_vectors_of_pictures_gets_no_address() -> None:
    program = msgspec.structs.replace(SEEING, counts=False)
    said = '{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "%s"}}]}]}'
    check_for(program, read("embeddings", (said % PNG).encode()))
    with pytest.raises(InvalidRequest, match="nothing is fetched"):
        check_for(program, read("embeddings", (said % "http://10.0.0.1/x.png").encode()))


def test_programs_and_remotes_see_for_themselves() -> None:
    body = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/y"}}]}]}
    asked = read("chat", json.dumps(body).encode())
    check_for(msgspec.structs.replace(BLIND, counts=False, speaks="openai"), asked)
