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

    def pictures(self) -> Iterable[Picture]:
        for number, turn in enumerate(self.messages or ()):
            yield from _seen(turn.content, f"messages[{number}].content")


class Answered(Messages, kw_only=True, gc=False):
    """One that is to be answered: the API wants to know how long the answer may be."""

    def check(self) -> None:
        super().check()
        if self.max_tokens is UNSET or self.max_tokens is None:
            raise missing("max_tokens")


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
