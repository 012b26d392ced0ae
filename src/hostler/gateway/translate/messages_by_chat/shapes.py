"""The shapes between a client of Anthropic's messages and a server of OpenAI's chat completions, in both directions.

What comes in is read leniently, because clients and servers of many makes send it: what is not named here passes by
unread. What goes out is exact.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

# --- what a client asks -------------------------------------------------------------------------------


class Source(msgspec.Struct):
    """Where an image or a document is."""

    type: str = ""
    media_type: str = ""
    data: str = ""
    url: str = ""


class Other(msgspec.Struct):
    """An object that nobody reads."""


class Piece(msgspec.Struct):
    """A block of any kind."""

    type: str = "text"
    text: str = ""
    thinking: str = ""
    source: Source | None = None
    title: str | None = None
    id: str = ""
    name: str = ""
    input: Raw = Raw(b"{}")
    tool_use_id: str = ""
    content: str | list[Piece] | Other | None = None


class Turn(msgspec.Struct):
    """What one side said; agents let the system speak between turns too."""

    role: str
    content: str | list[Piece] = ""


class Tool(msgspec.Struct):
    """A tool; those that only the other API's own servers know have no schema."""

    name: str = ""
    description: str | None = None
    input_schema: Raw | UnsetType = UNSET


class Choice(msgspec.Struct):
    """Which tool may, or has to, be used."""

    type: str = "auto"
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(msgspec.Struct):
    """Whether to think, and for how many tokens."""

    type: str = ""
    budget_tokens: int | None = None


class Format(msgspec.Struct):
    """The schema that the answer has to follow."""

    schema: Raw | UnsetType = UNSET


class Output(msgspec.Struct):
    """How much to think, and the form of the answer."""

    effort: str | None = None
    format: Format | None = None


class Asked(msgspec.Struct):
    """``POST /v1/messages``."""

    messages: list[Turn]
    max_tokens: int | None = None
    system: str | list[Piece] | None = None
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: list[Tool] | None = None
    tool_choice: Choice | None = None
    thinking: Thinking | None = None
    output_config: Output | None = None
    output_format: Format | None = None  # what that was called before it stood in `output_config`
    # What servers of llama.cpp's take besides.
    model: str | None = None
    top_k: float | None = None
    chat_template_kwargs: Raw | UnsetType = UNSET

    @property
    def schema(self) -> Raw | None:
        """The schema that the answer has to follow; None for any answer."""
        form = self.output_config.format if self.output_config is not None else None
        schema = (form or self.output_format or Format()).schema
        return schema if isinstance(schema, Raw) else None


# --- what the server is asked -------------------------------------------------------------------------


class Link(msgspec.Struct):
    """The address of an image, `data:` ones included."""

    url: str


class File(msgspec.Struct):
    """A document, as a `data:` address."""

    filename: str
    file_data: str


class Part(msgspec.Struct, omit_defaults=True):
    """A piece of a message."""

    type: str = ""
    text: str | None = None
    image_url: Link | None = None
    file: File | None = None


class Function(msgspec.Struct, omit_defaults=True):
    """A function that may be called."""

    name: str
    parameters: Raw
    description: str | None = None


class Offer(msgspec.Struct):
    """A tool that may be used."""

    function: Function
    type: str = "function"


class Called(msgspec.Struct):
    """A function that was called; ``arguments`` is JSON."""

    name: str
    arguments: str


class Call(msgspec.Struct):
    """A call of an earlier turn."""

    id: str
    function: Called
    type: str = "function"


class Message(msgspec.Struct, omit_defaults=True):
    """One message."""

    role: str = ""
    content: str | list[Part] | None = None
    reasoning_content: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None


class Named(msgspec.Struct):
    """The name of a function."""

    name: str


class Forced(msgspec.Struct):
    """The tool that has to be used."""

    function: Named
    type: str = "function"


class Schema(msgspec.Struct):
    """A schema by name."""

    schema: Raw
    name: str = "answer"
    strict: bool = True


class ResponseFormat(msgspec.Struct):
    """What the answer has to be."""

    json_schema: Schema
    type: str = "json_schema"


