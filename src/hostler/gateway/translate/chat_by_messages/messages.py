"""The shapes of Anthropic's messages, as far as anything is translated from or into them."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

# --- requests -----------------------------------------------------------------------------------------


class Source(msgspec.Struct, omit_defaults=True):
    """Where an image or a document is: in ``data``, or at ``url``."""

    type: Literal["base64", "url"]
    media_type: str | None = None
    data: str | None = None
    url: str | None = None


class Text(msgspec.Struct, tag_field="type", tag="text", omit_defaults=True):
    """Text; never empty nor blank, which the API refuses."""

    text: str
    cache_control: Raw | UnsetType = UNSET


class Image(msgspec.Struct, tag_field="type", tag="image"):
    """An image."""

    source: Source


class Document(msgspec.Struct, tag_field="type", tag="document", omit_defaults=True):
    """A document."""

    source: Source
    title: str | None = None


class ToolUse(msgspec.Struct, tag_field="type", tag="tool_use"):
    """A call that the model made."""

    id: str
    name: str
    input: Raw


class ToolResult(msgspec.Struct, tag_field="type", tag="tool_result", omit_defaults=True):
    """What a call gave."""

    tool_use_id: str
    content: list[Text | Image | Document] = []


Block = Text | Image | Document | ToolUse | ToolResult


class Turn(msgspec.Struct):
    """What one side said; the sides take turns."""

    role: Literal["user", "assistant"]
    content: list[Block]


class Tool(msgspec.Struct, omit_defaults=True):
    """A tool that the model may use."""

    name: str
    input_schema: Raw
    description: str | None = None


class Choice(msgspec.Struct, omit_defaults=True):
    """Which tool it may, or has to, use."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class Format(msgspec.Struct):
    """The schema that the answer has to follow."""

    schema: Raw
    type: str = "json_schema"


class Output(msgspec.Struct, omit_defaults=True):
    """How much to think and write, and in which form."""

    effort: str | None = None
    format: Format | None = None


class Metadata(msgspec.Struct):
    """Whom the request is for, as its client says."""

    user_id: str


class MessagesRequest(msgspec.Struct, omit_defaults=True):
    """``POST /v1/messages``."""

    model: str
    max_tokens: int
    messages: list[Turn]
    system: list[Text] = []
    stream: bool = False
    stop_sequences: list[str] = []
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    tools: list[Tool] = []
    tool_choice: Choice | None = None
    thinking: Raw | UnsetType = UNSET
    output_config: Output | None = None
    cache_control: Raw | UnsetType = UNSET
    metadata: Metadata | None = None


# --- answers ------------------------------------------------------------------------------------------


class Usage(msgspec.Struct):
    """Tokens; those that came from the cache, or went into it, are not among ``input_tokens``.

    In a stream each event that has it says how many there are so far; None where it says nothing new.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class Said(msgspec.Struct):
    """A block of an answer, or, in a stream, its beginning or a piece of it."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    id: str = ""
    name: str = ""
    input: Raw | UnsetType = UNSET
    partial_json: str = ""
    stop_reason: str | None = None


class Answer(msgspec.Struct):
    """A whole answer, or how a stream begins."""

    id: str = ""
    model: str = ""
    content: list[Said] = []
    stop_reason: str | None = None
    usage: Usage = msgspec.field(default_factory=Usage)


class Complaint(msgspec.Struct):
    """An error."""

    type: str = "api_error"
    message: str = ""


class Problem(msgspec.Struct):
    """The body of an error."""

    error: Complaint


class Event(msgspec.Struct):
    """One event of a stream."""

    type: str
    index: int = 0
    message: Answer | None = None
    content_block: Said | None = None
    delta: Said | None = None
    usage: Usage | None = None
    error: Complaint | None = None
