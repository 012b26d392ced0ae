"""What fields of several APIs are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from hostler.errors import InvalidRequest
from hostler.gateway.asking.peek import Absent, Peek

#: Engines count in 32 bits.
MOST = 2**31 - 1

#: Whole numbers that some clients write as `100.0`.
Whole = int | float | None | UnsetType
#: Tokens of an answer; -1 is llama.cpp's word for no limit.
Limit = Annotated[int, Meta(ge=-1, le=MOST)] | Annotated[float, Meta(ge=-1, le=MOST)] | None | UnsetType
#: A chance.
Share = Annotated[int, Meta(ge=0, le=1)] | Annotated[float, Meta(ge=0, le=1)] | None | UnsetType
#: A number that is not negative.
Amount = Annotated[int, Meta(ge=0)] | Annotated[float, Meta(ge=0)] | None | UnsetType
Number = int | float | None | UnsetType
Count = Annotated[int, Meta(ge=1, le=128)] | None | UnsetType
TopCount = Annotated[int, Meta(ge=0, le=20)] | None | UnsetType
Token = Annotated[int, Meta(ge=0, le=MOST)]
Text = str | None | UnsetType
Flag = bool | None | UnsetType
Stop = str | list[str] | None | UnsetType


class Thing(msgspec.Struct, gc=False):
    """An object of any fields."""


Any = Thing | None | UnsetType


class Picture(msgspec.Struct, frozen=True, gc=False):
    """A picture in a request: the path of its part, and its address as JSON text, "" where it is none.
    With ``other`` it is a sound or a video, which only an address makes one of these."""

    path: str
    url: bytes
    other: bool = False


class Checked(Peek, gc=False):
    """A body whose fields have the types that its API declares; and what edits look for in every request."""

    output_config: Absent = UNSET
    id_slot: Absent = UNSET
    lora: Absent = UNSET
    n_ctx: Absent = UNSET
    num_ctx: Absent = UNSET
    n_gpu_layers: Absent = UNSET
    num_gpu: Absent = UNSET
    main_gpu: Absent = UNSET
    n_threads: Absent = UNSET
    num_thread: Absent = UNSET
    n_batch: Absent = UNSET
    num_batch: Absent = UNSET
    use_mmap: Absent = UNSET
    use_mlock: Absent = UNSET

    def check(self) -> None:
        """What types cannot say, missing fields included; raises InvalidRequest."""

    def pictures(self) -> Iterable[Picture]:
        """Every picture in it."""
        return ()


class Sampled(Checked, gc=False):
    """Sampling fields of the OpenAI API and of llama.cpp."""

    temperature: Amount = UNSET
    top_p: Share = UNSET
    top_k: Whole = UNSET
    min_p: Share = UNSET
    repeat_penalty: Amount = UNSET
    presence_penalty: Number = UNSET
    frequency_penalty: Number = UNSET
    max_tokens: Limit = UNSET
    seed: Whole = UNSET
    max_completion_tokens: Limit = UNSET
    n_predict: Limit = UNSET
    stop: Stop = UNSET
    n: Count = UNSET
    logit_bias: Thing | list[Raw] | UnsetType | None = UNSET
    stream_options: Options | UnsetType | None = UNSET
    grammar: Text = UNSET


class Options(msgspec.Struct, gc=False):
    include_usage: Flag = UNSET


def unescaped(text: bytes) -> bytes:
    """JSON text without needless escapes, behind which an address could hide (`"\\u0068ttp:..."`)."""
    return msgspec.json.encode(msgspec.json.decode(text)) if b"\\" in text else text


def missing(path: str) -> InvalidRequest:
    """The refusal of a body without that field."""
    return invalid(path, f"`{path}` is missing.")


def invalid(path: str, message: str, hint: str = "") -> InvalidRequest:
    """The refusal of one field."""
    error = InvalidRequest(message, hint=hint)
    error.param = path
    return error
