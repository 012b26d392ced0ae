"""The shapes of OpenAI's chat completions, as far as anything is translated from or into them."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

Finish = Literal["stop", "length", "tool_calls", "content_filter"]


# --- requests -----------------------------------------------------------------------------------------


class Link(msgspec.Struct):
    """An address of an image, `data:` ones included."""

    url: str


class File(msgspec.Struct):
    """A document; ``file_data`` is a `data:` address."""

    file_data: str | None = None
    filename: str | None = None


class Part(msgspec.Struct):
    """A piece of a message's content."""

    type: str = "text"
    text: str | None = None
    refusal: str | None = None
    image_url: Link | str | None = None
    file: File | None = None
    cache_control: Raw | UnsetType = UNSET


class CalledFunction(msgspec.Struct, frozen=True):
    """``arguments`` is JSON in a string, as models write it: it may be wrong."""

    name: str = ""
    arguments: str | None = None


class Call(msgspec.Struct):
    """A call that the model made in an earlier turn."""

    id: str = ""
    function: CalledFunction = CalledFunction()


class Message(msgspec.Struct):
    """One message of a conversation."""

    role: str
    content: str | list[Part] | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None


class Function(msgspec.Struct):
    """A function that the model may call; ``parameters`` is a JSON Schema."""

    name: str
    description: str | None = None
    parameters: Raw | UnsetType = UNSET
    strict: bool | None = None


class Tool(msgspec.Struct):
    """A tool; other kinds than functions have no ``function``."""

    type: str = "function"
    function: Function | None = None


class Named(msgspec.Struct):
    """The name of a function."""

    name: str


class Chosen(msgspec.Struct):
    """The tool that has to be called."""

    function: Named | None = None


class Schema(msgspec.Struct):
    """The schema that an answer has to follow."""

    schema: Raw | UnsetType = UNSET


class Format(msgspec.Struct):
    """What an answer has to be."""

    type: str
    json_schema: Schema | None = None


class StreamOptions(msgspec.Struct):
    """What a stream tells besides."""

    include_usage: bool | None = None


class ChatRequest(msgspec.Struct):
    """``POST /v1/chat/completions``."""

    messages: list[Message]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    tools: list[Tool] | None = None
    tool_choice: str | Chosen | None = None
    parallel_tool_calls: bool | None = None
    response_format: Format | None = None
    reasoning_effort: str | None = None
    thinking: Raw | UnsetType = UNSET
    cache_control: Raw | UnsetType = UNSET
    user: str | None = None


# --- answers ------------------------------------------------------------------------------------------


class PromptDetails(msgspec.Struct):
    """Tokens of the prompt that came from a cache."""

    cached_tokens: int


class Usage(msgspec.Struct):
    """Tokens; ``prompt_tokens`` counts cached ones too."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails


class GivenFunction(msgspec.Struct):
    """A call's function, or a piece of its arguments."""

    arguments: str
    name: str | UnsetType = UNSET


class Given(msgspec.Struct):
    """A call in an answer, or a piece of one in a stream, where ``index`` says of which."""

    function: GivenFunction
    index: int | UnsetType = UNSET
    id: str | UnsetType = UNSET
    type: str | UnsetType = UNSET


class Said(msgspec.Struct):
    """The message of an answer."""

    content: str | None
    role: str = "assistant"
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[Given] | UnsetType = UNSET


class Choice(msgspec.Struct):
    """The only choice of an answer."""

    message: Said
    finish_reason: Finish
    index: int = 0


class Completion(msgspec.Struct):
    """A whole answer."""

    id: str
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    object: str = "chat.completion"


class Delta(msgspec.Struct):
    """A piece of an answer."""

    role: str | UnsetType = UNSET
    content: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[Given] | UnsetType = UNSET


class StreamChoice(msgspec.Struct):
    """The only choice of a chunk."""

    delta: Delta
    finish_reason: Finish | None = None
    index: int = 0


class Chunk(msgspec.Struct):
    """One event of a stream."""

    id: str
    created: int
    model: str
    choices: list[StreamChoice]
    object: str = "chat.completion.chunk"
    usage: Usage | UnsetType = UNSET


class Complaint(msgspec.Struct):
    """An error."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class Problem(msgspec.Struct):
    """The body of an error."""

    error: Complaint
