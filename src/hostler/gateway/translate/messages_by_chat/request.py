"""A messages request of Anthropic's API as a chat request of OpenAI's.

What the other API has no word for and what only shapes the answer a little (`top_k`, `cache_control`, `metadata`) is
left out, and so are tools that run on Anthropic's own servers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import Raw

from hostler.errors import InvalidRequest
from hostler.gateway.translate.messages_by_chat import shapes as s

#: These models refuse `max_tokens`; most other servers know no other name for it.
_NEWER_LIMIT: Final = re.compile(r"(?:.*/)?(?:o\d|gpt-[5-9])")
_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}
_EFFORTS: Final = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
#: Tokens of thoughts up to which an effort is low, or medium.
_LOW, _MEDIUM = 4096, 16384

_decoder = msgspec.json.Decoder(s.Asked)


def asked(body: bytes) -> s.Asked:
    """``body`` read. Raises InvalidRequest."""
    try:
        return _decoder.decode(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The body is not what this endpoint takes: {error}.") from None


def as_chat(request: s.Asked, model: str) -> s.ChatRequest:
    """The same for ``model``. Raises InvalidRequest for what cannot be said."""
    tools = [_offer(tool) for tool in request.tools or () if isinstance(tool.input_schema, Raw)]
    made = s.ChatRequest(
        model=model,
        messages=_conversation(request),
        stream=request.stream or False,
        stream_options=s.StreamOptions() if request.stream else None,
        stop=request.stop_sequences or None,
        temperature=request.temperature,
        top_p=request.top_p,
        tools=tools or None,
        reasoning_effort=_effort(request),
        response_format=None if request.schema is None else s.ResponseFormat(s.Schema(request.schema)),
    )
    if _NEWER_LIMIT.match(model):
        made.max_completion_tokens = request.max_tokens
    else:
        made.max_tokens = request.max_tokens
    if tools and request.tool_choice is not None:
        made.tool_choice = _choice(request.tool_choice)
        made.parallel_tool_calls = False if request.tool_choice.disable_parallel_tool_use else None
    return made


def _offer(tool: s.Tool) -> s.Offer:
    assert isinstance(tool.input_schema, Raw)
    return s.Offer(s.Function(tool.name, tool.input_schema, tool.description))


def _choice(wish: s.Choice) -> str | s.Forced:
    return s.Forced(s.Named(wish.name or "")) if wish.type == "tool" else _CHOICES.get(wish.type, "auto")


def _effort(request: s.Asked) -> str | None:
    """As the client says it; else by the tokens that it has for thoughts."""
    thinking, output = request.thinking, request.output_config
    if thinking is not None and thinking.type == "disabled":
        return None
    if output is not None and output.effort is not None:
        return _EFFORTS.get(output.effort)
    if thinking is None or thinking.type != "enabled":
        return None
    budget = thinking.budget_tokens or 0
    return "low" if budget <= _LOW else "medium" if budget <= _MEDIUM else "high"


# --- what was said ------------------------------------------------------------------------------------


def _conversation(request: s.Asked) -> list[s.Message]:
    """What the system says before the first turn is its message. What it says later stands where it was said, on the
    user's side: most chat templates take a system message in the first place only, and a moved one would change the
    beginning of the prompt with every turn."""
    said = _text(_pieces(request.system or ""))
    turns = list(request.messages)
    while turns and turns[0].role == "system":
        said = [*said, *_text(_pieces(turns.pop(0).content))]
    messages = [s.Message("system", "\n".join(said))] if said else []
    under_way = _last_word(turns)
    for number, turn in enumerate(turns):
        pieces = _pieces(turn.content)
        if turn.role == "assistant":
            messages.append(_assistant(pieces, thinks=number > under_way))
        elif turn.role in ("user", "system"):
            _add_user(messages, pieces)
        else:
            raise InvalidRequest(f"A message's role is {turn.role[:40]!r}.", hint="Send user or assistant.")
    return messages


def _pieces(content: str | list[s.Piece]) -> list[s.Piece]:
    return [s.Piece(text=content)] if isinstance(content, str) else content


def _text(pieces: Iterable[s.Piece]) -> list[str]:
    return [piece.text for piece in pieces if piece.type == "text" and piece.text.strip()]


def _last_word(turns: Sequence[s.Turn]) -> int:
    """The last turn in which the user said something; behind it are the calls of the answer that is under way."""
    spoken = (
        number for number in range(len(turns) - 1, -1, -1)
        if turns[number].role == "user" and any(piece.type != "tool_result" for piece in _pieces(turns[number].content))
    )  # fmt: skip
    return next(spoken, -1)


def _assistant(pieces: Sequence[s.Piece], *, thinks: bool) -> s.Message:
    """Thoughts go back only within one answer: models read them between calls, and some servers refuse older ones.
    What else is not text or a call (searches and code that ran on other servers) has no word here."""
    thoughts = [piece.thinking for piece in pieces if piece.type == "thinking" and piece.thinking] if thinks else []
    calls = [
        s.Call(piece.id, s.Called(piece.name, bytes(piece.input).decode()))
        for piece in pieces
        if piece.type == "tool_use"
    ]
    said = "\n".join(_text(pieces))
    return s.Message(
        "assistant",
        said if said or not calls else None,
        reasoning_content="\n".join(thoughts) or None,
        tool_calls=calls or None,
    )


def _add_user(messages: list[s.Message], pieces: Iterable[s.Piece]) -> None:
    """Results of calls are messages of their own, and come first; the rest joins what the user said just before."""
    parts: list[s.Part] = []
    for piece in pieces:
        if piece.type != "tool_result":
            parts += _part(piece)
            continue
        inner = [] if isinstance(piece.content, s.Other) else _pieces(piece.content or "")
        messages.append(s.Message("tool", "\n".join(_text(inner)), tool_call_id=piece.tool_use_id))
        parts += [part for each in inner if each.type != "text" for part in _part(each)]
    if not parts:
        return
    if messages and messages[-1].role == "user":
        parts = _parts(messages.pop().content) + parts
    plain = all(part.type == "text" for part in parts)
    messages.append(s.Message("user", "\n".join(part.text or "" for part in parts) if plain else parts))


def _parts(content: str | list[s.Part] | None) -> list[s.Part]:
    return [s.Part("text", content)] if isinstance(content, str) else content or []


def _part(piece: s.Piece) -> list[s.Part]:
    """Nothing for empty text."""
    source = piece.source
    if piece.type == "text":
        return [s.Part("text", piece.text)] if piece.text.strip() else []
    if piece.type == "image" and source is not None and source.type in ("base64", "url"):
        return [s.Part("image_url", image_url=s.Link(source.url or inline(source)))]
    if piece.type == "document" and source is not None and source.type == "text":
        return [s.Part("text", source.data)]
    if piece.type == "document" and source is not None and source.type == "base64":
        return [s.Part("file", file=s.File(piece.title or "document.pdf", inline(source)))]
    raise InvalidRequest(
        f"A block of a message is {piece.type[:40]!r}, which this model does not take in this form.",
        hint="Send text, images, and documents with their data.",
    )


def inline(source: s.Source) -> str:
    """An image or a document as an address."""
    return f"data:{source.media_type};base64,{source.data}"
