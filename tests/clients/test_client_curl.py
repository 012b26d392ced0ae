"""Every line of the page on curl, run as it stands against a real engine; only the address is another."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gateway_process import RunningGateway

PAGE = Path(__file__).parents[2] / "docs" / "apis-by-curl.md"
USUAL = "http://127.0.0.1:4785"
LINES = re.findall(r"^```sh\n(.+?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def path_of(line: str) -> str:
    found = re.search(rf"{re.escape(USUAL)}(/\S+)", line)
    assert found is not None, line
    return found[1]


def events(text: str) -> list[str]:
    return re.findall(r"^data: (.+)$", text, re.MULTILINE)


def chat_is_right(text: str, line: str) -> None:
    if '"stream"' in line:
        *chunks, last = events(text)
        assert last == "[DONE]"
        assert json.loads(chunks[-1])["usage"]["completion_tokens"] > 0
        return
    answer = json.loads(text)
    assert answer["usage"]["completion_tokens"] > 0
    said = answer["choices"][0]["message"]["content"]
    assert said
    if "json_schema" in line:
        assert set(json.loads(said)) == {"name"}


def message_is_right(text: str, line: str) -> None:
    if '"stream"' in line:
        kinds = [json.loads(event)["type"] for event in events(text)]
        assert kinds[0] == "message_start"
        assert kinds[-1] == "message_stop"
        return
    answer = json.loads(text)
    assert answer["content"][0]["type"] == "text"
    assert answer["usage"]["output_tokens"] > 0
    if "json_schema" in line:
        assert set(json.loads(answer["content"][0]["text"])) == {"name"}


def ollama_is_right(text: str, line: str) -> None:
    *parts, last = [json.loads(part) for part in text.splitlines()]
    assert last["done"] is True
    assert last["eval_count"] > 0
    assert bool(parts) == ('"stream": false' not in line)


def has(*keys: str) -> Callable[[str, str], None]:
    """The answer is an object with something in each of these."""

    def right(text: str, _: str) -> None:
        answer: Any = json.loads(text)
        assert all(answer[key] for key in keys), answer

    return right


RIGHT: dict[str, Callable[[str, str], None]] = {
    "/v1/models": has("data"),
    "/v1/chat/completions": chat_is_right,
    "/v1/completions": has("choices", "usage"),
    "/v1/responses": has("output", "usage"),
    "/v1/embeddings": has("data", "usage"),
    "/v1/messages": message_is_right,
    "/v1/messages/count_tokens": has("input_tokens"),
    "/api/tags": has("models"),
    "/api/chat": ollama_is_right,
    "/api/generate": ollama_is_right,
    "/api/embed": has("embeddings"),
    "/tokenize": has("tokens"),
    "/detokenize": has("content"),
    "/apply-template": has("prompt"),
}


@pytest.mark.parametrize("line", LINES, ids=path_of)
def test_a_line_of_the_page(line: str, running: RunningGateway) -> None:
    assert shutil.which("curl") is not None
    told = line.replace(USUAL, running.url)
    ended = subprocess.run(["bash", "-c", f"set -e\n{told}"], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    RIGHT[path_of(line)](ended.stdout, line)


def test_every_family_is_on_the_page() -> None:
    assert {path_of(line) for line in LINES} == set(RIGHT)
