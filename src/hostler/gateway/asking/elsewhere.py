"""Pictures that are addresses: fetched here where that is allowed, and put into the request as data.

An engine would fetch any address it is given, of this machine and its network too. So none gets one, and what is
fetched here comes from public addresses alone: a name is looked up once, each of its addresses has to be public, and
the connection goes to one of those that were looked at. Redirects are followed a few times, and looked at likewise.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

import msgspec

from hostler import __version__
from hostler.errors import EngineLost, HostlerError, InvalidRequest
from hostler.gateway.asking.checks.kinds import Picture
from hostler.gateway.asking.checks.telling import told
from hostler.gateway.relay.http1 import END, Head, ResponseParser

MOST: Final = 8
LARGEST: Final = 8 * 2**20
REDIRECTS: Final = 3
FETCH_S: Final = 20.0

#: What pictures begin with, and how many bytes after which.
_KINDS: Final = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"BM"), "image/bmp"),
)
_MOVED: Final = (301, 302, 303, 307, 308)
_EMBEDDED: Final = ipaddress.ip_network("64:ff9b::/96")
#: All of the internet is in here; besides are ways to write addresses of IPv4, and networks of somebody's own.
_INTERNET: Final = ipaddress.ip_network("2000::/3")
#: For protocols, not for hosts; a cloud tells credentials at one of them.
_PROTOCOLS: Final = ipaddress.ip_network("192.0.0.0/24")

_STEPS: Final = re.compile(r"(\w+)|\[(\d+)\]")

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class Elsewhere(InvalidRequest):
    """Pictures of a request are addresses, and may be fetched."""

    def __init__(self, pictures: Sequence[Picture]) -> None:
        super().__init__("Pictures of this request have to be fetched first.", hint="Send it again.")
        self.pictures = pictures


class Fetched(NamedTuple):
    """A picture: its kind, and itself in base64."""

    kind: str
    data: str

    @property
    def url(self) -> str:
        """The picture as an address."""
        return f"data:{self.kind};base64,{self.data}"


def is_public(address: str) -> bool:
    """Whether ``address`` is one of the internet's, and none of a machine or a network of somebody's own."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is None and found in _EMBEDDED:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        found = inner or found
    usual = found in _INTERNET if isinstance(found, ipaddress.IPv6Address) else found not in _PROTOCOLS
    return usual and found.is_global and not found.is_multicast


async def _looked_up(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=2)  # a stream
    return [str(each[4][0]) for each in found]


class Pictures:
    """Fetches pictures. ``public`` says which addresses may be connected to."""

    def __init__(
        self,
        resolve: Resolve = _looked_up,
        public: Callable[[str], bool] = is_public,
        trust: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    ) -> None:
        self._resolve = resolve
        self._public = public
        self._trust = trust
        self._tls: ssl.SSLContext | None = None

    async def inlined(self, body: bytes, pictures: Sequence[Picture]) -> bytes:
        """``body`` with its ``pictures`` as data; they are fetched side by side. Raises InvalidRequest."""
        if len(pictures) > MOST:
            raise InvalidRequest(f"{len(pictures)} pictures are addresses; {MOST} are fetched at the most.")
        urls = [msgspec.json.decode(picture.url, type=str) for picture in pictures]
        tasks = [asyncio.ensure_future(self._one(url)) for url in urls]
        try:
            fetched = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return _with(body, zip((picture.path for picture in pictures), fetched, strict=True))

    async def _one(self, url: str) -> Fetched:
        host = url[:80]
        try:
            host = urlsplit(url).hostname or host
            async with asyncio.timeout(FETCH_S):
                for _ in range(REDIRECTS + 1):
                    head, body = await self._get(_parsed(url))
                    if head.status not in _MOVED:
                        return _picture(head, body, host)
                    url = urljoin(url, head.get(b"location").decode("latin-1"))
            raise _failed(host, f"sends elsewhere more than {REDIRECTS} times")
        except TimeoutError:
            raise _failed(host, f"took longer than {FETCH_S:g} s") from None
        except ssl.SSLError:
            raise _failed(host, "has no certificate that is trusted") from None
        except (OSError, EngineLost, ValueError):
            raise _failed(host, "cannot be reached, or does not speak HTTP") from None

    async def _get(self, place: SplitResult) -> tuple[Head, bytes]:
        host, tls = place.hostname or "", place.scheme == "https"
        port = place.port or (443 if tls else 80)
        addresses = await self._resolve(host, port)
        if not addresses or not all(map(self._public, addresses)):
            raise _failed(host, "is not an address of the internet")
        if tls and self._tls is None:
            self._tls = await asyncio.to_thread(self._trust)
        reader, writer = await asyncio.open_connection(
            addresses[0], port, ssl=self._tls if tls else None, server_hostname=host if tls else None
        )
        try:
            writer.write(_request(place))
            return await _answer(reader, host)
        finally:
            writer.transport.abort()


def _parsed(url: str) -> SplitResult:
    place = urlsplit(url)
    if place.scheme not in ("http", "https") or not place.hostname or place.username is not None:
        raise _failed(place.hostname or url[:80], "is no address of a web page")
    return place


def _request(place: SplitResult) -> bytes:
    target = (place.path or "/") + (f"?{place.query}" if place.query else "")
    if not target.isascii() or not target.isprintable() or " " in target:
        raise ValueError(target)
    lines = (
        f"GET {target} HTTP/1.1", f"host: {place.netloc.encode('idna').decode()}", "accept: image/*",
        "accept-encoding: identity", f"user-agent: hostler/{__version__}", "connection: close", "", "",
    )  # fmt: skip
    return "\r\n".join(lines).encode()


async def _answer(reader: asyncio.StreamReader, host: str) -> tuple[Head, bytes]:
    parser, head, body, over = ResponseParser(), None, bytearray(), False
    while not over:
        data = await reader.read(2**16)
        for event in parser.feed(data) if data else parser.eof():
            if isinstance(event, Head):
                head = event
            elif isinstance(event, bytes):
                body += event
            over = over or event is END
        if len(body) > LARGEST:
            raise _failed(host, f"sends more than {LARGEST} bytes")
    assert head is not None
    return head, bytes(body)


def _picture(head: Head, body: bytes, host: str) -> Fetched:
    kind = next((kind for begins, kind in _KINDS if begins.match(body)), None)
    if head.status != 200 or kind is None:
        raise _failed(host, f"answers {head.status}" if head.status != 200 else "sends no picture")
    return Fetched(kind, b64encode(body).decode())


def _with(body: bytes, pictures: Iterable[tuple[str, Fetched]]) -> bytes:
    """``body`` with what was fetched in place of the addresses, in the words of its API."""
    try:
        whole = msgspec.json.decode(body)
    except msgspec.ValidationError as error:  # a number that nobody has looked at is out of range
        raise told(error) from None
    for path, fetched in pictures:
        part = whole
        for name, index in _STEPS.findall(path):
            part = part[name] if name else part[int(index)]
        if part.get("type") == "image":
            part["source"] = {"type": "base64", "media_type": fetched.kind, "data": fetched.data}
        elif isinstance(part["image_url"], str):
            part["image_url"] = fetched.url
        else:
            part["image_url"]["url"] = fetched.url
    return msgspec.json.encode(whole)


def _failed(host: str, what: str) -> HostlerError:
    return InvalidRequest(f"A picture cannot be fetched: {host} {what}.", hint="Send the picture itself, as data.")
