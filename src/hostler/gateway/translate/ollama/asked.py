"""Requests of Ollama's API, read, and as the engine's API takes them. Which path of it takes one depends on what is
asked: a prompt is a chat with a model for chats, a text to go on from with another or with `raw`, an infill with a
`suffix`."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from hostler.errors import InvalidRequest
from hostler.gateway.translate.ollama import shapes as o
from hostler.gateway.translate.ollama.chat import content_of, messages_of, reasoning, tools_of
from hostler.gateway.translate.ollama.memory import Turn, unpacked
from hostler.gateway.translate.ollama.options import (
    Fields,
    context_wanted,
    left_out,
    response_format,
    sampling,
    schema_of,
    stay_of,
)
from hostler.gateway.translate.ollama.template import rendered

Kind = Literal["chat", "generate", "embed", "embeddings"]
Target = Literal["chat", "completions", "infill", "embeddings"]
AnyRequest = o.ChatRequest | o.GenerateRequest | o.EmbedRequest | o.EmbeddingsRequest

_DECODERS: Final[dict[Kind, msgspec.json.Decoder[AnyRequest]]] = {
    "chat": msgspec.json.Decoder(o.ChatRequest),
    "generate": msgspec.json.Decoder(o.GenerateRequest),
    "embed": msgspec.json.Decoder(o.EmbedRequest),
    "embeddings": msgspec.json.Decoder(o.EmbeddingsRequest),
}


class Wishes(msgspec.Struct, frozen=True):
    """What is asked of the gateway, not of the model. ``empty``: nothing is to be answered, only loaded, or unloaded.

    ``stay_s`` is how long the model shall stay when idle, infinity for ever, None where that is not said; ``context``
    the tokens it shall have room for, 0 likewise; ``loading`` are options that say how to load it. ``thinks``: it has
    to be able to.
    """

    model: str | None
    stream: bool
    empty: bool
    stay_s: float | None
    context: int
    loading: tuple[str, ...]
    thinks: bool

    @property
    def unloads(self) -> bool:
        """Whether it is only there to have the model leave."""
        return self.empty and self.stay_s == 0


class Asking(msgspec.Struct, frozen=True):
    """A request for the engine: which of its paths takes it, and the body. ``turns`` is the conversation of a prompt so
    far, None where none is kept."""

    target: Target
    body: bytes
    turns: list[Turn] | None = None


def read(kind: Kind, body: bytes) -> AnyRequest:
    """``body`` read. Raises InvalidRequest that says what is wrong."""
    if not body.strip():
        raise InvalidRequest("missing request body", hint="")
    try:
        if not body.isascii():
            body.decode()  # what is kept as it came is not looked at by the decoder
        return _DECODERS[kind].decode(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"The body is not what this endpoint takes: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The body is not JSON: {error}.") from None
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.") from None


def wishes_of(request: AnyRequest) -> Wishes:
    """What is asked of the gateway. Raises InvalidRequest."""
    text = request if isinstance(request, o.ChatRequest | o.GenerateRequest) else None
    return Wishes(
        model=request.model or None,
        stream=text is not None and text.stream is not False,
        empty=_is_empty(request),
        stay_s=stay_of(request.keep_alive),
        context=context_wanted(request.options),
        loading=left_out(request.options),
        thinks=text is not None and text.think not in (None, False, ""),
    )


def _is_empty(request: AnyRequest) -> bool:
    match request:
        case o.ChatRequest():
            return not request.messages
        case o.EmbedRequest():
            return not request.input
        case o.GenerateRequest():
            return not request.prompt and not request.images and not request.suffix
    return not request.prompt


def asked(request: AnyRequest, *, chats: bool) -> Asking:
    """``request`` for the engine; ``chats``: its model is for chats. Raises InvalidRequest."""
    match request:
        case o.ChatRequest():
            return Asking("chat", _chat(request, messages_of(request.messages or ()), request.tools))
        case o.EmbedRequest():
            return Asking("embeddings", _embeddings(request, request.input, request.dimensions))
        case o.EmbeddingsRequest():
            return Asking("embeddings", _embeddings(request, request.prompt, None))
    if request.suffix:
        return Asking("infill", _infill(request))
    if request.raw or request.template or not chats:
        return Asking("completions", _completion(request))
    turns = _turns(request)
    said: list[Fields] = [{"role": role, "content": text} for role, text in turns]
    said[-1]["content"] = content_of(turns[-1][1], request.images)
    return Asking("chat", _chat(request, said, None), turns)


def _turns(request: o.GenerateRequest) -> list[Turn]:
    before = unpacked(request.context or ())
    if request.system:
        before = [("system", request.system), *(turn for turn in before if turn[0] != "system")]
    return [*before, ("user", request.prompt or "")]


def _chat(request: o.Generated, messages: list[Fields], tools: list[dict[str, msgspec.Raw]] | None) -> bytes:
    fields = _common(request) | {"messages": messages}
    fields |= sampling(request.options, "max_tokens") | response_format(schema_of(request.format))
    fields |= reasoning(request.think or None if isinstance(request.think, str) else request.think)
    if tools:
        fields["tools"] = tools_of(tools)
    if request.logprobs:
        fields |= {"logprobs": True, "top_logprobs": request.top_logprobs or 0}
    return msgspec.json.encode(fields)


def _common(request: o.Generated) -> Fields:
    top = request.top_logprobs or 0
    if not 0 <= top <= 20:
        raise InvalidRequest("top_logprobs must be between 0 and 20", hint="")
    fields: Fields = {"model": request.model} if request.model else {}
    if request.stream is False:
        return fields
    return fields | {"stream": True, "stream_options": {"include_usage": True}}


def _completion(request: o.GenerateRequest) -> bytes:
    if request.raw and (request.template or request.system or request.context):
        raise InvalidRequest("raw mode does not support template, system, or context", hint="")
    if request.images:
        raise InvalidRequest("Images go with a prompt that the model's own template is for, not with a raw one.")
    prompt = request.prompt or ""
    if request.template:
        prompt = rendered(request.template, {"System": request.system or "", "Prompt": prompt, "Suffix": ""})
    fields = _common(request) | {"prompt": prompt} | sampling(request.options, "max_tokens")
    return msgspec.json.encode(fields | _native_schema(request))


def _infill(request: o.GenerateRequest) -> bytes:
    fields = _common(request) | {"input_prefix": request.prompt or "", "input_suffix": request.suffix, "prompt": ""}
    fields.pop("stream_options", None)
    return msgspec.json.encode(fields | sampling(request.options, "n_predict") | _native_schema(request))


def _native_schema(request: o.GenerateRequest) -> Fields:
    schema = schema_of(request.format)
    return {} if schema is None else {"json_schema": schema}


def _embeddings(request: o.Request, texts: str | list[str] | None, dimensions: int | None) -> bytes:
    if dimensions is not None and dimensions < 0:
        raise InvalidRequest("dimensions must not be negative", hint="")
    fields: Fields = {"model": request.model} if request.model else {}
    fields |= {"input": texts, "encoding_format": "float"} | ({"dimensions": dimensions} if dimensions else {})
    return msgspec.json.encode(fields)
