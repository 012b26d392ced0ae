"""A chat request of OpenAI's API as a messages request of Anthropic's.

What the other API has no word for and what only shapes the answer a little (`seed`, penalties, `logit_bias`) is left
out, as it is by every server that does not know it; what would make the answer another one is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from hostler.errors import InvalidRequest
from hostler.gateway.translate.chat_by_messages import chat
from hostler.gateway.translate.chat_by_messages import messages as m

#: The other API wants a bound on every answer, thoughts included.
LONGEST_ANSWER: Final = 8192
LONGEST_THOUGHT: Final = 24576

_NO_SCHEMA: Final = Raw(b'{"type":"object","properties":{}}')
_NO_INPUT: Final = Raw(b"{}")
_EFFORTS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
#: The models that know of efforts think as much as they find right; without `display` some keep it to themselves.
_THINK: Final = Raw(b'{"type":"adaptive","display":"summarized"}')
_CHOICES: Final[dict[str, Literal["auto", "any", "none"]]] = {"auto": "auto", "required": "any", "none": "none"}
_ONLY_JSON: Final = "Answer with one JSON object and nothing else."
_NOT_IN_IDS: Final = re.compile(r"[^a-zA-Z0-9_-]")
_INLINE: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w.+-]+=[^;,]*)*;base64,(.*)", re.DOTALL)

_decoder = msgspec.json.Decoder(chat.ChatRequest)
_is_object = msgspec.json.Decoder(dict[str, Raw])


def asked(body: bytes) -> chat.ChatRequest:
    """``body`` read. Raises InvalidRequest."""
    try:
        return _decoder.decode(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The body is not what this endpoint takes: {error}.") from None


def as_messages(request: chat.ChatRequest, model: str) -> m.MessagesRequest:
    """The same for ``model``. Raises InvalidRequest for what cannot be said."""
    if request.n not in (None, 1):
        raise InvalidRequest("This model gives one answer at a time.", hint="Send `n` as 1, or leave it out.")
    system, turns = _said(request.messages)
    thinking, effort = _thinking(request)
    form = request.response_format
    if form is not None and form.type == "json_object":
        system.append(m.Text(_ONLY_JSON))
    fields = m.MessagesRequest(
        model=model,
        max_tokens=request.max_completion_tokens or request.max_tokens or LONGEST_ANSWER + _thoughts(thinking),
        messages=turns,
        system=system,
        stream=request.stream is True,
        stop_sequences=[request.stop] if isinstance(request.stop, str) else request.stop or [],
        tools=[_tool(tool.function) for tool in request.tools or () if tool.function is not None],
        thinking=thinking,
        output_config=_output(form, effort),
        cache_control=request.cache_control,
        metadata=None if request.user is None else m.Metadata(request.user),
    )
    fields.tool_choice = _tool_choice(request) if fields.tools else None
    if isinstance(thinking, UnsetType):
        _sample(request, fields)
    return fields


def _sample(request: chat.ChatRequest, fields: m.MessagesRequest) -> None:
    """Its scale of temperatures ends at 1, and it takes one of temperature and `top_p`; none when it thinks."""
    if request.temperature is not None:
        fields.temperature = min(request.temperature, 1.0)
    else:
        fields.top_p = request.top_p
    fields.top_k = request.top_k or None


def _thinking(request: chat.ChatRequest) -> tuple[Raw | UnsetType, str | None]:
    """What the client says in the other API's own words, else by its effort; a forced call leaves no room for it."""
    effort = _EFFORTS.get(request.reasoning_effort or "")
    if isinstance(request.thinking, Raw) and bytes(request.thinking) != b"null":
        return request.thinking, effort
    forced = request.tool_choice == "required" or isinstance(request.tool_choice, chat.Chosen)
    return (_THINK, effort) if effort is not None and not forced else (UNSET, None)


class _Budget(msgspec.Struct):
    type: str = ""
    budget_tokens: int = 0


_budget = msgspec.json.Decoder(_Budget)


def _thoughts(thinking: Raw | UnsetType) -> int:
    """Tokens that thinking may take: as many as the client says, else as a rule."""
    if isinstance(thinking, UnsetType):
        return 0
    try:
        said = _budget.decode(thinking)
    except (ValueError, RecursionError):
        return 0
    return said.budget_tokens or (LONGEST_THOUGHT if said.type == "adaptive" else 0)


def _output(form: chat.Format | None, effort: str | None) -> m.Output | None:
    schema = form.json_schema.schema if form is not None and form.json_schema is not None else UNSET
    if isinstance(schema, UnsetType) and effort is None:
        return None
    return m.Output(effort=effort, format=None if isinstance(schema, UnsetType) else m.Format(schema))


