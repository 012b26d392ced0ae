"""`/v1/chat/completions`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from hostler.gateway.asking.checks.kinds import (
    Any,
    Flag,
    Picture,
    Sampled,
    Text,
    Thing,
    TopCount,
    invalid,
    missing,
    unescaped,
)
from hostler.gateway.asking.peek import Absent

#: In an object around base64, which has neither quotes nor colons.
_ADDRESS: Final = re.compile(rb'"(?:https?|file|ftp):', re.IGNORECASE)
_CHOICES: Final = frozenset({"auto", "none", "required", "any"})


class Address(msgspec.Struct, gc=False):
    url: Raw | UnsetType = UNSET


class Part(msgspec.Struct, gc=False):
    type: str
    text: Text = UNSET
    image_url: Address | UnsetType | None = UNSET
    input_audio: Raw | UnsetType = UNSET
    input_video: Raw | UnsetType = UNSET
    video_url: Raw | UnsetType = UNSET
    audio_url: Raw | UnsetType = UNSET


class Call(msgspec.Struct, gc=False):
    function: Called | UnsetType | None = UNSET
    id: Text = UNSET
    type: Text = UNSET


class Called(msgspec.Struct, gc=False):
    name: str
    arguments: str | Thing | UnsetType | None = UNSET


class Message(msgspec.Struct, gc=False):
    role: str
    content: str | list[Part] | UnsetType | None = UNSET
    tool_calls: list[Call] | UnsetType | None = UNSET
    tool_call_id: Text = UNSET
    name: Text = UNSET
    reasoning_content: Text = UNSET


class Function(msgspec.Struct, gc=False):
    name: str
    description: Text = UNSET
    parameters: Any = UNSET


class Tool(msgspec.Struct, gc=False):
    type: Text = UNSET
    function: Function | UnsetType | None = UNSET


class Schema(msgspec.Struct, gc=False):
    name: Text = UNSET
    schema: Any = UNSET
    strict: Flag = UNSET


class Format(msgspec.Struct, gc=False):
    type: str
    json_schema: Schema | UnsetType | None = UNSET


class Chat(Sampled, kw_only=True, gc=False):
    messages: list[Message] | UnsetType = UNSET
    tools: list[Tool] | UnsetType | None = UNSET
    tool_choice: str | Thing | UnsetType | None = UNSET
    parallel_tool_calls: Flag = UNSET
    response_format: Format | UnsetType | None = UNSET
    logprobs: Flag = UNSET
    top_logprobs: TopCount = UNSET
    chat_template_kwargs: Any = UNSET
    reasoning_effort: Text = UNSET
    reasoning: Absent = UNSET
    thinking: Absent = UNSET

    def check(self) -> None:
        if self.messages is UNSET:
            raise missing("messages")
        for number, message in enumerate(self.messages):
            _check_message(message, f"messages[{number}]")
        if self.tools:
            _check_tools(self.tools)
        if self.tool_choice.__class__ is str and self.tool_choice not in _CHOICES:
            raise invalid("tool_choice", "`tool_choice` has to be `auto`, `none`, `required`, or an object.")
        if self.top_logprobs and not self.logprobs:
            raise invalid("top_logprobs", "`top_logprobs` needs `logprobs` to be true.")

    def pictures(self) -> Iterable[Picture]:
        return seen_in(self.messages or ())


def seen_in(messages: Iterable[Message]) -> Iterator[Picture]:
    """Every picture in the field ``messages``."""
    for number, message in enumerate(messages):
        if isinstance(message.content, list):
            yield from _seen(message.content, f"messages[{number}].content")


def _check_message(message: Message, path: str) -> None:
    content = message.content
    if content.__class__ is list:
        for at, part in enumerate(content):
            if part.type == "text" and part.text.__class__ is not str:
                raise invalid(f"{path}.content[{at}].text", f"`{path}.content[{at}].text` has to be a string.")
    elif content.__class__ is not str and not message.tool_calls and (message.role != "assistant" or content is UNSET):
        raise invalid(f"{path}.content", f"`{path}.content` has to be a string or a list of parts.")


def _check_tools(tools: list[Tool]) -> None:
    for number, tool in enumerate(tools):
        if not tool.type:
            raise missing(f"tools[{number}].type")
        if tool.type == "function" and not isinstance(tool.function, Function):
            raise missing(f"tools[{number}].function")


def _seen(parts: list[Part], path: str) -> Iterator[Picture]:
    for at, part in enumerate(parts):
        if part.type == "image_url":
            url = part.image_url.url if isinstance(part.image_url, Address) else UNSET
            yield Picture(f"{path}[{at}]", bytes(url) if isinstance(url, Raw) else b"")
        elif part.type != "text":
            for media in (part.input_audio, part.input_video, part.video_url, part.audio_url):
                if isinstance(media, Raw) and (address := _ADDRESS.search(unescaped(bytes(media)))) is not None:
                    yield Picture(f"{path}[{at}]", address[0], other=True)
