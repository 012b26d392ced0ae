"""`/v1/responses`, and its `/input_tokens`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import UNSET, Raw, UnsetType

from hostler.gateway.asking.checks.kinds import (
    Amount,
    Any,
    Checked,
    Flag,
    Limit,
    Picture,
    Share,
    Text,
    Thing,
    TopCount,
    invalid,
    missing,
)
from hostler.gateway.asking.peek import Absent


class Part(msgspec.Struct, gc=False):
    type: str
    text: Text = UNSET
    image_url: Raw | UnsetType = UNSET


class Item(msgspec.Struct, gc=False):
    type: Text = UNSET
    role: Text = UNSET
    content: str | list[Part] | UnsetType | None = UNSET
    name: Text = UNSET
    call_id: Text = UNSET
    arguments: Text = UNSET
    output: Raw | UnsetType = UNSET


class Tool(msgspec.Struct, gc=False):
    type: Text = UNSET
    name: Text = UNSET
    parameters: Any = UNSET


class Format(msgspec.Struct, gc=False):
    type: str
    name: Text = UNSET
    schema: Any = UNSET
    strict: Flag = UNSET


class Texts(msgspec.Struct, gc=False):
    format: Format | UnsetType | None = UNSET


class Reasoning(msgspec.Struct, gc=False):
    effort: Text = UNSET
    summary: Text = UNSET


class Response(Checked, kw_only=True, gc=False):
    input: str | list[Item] | UnsetType = UNSET
    instructions: Text = UNSET
    tools: list[Tool] | UnsetType | None = UNSET
    tool_choice: str | Thing | UnsetType | None = UNSET
    parallel_tool_calls: Flag = UNSET
    text: Texts | UnsetType | None = UNSET
    reasoning: Reasoning | UnsetType | None = UNSET
    reasoning_effort: Absent = UNSET
    thinking: Absent = UNSET
    max_output_tokens: Limit = UNSET
    max_tokens: Limit = UNSET
    temperature: Amount = UNSET
    top_p: Share = UNSET
    top_logprobs: TopCount = UNSET
    previous_response_id: Text = UNSET
    conversation: str | Thing | UnsetType | None = UNSET
    background: Flag = UNSET

    def check(self) -> None:
        if self.input is UNSET:
            raise missing("input")
        for name in ("previous_response_id", "conversation", "background"):
            if getattr(self, name):
                raise invalid(
                    name,
                    f"`{name}` cannot be served: no answer is kept here.",
                    hint="Send the whole conversation in `input`.",
                )
        for number, tool in enumerate(self.tools or ()):
            if tool.type == "function" and not tool.name:
                raise invalid(f"tools[{number}].name", f"`tools[{number}].name` is missing.")
        if self.text and isinstance(self.text.format, Format):
            _check_format(self.text.format)

    def pictures(self) -> Iterable[Picture]:
        for number, item in enumerate(self.input if isinstance(self.input, list) else ()):
            for at, part in enumerate(item.content if isinstance(item.content, list) else ()):
                if part.type == "input_image":
                    url = part.image_url
                    yield Picture(f"input[{number}].content[{at}]", bytes(url) if isinstance(url, Raw) else b"")
            if isinstance(item.output, Raw):
                yield from _given(item.output, f"input[{number}].output")


class _Given(msgspec.Struct, gc=False):
    image_url: Raw | UnsetType = UNSET


_list = msgspec.json.Decoder(list[Raw] | Thing | str | float | bool | None).decode
_part = msgspec.json.Decoder(_Given | list[Raw] | str | float | bool | None).decode


def _given(output: Raw, path: str) -> Iterator[Picture]:
    """Pictures that a tool gave: in what is a list for some tools, and anything for others."""
    parts = _list(output)
    for at, each in enumerate(parts if isinstance(parts, list) else ()):
        part = _part(each)
        if isinstance(part, _Given) and isinstance(part.image_url, Raw):
            yield Picture(f"{path}[{at}]", bytes(part.image_url))


def _check_format(wanted: Format) -> None:
    if wanted.type not in ("text", "json_object", "json_schema"):
        raise invalid("text.format.type", "`text.format.type` has to be `text`, `json_object` or `json_schema`.")
    if wanted.type == "json_schema" and not isinstance(wanted.schema, Thing):
        raise invalid("text.format.schema", "`text.format.schema` is missing.")
