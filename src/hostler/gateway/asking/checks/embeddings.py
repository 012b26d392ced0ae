"""`/v1/embeddings`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from hostler.gateway.asking.checks.chat import Message, seen_in
from hostler.gateway.asking.checks.kinds import Checked, Picture, Thing, Token, invalid, missing

Inputs = str | list[str | Token | list[str | Token] | Thing] | Thing


class Embedding(Checked, kw_only=True, gc=False):
    input: Inputs | UnsetType = UNSET
    content: Inputs | UnsetType = UNSET
    messages: list[Message] | UnsetType | None = UNSET  # of programs that turn pictures into vectors
    encoding_format: Literal["float", "base64"] | UnsetType | None = UNSET
    dimensions: Annotated[int, Meta(ge=1, le=65536)] | UnsetType | None = UNSET

    def check(self) -> None:
        said = self.content if self.input is UNSET else self.input
        if said is UNSET:
            raise missing("input")
        if said in ("", []):
            raise invalid("input", "`input` is empty.")
        for at, one in enumerate(said if isinstance(said, list) else ()):
            if one in ("", []):
                raise invalid(f"input[{at}]", f"`input[{at}]` is empty.")

    def pictures(self) -> Iterable[Picture]:
        return seen_in(self.messages or ())
