"""Fields that llama.cpp knows by another name or not at all, or breaks on when they are null."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Raw

from hostler.fleet.learning.defects import Probe
from hostler.fleet.protocol import Served
from hostler.gateway.asking.checks.completions import Completion
from hostler.gateway.asking.checks.embeddings import Embedding
from hostler.gateway.asking.checks.kinds import invalid
from hostler.gateway.asking.checks.responses import Format, Response, Texts
from hostler.gateway.asking.fields import Edit, Fields
from hostler.gateway.routes import Route

_encode = msgspec.json.encode


class _Format(msgspec.Struct):
    type: str
    name: str | None = None
    schema: Raw = Raw(b"null")
    strict: bool | None = None


class _Texts(msgspec.Struct):
    format: _Format


_texts = msgspec.json.Decoder(_Texts).decode


def edit_of(served: Served, route: Route) -> Edit | None:
    """Says them as it knows them; None for other engines and APIs."""
    if not served.counts or served.speaks is not None:
        return None
    return (_KNOWING if "ignored_text_format" in served.sound else _EDITS).get(route.api)


def _of_response(fields: Fields) -> None:
    _without_nulls(fields)
    asked = fields.asked
    if not isinstance(asked, Response):
        return
    wanted = asked.text.format if isinstance(asked.text, Texts) else None
    if isinstance(wanted, Format) and wanted.type != "text":
        fields.set("response_format", _response_format(fields.get("text") or b"{}"))


def _without_nulls(fields: Fields) -> None:
    """Without what it breaks on."""
    asked = fields.asked
    if isinstance(asked, Response):
        if asked.top_logprobs is not UNSET:  # refused in words of another API; its answers have none
            fields.drop("top_logprobs")
            if asked.top_logprobs:
                fields.note("top_logprobs left out")
        for name in ("instructions", "max_output_tokens", "reasoning"):
            if getattr(asked, name) is None:
                fields.drop(name)


def _response_format(text: bytes) -> bytes:
    """`text.format` as `response_format` of the chat API."""
    said = _texts(text).format
    if said.type != "json_schema":
        return _encode({"type": said.type})
    schema = {"name": said.name or "answer", "schema": said.schema, "strict": said.strict is not False}
    return _encode({"type": "json_schema", "json_schema": schema})


def _of_completion(fields: Fields) -> None:
    asked = fields.asked
    if not isinstance(asked, Completion):
        return
    if asked.suffix is not UNSET:
        if asked.suffix:
            raise invalid("suffix", "`suffix` is not served here.", hint="Ask /infill, with a model made for it.")
        fields.drop("suffix")
    if asked.best_of is not UNSET:
        if (asked.best_of or 1) > 1:
            raise invalid("best_of", "`best_of` is not served here; `n` is.")
        fields.drop("best_of")
    if asked.echo:
        raise invalid("echo", "`echo` is not served here.")


def _of_embedding(fields: Fields) -> None:
    asked = fields.asked
    if isinstance(asked, Embedding) and asked.encoding_format is None:
        fields.drop("encoding_format")


_EDITS: Final[dict[str, Edit]] = {
    "responses": _of_response,
    "input_tokens": _of_response,
    "completions": _of_completion,
    "embeddings": _of_embedding,
}
#: Those for engines that know `text.format`.
_KNOWING: Final[dict[str, Edit]] = {**_EDITS, "responses": _without_nulls, "input_tokens": _without_nulls}


class _Text(msgspec.Struct):
    text: str = ""


class _Item(msgspec.Struct):
    content: list[_Text] = []


class _Output(msgspec.Struct):
    output: list[_Item]


def keeps_format(status: int, body: bytes) -> bool | None:
    """Whether the only answer that a format allows, and nobody would give, is given."""
    if status != 200:
        return None
    try:
        items = msgspec.json.decode(body, type=_Output).output
    except msgspec.MsgspecError:
        return None
    return "".join(part.text for item in items for part in item.content).startswith('"hostler')


IGNORED: Final = Probe(
    "ignored_text_format",
    "/v1/responses",
    {
        "input": "Hi", "max_output_tokens": 5,
        "text": {"format": {"type": "json_schema", "name": "x", "strict": True, "schema": {"enum": ["hostler"]}}},
    },
    keeps_format,
)  # fmt: skip
