"""Answers of engines and remotes that nobody can read: their failure, and never a bug of ours."""

from __future__ import annotations

import json

import pytest

from hostler.errors import RemoteFailed
from hostler.gateway.translate.chat_by_messages.translation import ChatByMessages
from hostler.gateway.translate.messages_by_chat.translation import MessagesByChat
from hostler.gateway.translate.ollama.answers import Course, Voice, embedded, problem, whole
from hostler.gateway.translate.protocol import Translation

DEEP = b'{"more":' + b"[" * 3000
CHAT = b'{"choices":[{"message":{"content":"\xff"}}]}'
MESSAGE = b'{"type":"\xff","error":{"message":"\xff"},"id":"\xff"}'


@pytest.mark.parametrize(
    ("translation", "body"),
    [
        (MessagesByChat("big", 0), DEEP),
        (MessagesByChat("big", 0), CHAT),
        (ChatByMessages("claude-x", 5), DEEP),
        (ChatByMessages("claude-x", 5), MESSAGE),
    ],
)
def test_it_is_the_remotes_failure(translation: Translation, body: bytes) -> None:
    """Bad UTF-8, and brackets without end, ended the connection with a traceback."""
    with pytest.raises(RemoteFailed):
        translation.answer(body)
    with pytest.raises(RemoteFailed):
        translation.stream().feed(b"data: " + body + b"\n\n")
    assert json.loads(translation.error(body))["error"]["message"]


def test_arguments_nested_without_end_stand_in_an_object() -> None:
    call = {"id": "a", "function": {"name": "look", "arguments": '{"n":' + "[" * 3000}}
    told = MessagesByChat("big", 0).answer(json.dumps({"choices": [{"message": {"tool_calls": [call]}}]}).encode())
    assert json.loads(told)["content"][0]["input"]["arguments"].startswith('{"n":[[[')


def test_for_clients_of_ollama() -> None:
    course = Course("tiny", lambda: 0.0, 0.0)
    with pytest.raises(RemoteFailed):
        whole(CHAT, Voice("chat"), course)
    with pytest.raises(RemoteFailed):
        embedded(b'{"data":[{"embedding":["\xff"]}]}', "embed", 1, course)
    told = whole(b'{"choices":[],"timings":{"predicted_ms":1e308}}', Voice("chat"), course)
    assert json.loads(told)["eval_duration"] == 9 * 10**18
    assert "\ufffd" in problem(b'{"error":{"message":"\xff"}}', "tiny").error