# --- tools --------------------------------------------------------------------------------------------


def _tool(function: chat.Function) -> m.Tool:
    given = function.parameters
    known = isinstance(given, Raw) and b'"type"' in bytes(given)
    schema = given if isinstance(given, Raw) and known else _NO_SCHEMA
    return m.Tool(name=function.name, input_schema=schema, description=function.description)


def _tool_choice(request: chat.ChatRequest) -> m.Choice | None:
    wish, alone = request.tool_choice, request.parallel_tool_calls is False
    if isinstance(wish, chat.Chosen) and wish.function is not None:
        return m.Choice("tool", name=wish.function.name, disable_parallel_tool_use=alone)
    kind = _CHOICES.get(wish) if isinstance(wish, str) else None
    if kind is None and alone:
        kind = "auto"
    return None if kind is None else m.Choice(kind, disable_parallel_tool_use=alone and kind != "none")


# --- what was said ------------------------------------------------------------------------------------


def _said(conversation: Iterable[chat.Message]) -> tuple[list[m.Text], list[m.Turn]]:
    """What the system said, wherever it did, and the turns of the two sides: those in a row as one."""
    system: list[m.Text] = []
    turns: list[m.Turn] = []
    for message in conversation:
        if message.role in ("system", "developer"):
            system += [block for block in _blocks(message.content) if isinstance(block, m.Text)]
        else:
            _add(turns, message)
    if turns and turns[-1].role == "assistant" and isinstance(last := turns[-1].content[-1], m.Text):
        last.text = last.text.rstrip()  # it goes on from there, and refuses to from white space
    return system, turns


def _add(turns: list[m.Turn], message: chat.Message) -> None:
    role: Literal["user", "assistant"] = "assistant" if message.role == "assistant" else "user"
    blocks = _of_message(message)
    if turns and turns[-1].role == role:
        turns[-1].content += blocks
    elif blocks:
        turns.append(m.Turn(role, blocks))


def _of_message(message: chat.Message) -> list[m.Block]:
    if message.role in ("tool", "function"):
        content = [block for block in _blocks(message.content) if not isinstance(block, m.ToolUse | m.ToolResult)]
        return [m.ToolResult(_id(message.tool_call_id or ""), content)]
    if message.role in ("user", "assistant"):
        return [*_blocks(message.content), *(_call(call) for call in message.tool_calls or ())]
    raise InvalidRequest(f"A message's role is {message.role[:40]!r}.", hint="Send system, user, assistant or tool.")


def _call(call: chat.Call) -> m.ToolUse:
    return m.ToolUse(_id(call.id), call.function.name, _input(call.function.arguments))


def _input(arguments: str | None) -> Raw:
    """Arguments as an object; what a model wrote wrongly stands in one, so that the conversation can go on."""
    if not arguments or not arguments.strip():
        return _NO_INPUT
    try:
        _is_object.decode(arguments)
    except (ValueError, RecursionError):
        return Raw(msgspec.json.encode({"arguments": arguments}))
    return Raw(arguments.encode())


def _id(given: str) -> str:
    """Its ids have letters, digits, `_` and `-`; the same id stays the same."""
    return _NOT_IN_IDS.sub("_", given) or "call"


def _blocks(content: str | list[chat.Part] | None) -> list[m.Block]:
    if content is None or isinstance(content, str):
        return [m.Text(content)] if content and content.strip() else []
    return [block for part in content if (block := _block(part)) is not None]


def _block(part: chat.Part) -> m.Block | None:
    text = part.text if part.text is not None else part.refusal
    if text is not None:
        return m.Text(text, part.cache_control) if text.strip() else None
    if part.image_url is not None:
        link = part.image_url
        return m.Image(_source(link if isinstance(link, str) else link.url, "image"))
    if part.file is not None and part.file.file_data is not None:
        return m.Document(_source(part.file.file_data, "file"), part.file.filename)
    raise InvalidRequest(
        f"A part of a message is {part.type[:40]!r}, which this model does not take.",
        hint="Send text, images and files with their data.",
    )


def _source(address: str, what: str) -> m.Source:
    inline = _INLINE.fullmatch(address)
    if inline is not None:
        return m.Source("base64", media_type=inline[1], data=inline[2])
    if address.startswith(("https://", "http://")):
        return m.Source("url", url=address)
    raise InvalidRequest(
        f"The address of an {what} is neither `data:TYPE;base64,...` nor a link."
        if what == "image"
        else "The data of a file is not `data:TYPE;base64,...`."
    )
