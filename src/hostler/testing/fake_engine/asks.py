"""From a request's JSON to what is to be generated, in every API; and what the real one refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from hostler.testing.fake_engine import shapes
from hostler.testing.fake_engine.dialects import Chat, Completions, Dialect, Native, ToolCall, Wish
from hostler.testing.fake_engine.flags import Options
from hostler.testing.fake_engine.generation import Plan
from hostler.testing.fake_engine.messages import Messages, Responses
from hostler.testing.fake_engine.shapes import Json
from hostler.testing.fake_engine.slots import Token
from hostler.testing.fake_engine.switches import Switches


class Refused(Exception):
    """An answer with a status other than 200."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


def refuse(message: str) -> Refused:
    """A 400."""
    return Refused(400, shapes.invalid(message))


def read_json(body: bytes) -> Json:
    """The request's object; raises Refused in the words of the real one's parser."""
    prefix = "[json.exception.parse_error.101] parse error at line 1, column"
    if not body:
        raise refuse(
            f"{prefix} 1: attempting to parse an empty input; "
            "check that your input string or stream contains the expected JSON"
        )
    try:
        value = json.loads(body)
    except ValueError as error:
        column = getattr(error, "colno", 1)
        raise refuse(f"{prefix} {column}: syntax error while parsing value - invalid literal") from error
    if not isinstance(value, dict):
        raise refuse("[json.exception.type_error.304] cannot use at() with array")
    return value


def mapping(value: object) -> Mapping[str, object]:
    """``value`` when it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> Sequence[object]:
    """``value`` when it is an array, else an empty one."""
    return value if isinstance(value, list) else ()


def text_of(content: object) -> str:
    """The text of a message's content, which is a string or an array of parts."""
    if isinstance(content, str):
        return content
    parts = (mapping(part) for part in sequence(content))
    return " ".join(str(part["text"]) for part in parts if "text" in part)


def tokenize(text: str) -> list[Token]:
    """One token per word: enough for counting, and prefixes stay prefixes."""
    return list(re.findall(r"\s*\S+", text))


def render(body: Mapping[str, object], key: str) -> str:
    """The prompt of a chat, the way a template makes it; raises Refused."""
    messages = body.get(key)
    if messages is None:
        raise refuse(f"'{key}' is required")
    if key == "input" and isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if not isinstance(messages, list):
        raise refuse(f"Expected '{key}' to be an array")
    lines = [f"system: {text_of(body[name])}" for name in ("system", "instructions") if name in body]
    for message in map(mapping, messages):
        lines.append(f"<|im_start|>{message.get('role', 'user')}\n{text_of(message.get('content'))}<|im_end|>")
    return "\n".join([*lines, "<|im_start|>assistant\n"])


def _example(schema: Mapping[str, object]) -> object:
    """A value that a JSON schema accepts, as simple as can be."""
    options = sequence(schema.get("enum"))
    if options:
        return options[0]
    properties = mapping(schema.get("properties"))
    required = [str(name) for name in sequence(schema.get("required"))] or list(properties)
    simple: Json = {"integer": 1, "number": 1.5, "boolean": True, "array": [], "null": None}
    if schema.get("type") == "object":
        return {name: _example(mapping(properties.get(name))) for name in required}
    return simple.get(str(schema.get("type")), "sea")


def shaped(body: Mapping[str, object]) -> str:
    """The answer where the request has a schema for it; empty: it has none."""
    wanted = mapping(mapping(body.get("response_format")).get("json_schema"))
    schema = mapping(wanted.get("schema") or body.get("json_schema"))
    return json.dumps(_example(schema)) if schema else ""


def scripted_call(body: Mapping[str, object], always: bool) -> ToolCall | None:
    """The call to make: when the choice is forced (or ``always``), of the named tool, else of the first."""
    choice = body.get("tool_choice", "auto")
    forced = mapping(choice)
    named = str(mapping(forced.get("function")).get("name") or forced.get("name") or "")
    wanted = bool(named) or always or choice in ("required", "any") or forced.get("type") in ("any", "required")
    if choice == "none" or not wanted:
        return None
    for tool in _offered(body):
        if "name" in tool and named in ("", tool["name"]):
            schema = mapping(tool.get("parameters") or tool.get("input_schema")) or {"type": "object"}
            return ToolCall(str(tool["name"]), json.dumps(_example(schema)))
    return None


