"""Reads the header of a model that lies on a web server, so that its fit is known before a download.

Only the beginning of each file is fetched, by range requests that double until the tensor table is complete. Nothing
is written to disk; bytes, time, redirects and tries are bounded.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote, urlsplit

import anyio
import msgspec

from hostler.errors import DownloadFailed, ModelError
from hostler.models.answers import Lost, checked, sane
from hostler.models.cursor import MAX_HEADER, Cursor, Ended
from hostler.models.facts import GgufFacts
from hostler.models.gguf import check_parts, facts_of
from hostler.models.header import Header, parse_header
from hostler.models.naming import part_name
from hostler.models.shape import ModelShape
from hostler.models.shaping import shape_of

if TYPE_CHECKING:
    import httpx

FIRST_LOOK = 2 * 2**20
MAX_PARTS = 1000
TRIES = 3
LONGEST_PAUSE_S = 10.0
_AT_ONCE = 4
_REDIRECTS = 5
_UNKNOWN = 2**62
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long a look may take: each wait on the server, the first pause between tries, and all of it."""

    wait_s: float = 20.0
    pause_s: float = 0.5
    total_s: float = 120.0


class RemoteModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that is not here yet. ``size`` is of all its files in bytes; ``fetched`` is what the look cost."""

    urls: tuple[str, ...]
    facts: GgufFacts
    shape: ModelShape
    size: int
    fetched: int


async def read_remote(url: str, headers: Mapping[str, str] | None = None, limits: Limits | None = None) -> RemoteModel:
    """The facts and shape of the GGUF model at ``url``; of a split one any part may be named.

    ``headers`` may hold a token: they go to the server of ``url``, never into a message, and ``Authorization`` does
    not follow a redirect to another host. Raises DownloadFailed for what the server does and ModelError for what the
    file is. Cancelling closes the connections.
    """
    import httpx

    limits = limits or Limits()
    urls = _parts(url)
    client = httpx.AsyncClient(
        headers={**(headers or {}), "Accept-Encoding": "identity"},
        timeout=limits.wait_s,
        follow_redirects=True,
        max_redirects=_REDIRECTS,
    )
    try:
        with anyio.fail_after(limits.total_s):
            async with client:
                found = await _all(client, urls, limits)
    except TimeoutError:
        raise DownloadFailed(f"{sane(url)} did not show its header within {limits.total_s:g} s.") from None
    return await anyio.to_thread.run_sync(_model, urls, found)


class _Found(NamedTuple):
    header: Header
    fetched: int


def _model(urls: tuple[str, ...], found: Sequence[_Found]) -> RemoteModel:
    headers, names = [part.header for part in found], [sane(url) for url in urls]
    check_parts(names, headers)
    return RemoteModel(
        urls=urls,
        facts=facts_of(headers, names[0]),
        shape=shape_of(headers, names[0]),
        size=sum(_file_size(header) for header in headers),
        fetched=sum(part.fetched for part in found),
    )


def _file_size(header: Header) -> int:
    """What the server said, else where the last tensor ends."""
    if header.file_size != _UNKNOWN:
        return header.file_size
    return header.data_start + max((tensor.offset + tensor.size for tensor in header.tensors), default=0)


def _parts(url: str) -> tuple[str, ...]:
    """The addresses of all parts, by the name of one."""
    try:
        urlsplit(sane(url)).port  # noqa: B018 - it is checked when it is asked for
    except ValueError as error:
        raise DownloadFailed(f"The address leads nowhere: {error}.", hint="Correct the address.") from None
    path, mark, query = url.partition("?")
    folder, slash, name = path.rpartition("/")
    part = part_name(unquote(name))
    if part.total == 1 or part.total > MAX_PARTS:
        return (url,)
    base = f"{folder}{slash}{quote(part.base)}"
    return tuple(f"{base}-{number:05}-of-{part.total:05}.gguf{mark}{query}" for number in range(1, part.total + 1))


async def _all(client: httpx.AsyncClient, urls: Sequence[str], limits: Limits) -> list[_Found]:
    found: dict[int, _Found | ModelError] = {}
    at_once = anyio.CapacityLimiter(_AT_ONCE)

    async def look(number: int, url: str) -> None:
        async with at_once:
            try:
                found[number] = await _Look(client, url, limits).header()
            except ModelError as error:
                # Out of the group as it is, not wrapped; the others need not go on.
                found[number] = error
                group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for number, url in enumerate(urls):
            group.start_soon(look, number, url)
    for outcome in found.values():
        if isinstance(outcome, ModelError):
            raise outcome
    return [part for _, part in sorted(found.items()) if isinstance(part, _Found)]


class _Look:
    """One file: its beginning, as far as it has been fetched."""

    def __init__(self, client: httpx.AsyncClient, url: str, limits: Limits) -> None:
        self._client = client
        self._url = url
        self._limits = limits
        self._data = bytearray()
        self._size = _UNKNOWN
        self._version: str | None = None

    async def header(self) -> _Found:
        wanted = FIRST_LOOK
        while True:
            await self._fetch_up_to(wanted)
            try:
                header = await anyio.to_thread.run_sync(self._parsed)
            except Ended as error:
                if len(self._data) < wanted:
                    raise DownloadFailed(f"{sane(self._url)} ended after {len(self._data)} bytes.") from error
                wanted = max(2 * wanted, error.needed)
            else:
                return _Found(header, len(self._data))

    def _parsed(self) -> Header:
        return parse_header(Cursor(sane(self._url), io.BytesIO(self._data), self._size))

    async def _fetch_up_to(self, wanted: int) -> None:
        """Have ``wanted`` bytes, or all there are; tries again after what may pass."""
        for attempt in range(1, TRIES + 1):
            pause_s = await self._try(min(wanted, self._size, MAX_HEADER), last=attempt == TRIES)
            if pause_s is None:
                return
            doubled_s = self._limits.pause_s * 2 ** (attempt - 1)
            await anyio.sleep(min(LONGEST_PAUSE_S, max(pause_s, doubled_s)))

    async def _try(self, wanted: int, *, last: bool) -> float | None:
        """None when it is done, else the seconds that the server asks to wait before another try."""
        import httpx

        try:
            await self._fetch(wanted)
        except Lost as lost:
            if lost.final or last:
                raise DownloadFailed(f"{sane(self._url)} {lost}.", hint=lost.hint) from lost
            return lost.wait_s or 0.0
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
            raise DownloadFailed(
                f"{sane(self._url)} leads nowhere: {str(error).rstrip(chr(46))}.", hint="Correct the address."
            ) from error
        except httpx.HTTPError as error:
            if last:
                why = str(error) or type(error).__name__
                raise DownloadFailed(
                    f"{sane(self._url)} cannot be read: {why}.", hint="Check the connection."
                ) from error
            return 0.0
        return None

    async def _fetch(self, wanted: int) -> None:
        """One request, from the first byte that is missing."""
        if len(self._data) >= wanted:
            return
        asked = {"Range": f"bytes={len(self._data)}-{wanted - 1}"}
        async with self._client.stream("GET", self._url, headers=asked) as answer:
            skip = self._begin(answer)
            async for block in answer.aiter_raw(2**16):
                self._data += block[skip:]
                skip = max(0, skip - len(block))
                if len(self._data) >= wanted:
                    del self._data[wanted:]
                    break

    def _begin(self, answer: httpx.Response) -> int:
        """Judge the head of an answer; how many of its bytes are known already."""
        if answer.status_code == 416:
            self._size = len(self._data)
            return 0
        checked(answer)
        self._check_version(answer)
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise Lost("sends the file compressed, though it was asked not to", final=True, hint="Correct the address.")
        if answer.status_code == 200:  # It does not know ranges: all from the first byte on.
            length = answer.headers.get("content-length", "")
            self._size = int(length) if length.isdigit() else self._size
            return len(self._data)
        return self._begin_range(answer.headers.get("content-range", ""))

    def _begin_range(self, text: str) -> int:
        place = _RANGE.fullmatch(text.strip())
        if place is None or int(place[1]) != len(self._data):
            raise Lost(f"answered with another range ({text[:60]!r}) than was asked for", final=True)
        if place[2] != "*":
            self._size = int(place[2])
        return 0

    def _check_version(self, answer: httpx.Response) -> None:
        version = answer.headers.get("etag")
        if self._data and version != self._version:
            raise Lost("changed while it was read", final=True)
        self._version = version
