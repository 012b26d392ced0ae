"""No web page of another origin manages this gateway.

A browser sends along what it has to any address that a page names. So a request that changes something,
or opens a WebSocket, must come from a page of the same origin; and while no keys exist, the Host header must
be a name that no foreign DNS can point here.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from hostler.errors import Forbidden

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
LOCAL_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".ts.net")

Headers = Mapping[bytes, bytes]


def check_origin(headers: Headers) -> None:
    """Raise Forbidden when a page of another origin sent this."""
    site = _text(headers, b"sec-fetch-site")
    origin = _text(headers, b"origin")
    foreign = origin and urlsplit(origin).netloc != _text(headers, b"host")
    if foreign or site not in ("", "none", "same-origin"):
        raise Forbidden(
            f"A page of {origin or 'another site'} may not change this gateway.",
            hint="Send the request from a program, or from a page that this gateway serves.",
        )


def check_host(headers: Headers) -> None:
    """Raise Forbidden when the Host header is a name that anyone's DNS could point at this machine."""
    host = _text(headers, b"host")
    if host and not is_local_name(_without_port(host)):
        raise Forbidden(
            f"{host} is not a name of this machine.",
            hint="Use its address, or create a key: with keys any name is taken.",
        )


@lru_cache(maxsize=256)
def is_local_name(host: str) -> bool:
    """True for IP addresses, single-label names, this machine's own name and what only local DNS serves."""
    host = host.lower().rstrip(".")
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        own = socket.gethostname().lower()
        return "." not in host or host.endswith(LOCAL_SUFFIXES) or host == own
    return True


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _text(headers: Headers, name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1").lower()
