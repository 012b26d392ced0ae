"""Who comes in: keys, how often, and no web page of another origin.

A browser sends along what it has to any address that a page names. So a request that changes something,
or opens a WebSocket, must come from a page of the same origin; and while no keys exist, the Host header must
be a name that no foreign DNS can point here.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol
from urllib.parse import urlsplit

from hostler.accounts.keys import LOCAL, Principal
from hostler.accounts.rates import Pace
from hostler.clock import Clock
from hostler.errors import Forbidden
from hostler.gateway.door.cors import Origins

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
LOCAL_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".ts.net")

NO_ORIGINS = Origins()

Headers = Mapping[bytes, bytes]


class Doorkeeper(Protocol):
    """Says who asks; raises Unauthorized. Header names are in lower case."""

    def authenticate(self, headers: dict[bytes, bytes], /) -> Principal: ...


class Door:
    """Who asks, and whether too often. Shared by whatever takes requests, so that each counts once."""

    def __init__(self, keys: Doorkeeper, pace: Pace, clock: Clock, origins: Origins = NO_ORIGINS) -> None:
        self.origins = origins
        self._keys = keys
        self._pace = pace
        self._clock = clock

    def authenticate(self, headers: dict[bytes, bytes]) -> Principal:
        """Who asks, not counted. Raises Unauthorized."""
        return self._keys.authenticate(headers)

    def admit(self, headers: dict[bytes, bytes], address: str) -> Principal:
        """Who asks, from ``address``.

        Raises Unauthorized, TooManyRequests, and without keys Forbidden for a strange Host or page.
        """
        now = self._clock.monotonic()
        self._pace.check_address(address, now)
        principal = self._keys.authenticate(headers)
        if principal is LOCAL:
            check_host(headers)
            if b"origin" in headers:
                check_page(headers, self.origins)
        self._pace.check_key(principal, address, now)
        return principal


def check_page(headers: Headers, origins: Origins) -> None:
    """Raise Forbidden when a web page sent this that is neither ours nor allowed: whoever opens it would pay for it.

    Extensions and programs that name themselves (`vscode-webview://...`) are no web pages.
    """
    origin = headers.get(b"origin", b"")
    text = origin.decode("latin-1").lower()
    page = text == "null" or text.startswith(("http://", "https://"))
    if page and _place(text) != _text(headers, b"host") and not origins.allow(origin):
        raise Forbidden(
            f"A page of {text} may not use this gateway.", hint="Name its origin in `[gateway] cors`, or create a key."
        )


def check_origin(headers: Headers, origins: Origins = NO_ORIGINS) -> None:
    """Raise Forbidden when a page of another origin sent this, which ``origins`` does not name."""
    if is_foreign(headers, origins):
        raise Forbidden(
            f"A page of {_text(headers, b'origin') or 'another site'} may not change this gateway.",
            hint="Send the request from a program, or from a page that this gateway serves.",
        )


def is_foreign(headers: Headers, origins: Origins) -> bool:
    """Whether a page of another origin sent this, which ``origins`` does not name."""
    origin = _text(headers, b"origin")
    if origin and origins.allow(origin.encode("latin-1"), named=True):
        return False
    elsewhere = bool(origin) and _place(origin) != _text(headers, b"host")
    return elsewhere or _text(headers, b"sec-fetch-site") not in ("", "none", "same-origin")


def check_host(headers: Headers) -> None:
    """Raise Forbidden when the Host header is a name that anyone's DNS could point at this machine."""
    host = headers.get(b"host", b"")
    if host and not _is_local_host(host):
        raise Forbidden(
            f"{_text(headers, b'host')} is not a name of this machine.",
            hint="Use its address, or create a key: with keys any name is taken.",
        )


@lru_cache(maxsize=256)
def _is_local_host(host: bytes) -> bool:
    return is_local_name(_without_port(host.decode("latin-1").lower()))


def is_local_name(host: str) -> bool:
    """True for IP addresses, single-label names, this machine's own name and what only local DNS serves."""
    host = host.lower().rstrip(".")
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        own = socket.gethostname().lower()
        return "." not in host or host.endswith(LOCAL_SUFFIXES) or host == own
    return True


def _place(origin: str) -> str | None:
    """The host and port of an origin; None for one that cannot be read, which is nobody's."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _text(headers: Headers, name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1").lower()