def one_call(body: Mapping[str, object], wanted: str) -> ToolCall | None:
    """``NAME:ARGUMENTS`` as the call to make, when that tool is offered and its result is not in the conversation."""
    name, _, arguments = wanted.partition(":")
    turns = [mapping(turn) for turn in sequence(body.get("messages", body.get("input")))]
    if any(map(_is_result, turns)) or not any(name == tool.get("name") for tool in _offered(body)):
        return None
    return ToolCall(name, arguments)


def _is_result(turn: Mapping[str, object]) -> bool:
    parts = [mapping(part) for part in sequence(turn.get("content"))]
    results = {"tool_result", "function_call_output"}
    return turn.get("role") == "tool" or any(part.get("type") in results for part in (turn, *parts))


def _offered(body: Mapping[str, object]) -> list[Mapping[str, object]]:
    tools = [mapping(tool) for tool in sequence(body.get("tools"))]
    return [mapping(tool.get("function")) or tool for tool in tools]


def _number(body: Mapping[str, object], *names: str) -> int:
    for name in names:
        value = body.get(name)
        if isinstance(value, int):
            return value
    return -1


class Asks:
    """Makes plans under one engine's options."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def plan(self, body: Json, prompt: Sequence[Token], call: ToolCall | None, switches: Switches) -> Plan:
        """Raises Refused when the prompt is larger than the slot's context, in the real one's words."""
        context = self._options.slot_context
        if len(prompt) >= context:
            counts = {"n_prompt_tokens": len(prompt), "n_ctx": context}
            text = f"request ({len(prompt)} tokens) exceeds the available context size ({context} tokens)"
            text += ", try increasing it"
            raise Refused(400, shapes.error(400, text, "exceed_context_size_error", **counts))
        pieces = re.findall(r".{1,5}", call.arguments if call else shaped(body))
        asked = _number(body, "max_tokens", "n_predict", "max_completion_tokens", "max_output_tokens")
        natural = len(pieces) or switches.tokens
        if body.get("ignore_eos") and not pieces:
            natural = max(asked, 1) if asked >= 0 else context
        room = context - len(prompt)
        limit = min(room, max(asked, 1)) if asked >= 0 else room
        return Plan(
            prompt=prompt,
            total=min(natural, limit),
            limited=limit <= natural,
            stream=bool(body.get("stream")),
            wanted=_number(body, "id_slot"),
            reuse=body.get("cache_prompt") is not False,
            pieces=pieces,
        )

    def wish(self, body: Json, prompt: str, call: ToolCall | None = None) -> Wish:
        """What the answer is to look like."""
        given = body.get("prompt")
        several = len(given) if isinstance(given, list) and given and isinstance(given[0], str) else 1
        return Wish(
            model=self._options.alias,
            include_usage=bool(mapping(body.get("stream_options")).get("include_usage")),
            choices=max(_number(body, "n"), several),
            call=call,
            prompt=prompt,
            stop=str((sequence(body.get("stop_sequences")) or [""])[0]),
        )

    def chat(self, path: str, body: Json, switches: Switches) -> tuple[Plan, Dialect]:
        """A chat in OpenAI's, Anthropic's or the Responses form."""
        prompt = render(body, "input" if path == "/v1/responses" else "messages")
        call = one_call(body, switches.tool) if switches.tool else scripted_call(body, switches.tool_calls)
        kind = {"/v1/messages": Messages, "/v1/responses": Responses}.get(path, Chat)
        return self.plan(body, tokenize(prompt), call, switches), kind(self.wish(body, prompt, call))

    def completion(self, path: str, body: Json, switches: Switches) -> tuple[Plan, Dialect]:
        """A plain completion; the prompt is text, tokens, or several of either."""
        if "prompt" not in body:
            raise refuse("[json.exception.out_of_range.403] key 'prompt' not found")
        given = body["prompt"]
        prompt = given if isinstance(given, str) else ""
        tokens = tokenize(prompt)
        if isinstance(given, list):
            tokens = [item for item in given if isinstance(item, int)]
            tokens = tokens or tokenize(next((item for item in given if isinstance(item, str)), ""))
        kind = Completions if path.startswith("/v1/") else Native
        return self.plan(body, tokens, None, switches), kind(self.wish(body, prompt))
