"""The shapes of Ollama's API, as far as anything is translated from or into them.

Whatever a client leaves out it may also send as null: Go, in which Ollama is written, does not tell the two apart.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, UnsetType

Number = int | float | None
Absent = Raw | UnsetType


# --- requests -----------------------------------------------------------------------------------------


class CalledFunction(msgspec.Struct):
    """A call's function; its ``arguments`` are an object, not text."""

    name: str = ""
    arguments: Absent = UNSET


class Called(msgspec.Struct):
    """A call that the model made in an earlier turn."""

    function: CalledFunction
    id: str | None = None


class Message(msgspec.Struct):
    """One message; ``images`` are base64. A tool's answer says whose by ``tool_call_id``, or only by ``tool_name``."""

    role: str
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[Called] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class Options(msgspec.Struct):
    """Sampling; and how a model is loaded, which is ours to say: of that, only what is looked at."""

    temperature: Number = None
    top_k: Number = None
    top_p: Number = None
    min_p: Number = None
    typical_p: Number = None
    seed: Number = None
    stop: str | list[str] | None = None
    num_predict: Number = None
    num_keep: Number = None
    repeat_penalty: Number = None
    repeat_last_n: Number = None
    presence_penalty: Number = None
    frequency_penalty: Number = None
    mirostat: Number = None
    mirostat_tau: Number = None
    mirostat_eta: Number = None
    num_ctx: Number = None
    num_batch: Absent = UNSET
    num_gpu: Absent = UNSET
    main_gpu: Absent = UNSET
    num_thread: Absent = UNSET
    use_mmap: Absent = UNSET
    use_mlock: Absent = UNSET
    low_vram: Absent = UNSET
    numa: Absent = UNSET
    num_gqa: Absent = UNSET
    f16_kv: Absent = UNSET
    logits_all: Absent = UNSET
    vocab_only: Absent = UNSET
    embedding_only: Absent = UNSET
    rope_frequency_base: Absent = UNSET
    rope_frequency_scale: Absent = UNSET


class Request(msgspec.Struct):
    """What all requests for an answer have."""

    model: str | None = None
    keep_alive: Absent = UNSET
    options: Options | None = None


class Generated(Request):
    """What requests for text have besides. ``stream`` is the default."""

    stream: bool | None = None
    format: Absent = UNSET
    think: bool | str | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


class ChatRequest(Generated):
    """``POST /api/chat``; without messages it only loads the model."""

    messages: list[Message] | None = None
    tools: list[dict[str, Raw]] | None = None


class GenerateRequest(Generated):
    """``POST /api/generate``; without a prompt it only loads the model. ``context`` is what an earlier answer gave."""

    prompt: str | None = None
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    raw: bool | None = None
    images: list[str] | None = None
    context: list[int] | None = None


class EmbedRequest(Request):
    """``POST /api/embed``."""

    input: str | list[str] | None = None
    dimensions: int | None = None


class EmbeddingsRequest(Request):
    """``POST /api/embeddings``, the older form for one text."""

    prompt: str | None = None


# --- answers ------------------------------------------------------------------------------------------


class GivenFunction(msgspec.Struct):
    """A call's function, the ``index``-th of an answer."""

    index: int
    name: str
    arguments: Raw


class Given(msgspec.Struct):
    """A call in an answer."""

    id: str
    function: GivenFunction


class Said(msgspec.Struct):
    """The message of an answer, or a piece of it."""

    role: str
    content: str
    thinking: str | UnsetType = UNSET
    tool_calls: list[Given] | UnsetType = UNSET


class Metrics(msgspec.Struct):
    """What an answer took: nanoseconds and tokens, those of the prompt with what came from a cache."""

    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0


class Told(msgspec.Struct):
    """A line of a stream, or, with ``done``, its end or a whole answer: with a message, or with a response."""

    model: str
    created_at: str
    message: Said | UnsetType = UNSET
    response: str | UnsetType = UNSET
    thinking: str | UnsetType = UNSET
    done: bool = False
    done_reason: str | UnsetType = UNSET
    logprobs: list[Raw] | UnsetType = UNSET
    context: list[int] | UnsetType = UNSET
    total_duration: int | UnsetType = UNSET
    load_duration: int | UnsetType = UNSET
    prompt_eval_count: int | UnsetType = UNSET
    prompt_eval_duration: int | UnsetType = UNSET
    eval_count: int | UnsetType = UNSET
    eval_duration: int | UnsetType = UNSET


class Embedded(msgspec.Struct):
    """The answer of ``/api/embed``."""

    model: str
    embeddings: list[Raw]
    total_duration: int
    load_duration: int
    prompt_eval_count: int


class Embedding(msgspec.Struct):
    """The answer of ``/api/embeddings``."""

    embedding: Raw


class Problem(msgspec.Struct, omit_defaults=True):
    """The body of an error, or the last line of a stream that ends with one; clients read ``error`` alone."""

    error: str
    code: str = ""
    source: str = ""
    hint: str = ""
    cause: str = ""
    evidence: str = ""
