"""`/v1/completions`, and what of it `/infill` has."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from hostler.gateway.asking.checks.kinds import Flag, Sampled, Text, Token, invalid

#: Of each token; the API has at most 5, llama.cpp as many as there are.
Logprobs = bool | Annotated[int, Meta(ge=0, le=100)] | None | UnsetType


class Worded(msgspec.Struct, gc=False):
    """llama.cpp's own prompt with pictures."""

    prompt_string: str


Prompt = str | list[str | Token | list[str | Token] | Worded] | Worded


class Completion(Sampled, kw_only=True, gc=False):
    prompt: Prompt
    logprobs: Logprobs = UNSET
    suffix: Text = UNSET
    echo: Flag = UNSET
    best_of: Annotated[int, Meta(ge=0, le=20)] | None | UnsetType = UNSET

    def check(self) -> None:
        if self.prompt == []:
            raise invalid("prompt", "`prompt` is empty.")


class Infill(Sampled, kw_only=True, gc=False):
    input_prefix: str
    input_suffix: str
    prompt: Text = UNSET
