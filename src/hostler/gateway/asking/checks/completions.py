"""`/v1/completions`, and what of it `/infill` has."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from hostler.gateway.asking.checks.kinds import Flag, Sampled, Text, Token, invalid, missing

#: Of each token; the API has at most 5, llama.cpp as many as there are.
Logprobs = bool | Annotated[int, Meta(ge=0, le=100)] | None | UnsetType


class Worded(msgspec.Struct, gc=False):
    """llama.cpp's own prompt with pictures."""

    prompt_string: str


Prompt = str | list[str | Token | list[str | Token] | Worded] | Worded


class Completion(Sampled, kw_only=True, gc=False):
    prompt: Prompt | UnsetType = UNSET
    logprobs: Logprobs = UNSET
    suffix: Text = UNSET
    echo: Flag = UNSET
    best_of: Annotated[int, Meta(ge=0, le=20)] | UnsetType | None = UNSET

    def check(self) -> None:
        if self.prompt is UNSET:
            raise missing("prompt")
        if self.prompt == []:
            raise invalid("prompt", "`prompt` is empty.")


class Infill(Sampled, kw_only=True, gc=False):
    input_prefix: str | UnsetType = UNSET
    input_suffix: str | UnsetType = UNSET
    prompt: Text = UNSET

    def check(self) -> None:
        for name in ("input_prefix", "input_suffix"):
            if getattr(self, name) is UNSET:
                raise missing(name)
