"""`/v1/messages`, and its `/count_tokens`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from hostler.gateway.asking.checks.kinds import (
    MOST,
    Amount,
    Any,
    Checked,
    Picture,
    Share,
    Text,
    Thing,
    Whole,
    invalid,
    missing,
)
from hostler.gateway.asking.checks.telling import told
from hostler.gateway.asking.peek import Absent


class Source(msgspec.Struct, gc=False):
    type: Text = UNSET
    url: Raw | UnsetType = UNSET


class Block(msgspec.Struct, gc=False):
    type: str
    text: Text = UNSET
    source: Source | UnsetType | None = UNSET
    content: str | list[Block] | Thing | UnsetType | None = UNSET
    input: Any = UNSET
    name: Text = UNSET
    id: Text = UNSET
    tool_use_id: Text = UNSET
    thinking: Text = UNSET


class Turn(msgspec.Struct, gc=False):
    role: str
    content: str | list[Block]


class Tool(msgspec.Struct, gc=False):
    name: Text = UNSET
    type: Text = UNSET
    description: Text = UNSET
    input_schema: Any = UNSET


class Choice(msgspec.Struct, gc=False):
    type: str
    name: Text = UNSET


class Thinking(msgspec.Struct, gc=False):
    type: str
    budget_tokens: Annotated[int, Meta(ge=1, le=MOST)] | UnsetType | None = UNSET


class Format(msgspec.Struct, gc=False):
    type: Text = UNSET
    schema: Any = UNSET


class Output(msgspec.Struct, gc=False):
    format: Format | None = None


class Formed(msgspec.Struct, gc=False):
    output_config: Output | None
    output_format: Format | None


_formed = msgspec.json.Decoder(Formed).decode


class Messages(Checked, kw_only=True, gc=False):
    messages: list[Turn] | UnsetType = UNSET
    system: str | list[Block] | UnsetType | None = UNSET
    max_tokens: Annotated[int, Meta(ge=1, le=MOST)] | UnsetType | None = UNSET
    temperature: Amount = UNSET
    top_p: Share = UNSET
    top_k: Whole = UNSET
    stop_sequences: list[str] | UnsetType | None = UNSET
    tools: list[Tool] | UnsetType | None = UNSET
    tool_choice: Choice | UnsetType | None = UNSET
    thinking: Thinking | UnsetType | None = UNSET
    reasoning_effort: Absent = UNSET
    reasoning: Absent = UNSET
    metadata: Any = UNSET
    output_format: Absent = UNSET

    @property
    def shaped(self) -> bool:
        """Whether the answer has to follow a schema, as a checked body says it; not one that has to be a call."""
        forced = isinstance(self.tool_choice, Choice) and self.tool_choice.type in ("any", "tool") and self.tools
        return not forced and self._named_format() is not None

    def check(self) -> None:
        if self.messages is UNSET:
            raise missing("messages")
        for number, turn in enumerate(self.messages or ()):
            _check_blocks(turn.content, f"messages[{number}].content")
        _check_blocks(self.system, "system")
        for number, tool in enumerate(self.tools or ()):
            if not tool.name and tool.type in (UNSET, None, "custom"):
                raise invalid(f"tools[{number}].name", f"`tools[{number}].name` is missing.")
        choice = self.tool_choice
        if isinstance(choice, Choice) and choice.type == "tool" and not choice.name:
            raise invalid("tool_choice.name", "`tool_choice.name` is missing.")
        named = self._named_format()
        if named is not None:
            _check_format(*named)
            if self.messages and self.messages[-1].role == "assistant":
                raise invalid(
                    "messages",
                    "The last turn is the assistant's: an answer that follows a schema cannot go on from there.",
                    hint="Leave out that turn, or the schema.",
                )

    def _named_format(self) -> tuple[str, Format] | None:
        """The form that is asked of the answer, and where that stands; raises InvalidRequest."""
        if self.output_config is UNSET and self.output_format is UNSET:
            return None
        texts = (bytes(text) if isinstance(text, Raw) else b"null" for text in (self.output_config, self.output_format))
        try:
            said = _formed(b'{"output_config":%b,"output_format":%b}' % tuple(texts))
        except msgspec.ValidationError as error:
            raise told(error) from None
        if said.output_config is not None and said.output_config.format is not None:
            return "output_config.format", said.output_config.format
        return None if said.output_format is None else ("output_format", said.output_format)

    def pictures(self) -> Iterable[Picture]:
        for number, turn in enumerate(self.messages or ()):
            yield from _seen(turn.content, f"messages[{number}].content")


class Answered(Messages, kw_only=True, gc=False):
    """One that is to be answered: the API wants to know how long the answer may be."""

    def check(self) -> None:
        super().check()
        if self.max_tokens is UNSET or self.max_tokens is None:
            raise missing("max_tokens")


def _check_format(path: str, wanted: Format) -> None:
    if wanted.type != "json_schema":
        raise invalid(f"{path}.type", f"`{path}.type` has to be `json_schema`.")
    if not isinstance(wanted.schema, Thing):
        raise invalid(f"{path}.schema", f"`{path}.schema` is missing.")


def _check_blocks(content: object, path: str) -> None:
    if isinstance(content, list):
        for at, block in enumerate(content):
            if block.type == "text" and block.text.__class__ is not str:
                raise missing(f"{path}[{at}].text")


def _seen(content: object, path: str) -> Iterator[Picture]:
    if not isinstance(content, list):
        return
    for at, block in enumerate(content):
        if block.type == "image":
            url = block.source.url if isinstance(block.source, Source) else UNSET
            yield Picture(f"{path}[{at}]", bytes(url) if isinstance(url, Raw) else b"")
        elif block.type == "tool_result":
            yield from _seen(block.content, f"{path}[{at}].content")