class StreamOptions(msgspec.Struct):
    """What a stream tells besides."""

    include_usage: bool = True


class ChatRequest(msgspec.Struct, omit_defaults=True):
    """``POST /v1/chat/completions``; the last fields are llama.cpp's own."""

    model: str | None
    messages: list[Message]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    stop: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: list[Offer] | None = None
    tool_choice: str | Forced | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    response_format: ResponseFormat | None = None
    top_k: float | None = None
    chat_template_kwargs: Raw | UnsetType = UNSET
    thinking_budget_tokens: int | None = None
    return_progress: bool = False
    verbose: bool = False


# --- what the server answers --------------------------------------------------------------------------


class HeardFunction(msgspec.Struct):
    """A function, or a piece of its arguments."""

    name: str | None = None
    arguments: str | None = None


class HeardCall(msgspec.Struct):
    """A call, or a piece of one."""

    index: int | None = None
    id: str | None = None
    function: HeardFunction = msgspec.field(default_factory=HeardFunction)


class Heard(msgspec.Struct):
    """A message, or a piece of one; servers differ in what they call thoughts."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[HeardCall] | None = None

    @property
    def thought(self) -> str:
        return self.reasoning_content or self.reasoning or ""

    @property
    def said(self) -> str:
        return self.content or self.refusal or ""


class HeardChoice(msgspec.Struct):
    """A choice of an answer or of a chunk; only the first counts."""

    index: int = 0
    message: Heard | None = None
    delta: Heard | None = None
    finish_reason: str | None = None


class HeardDetails(msgspec.Struct):
    """Tokens of the prompt that came from a cache."""

    cached_tokens: int | None = None


class HeardUsage(msgspec.Struct):
    """Tokens; cached ones are part of the prompt."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: HeardDetails | None = None


class HeardFault(msgspec.Struct):
    """An error."""

    message: str = ""
    type: str | None = None
    code: str | int | None = None


class HeardProgress(msgspec.Struct):
    """How far llama.cpp is with a prompt: its tokens, and how many of them came from a cache."""

    total: int = 0
    cache: int = 0


class HeardDetail(msgspec.Struct):
    """What llama.cpp tells besides when it is asked to."""

    stopping_word: str = ""


class HeardAnswer(msgspec.Struct):
    """A whole answer, a chunk of one, or what went wrong."""

    id: str = ""
    model: str = ""
    choices: list[HeardChoice] | None = None
    usage: HeardUsage | None = None
    error: HeardFault | None = None
    prompt_progress: HeardProgress | None = None
    detail: HeardDetail | None = msgspec.field(default=None, name="__verbose")

    @property
    def stopping_word(self) -> str | None:
        """Which of its client's stop sequences ended an answer, where that is told."""
        return None if self.detail is None else self.detail.stopping_word or None


# --- what the client gets -----------------------------------------------------------------------------

Stop = Literal["end_turn", "max_tokens", "tool_use", "stop_sequence", "refusal"]


class Usage(msgspec.Struct):
    """Tokens; those from a cache are not among ``input_tokens``."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0


class Text(msgspec.Struct, tag_field="type", tag="text"):
    """Text."""

    text: str = ""


class Thought(msgspec.Struct, tag_field="type", tag="thinking"):
    """Thoughts; nobody signs them here."""

    thinking: str = ""
    signature: str = ""


class ToolUse(msgspec.Struct, tag_field="type", tag="tool_use"):
    """A call."""

    id: str
    name: str
    input: Raw = Raw(b"{}")


Block = Text | Thought | ToolUse


class Answer(msgspec.Struct, tag_field="type", tag="message"):
    """A whole answer, or how a stream begins."""

    id: str
    model: str
    content: list[Block] = []
    stop_reason: Stop | None = None
    stop_sequence: str | None = None
    role: str = "assistant"
    usage: Usage = msgspec.field(default_factory=Usage)


class Complaint(msgspec.Struct):
    """What went wrong."""

    type: str
    message: str


class Problem(msgspec.Struct, tag_field="type", tag="error"):
    """The body of an error."""

    error: Complaint
