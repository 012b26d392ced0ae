"""What was used, and every finished request."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated, Literal

import msgspec
from litestar import Controller, get
from litestar.params import QueryParameter
from litestar.response import Stream

from hostler.gateway.admin.problems import FROM_ZERO, LAST_MOMENT, fails
from hostler.gateway.admin.streams import streamed
from hostler.gateway.admin.wanted import Wanted
from hostler.wire.management import RequestRecord
from hostler.wire.usage import By, Usage

Since = Annotated[
    float | None,
    QueryParameter(
        ge=0, le=LAST_MOMENT, schema_extra=FROM_ZERO, description="Requests that came then or later; Unix seconds."
    ),
]
Until = Annotated[
    float | None,
    QueryParameter(
        ge=0, le=LAST_MOMENT, schema_extra=FROM_ZERO, description="Requests that came before; Unix seconds."
    ),
]
Per = Annotated[By, QueryParameter(description="What the rows are.")]
Form = Annotated[Literal["jsonl", "csv"], QueryParameter(description="One JSON object a line, or CSV with a head.")]

_MEDIA = {"jsonl": "application/jsonl", "csv": "text/csv; charset=utf-8"}
_COLUMNS = RequestRecord.__struct_fields__


class UsageRoutes(Controller):
    """`/api/usage`."""

    path = "/api/usage"
    tags = ("Requests",)

    @get(summary="What was used", responses=fails(400, 500))
    async def usage(self, services: Wanted, by: Per = "profile", since: Since = None, until: Until = None) -> Usage:
        """Requests, tokens, waiting and speeds, added up by the database: by profile, key, day or API."""
        return await services.history.usage(by, since, until)

    @get("/requests", summary="Every finished request", media_type="application/jsonl", responses=fails(400, 500))
    async def requests(
        self, services: Wanted, format: Form = "jsonl", since: Since = None, until: Until = None
    ) -> Stream:
        """The rows of the ledger as a file, in the order in which they ended. There is no text of prompts or answers
        in them."""
        pages = services.history.export(since, until)
        first: list[RequestRecord] = await anext(pages, [])  # what fails does so before the answer begins
        # The decorator's media type would win over one that is given here; over a header it does not.
        return streamed(_file(first, pages, format), {"content-type": _MEDIA[format]})


async def _file(
    first: list[RequestRecord], others: AsyncGenerator[list[RequestRecord], None], format: str
) -> AsyncGenerator[bytes, None]:
    encode = _csv if format == "csv" else _lines
    yield _row(_COLUMNS) if format == "csv" else b""
    async with aclosing(others):
        yield encode(first)
        async for page in others:
            yield encode(page)


def _lines(page: list[RequestRecord]) -> bytes:
    return b"".join(msgspec.json.encode(row) + b"\n" for row in page)


def _csv(page: list[RequestRecord]) -> bytes:
    return b"".join(_row(msgspec.structs.astuple(row)) for row in page)


def _row(values: Sequence[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode()
