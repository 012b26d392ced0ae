"""A messages request of Anthropic's API as the chat request that llama.cpp's server makes of it.

Its own `/v1/messages` takes no schema. What stands before the answer has to be the same with a schema and without,
token for token, so that its cache goes on from one to the other and counts are right. So this follows its converter,
oddities included (`server_chat_convert_anthropic_to_oai` of its server); what that leaves out is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Raw

from hostler.gateway.translate.messages_by_chat import shapes as s
from hostler.gateway.translate.messages_by_chat.request import inline

#: Its converter's own figure, for clients that do not say.
_THOUGHTS: Final = 10_000
_CHOICES: Final = {"auto": "auto", "any": "required", "tool": "required"}


def as_chat(request: s.Asked) -> s.ChatRequest:
    """The same, with the schema."""
    thinking, choice, schema = request.thinking, request.tool_choice, request.schema
    return s.ChatRequest(
        model=request.model,
        messages=_conversation(request),
        max_tokens=request.max_tokens,
        stream=request.stream or False,
        stream_options=s.StreamOptions() if request.stream else None,
        stop=request.stop_sequences,
        temperature=request.temperature,
        top_p=request.top_p,
        tools=None if request.tools is None else [_offer(tool) for tool in request.tools],
        tool_choice=None if choice is None else _CHOICES.get(choice.type),
        response_format=None if schema is None else s.ResponseFormat(s.Schema(schema)),
        top_k=request.top_k,
        chat_template_kwargs=request.chat_template_kwargs,
        thinking_budget_tokens=_budget(thinking) if thinking is not None else None,
        return_progress=request.stream or False,
        verbose=bool(request.stop_sequences),  # else it does not say which of them ended its answer
    )


def _budget(thinking: s.Thinking) -> int | None:
    return (thinking.budget_tokens or _THOUGHTS) if thinking.type == "enabled" else None


def _offer(tool: s.Tool) -> s.Offer:
    schema = tool.input_schema
    return s.Offer(s.Function(tool.name, schema if isinstance(schema, Raw) else Raw(b"{}"), tool.description or ""))


def _conversation(request: s.Asked) -> list[s.Message]:
    messages = [] if request.system is None else [s.Message("system", _system(request.system))]
    for turn in request.messages:
        messages += [s.Message(turn.role, turn.content)] if isinstance(turn.content, str) else _blocks(turn)
    return messages


def _system(said: str | list[s.Piece]) -> str:
    return said if isinstance(said, str) else _text(said)


def _text(pieces: Iterable[s.Piece]) -> str:
    return "".join(piece.text for piece in pieces if piece.type == "text")


def _blocks(turn: s.Turn) -> list[s.Message]:
    """A turn of blocks: what was said, then the results of calls, each of which is a message."""
    pieces = turn.content if isinstance(turn.content, list) else []
    said = [part for piece in pieces for part in _part(piece)]
    calls = [_call(piece) for piece in pieces if piece.type == "tool_use"]
    thoughts = "".join(piece.thinking for piece in pieces if piece.type == "thinking")
    results = [_result(piece) for piece in pieces if piece.type == "tool_result"]
    if not (said or calls or thoughts):
        return results
    return [s.Message(turn.role, said or "", thoughts or None, calls or None), *results]


def _part(piece: s.Piece) -> list[s.Part]:
    source = piece.source
    if piece.type == "text":
        return [s.Part("text", piece.text)]
    if piece.type == "image" and source is not None and source.type in ("base64", "url"):
        return [s.Part("image_url", image_url=s.Link(source.url if source.type == "url" else inline(source)))]
    return []


def _call(piece: s.Piece) -> s.Call:
    return s.Call(piece.id, s.Called(piece.name, _compact(piece.input)))


def _compact(arguments: Raw) -> str:
    try:
        return msgspec.json.encode(msgspec.json.decode(arguments)).decode()
    except msgspec.MsgspecError:  # a number out of all range
        return bytes(arguments).decode()


def _result(piece: s.Piece) -> s.Message:
    inner = "" if isinstance(piece.content, s.Other) else piece.content or ""
    if isinstance(inner, list):
        parts = [part for each in inner for part in _part(each)]
        pictured = any(each.type == "image" for each in inner)
        return s.Message("tool", parts if pictured else _text(inner), tool_call_id=piece.tool_use_id)
    return s.Message("tool", inner, tool_call_id=piece.tool_use_id)
