"""The page at `/`: one file, nothing loaded from elsewhere, its script and style allowed by their hashes alone."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

_BLOCK: Final = re.compile(rb"<(style|script)>(.*?)</\1>", re.DOTALL)


class Page(msgspec.Struct, frozen=True):
    """A body and the headers that it is sent with."""

    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]


@cache
def page() -> Page:
    """The page; read from the package once."""
    body = (files("hostler.gateway.web") / "doorstep.html").read_bytes()
    return Page(
        body,
        (
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-security-policy", _policy(body)),
            (b"cache-control", b"no-cache"),
            (b"referrer-policy", b"no-referrer"),
            (b"vary", b"accept"),
            (b"x-content-type-options", b"nosniff"),
        ),
    )


def wants_page(accept: bytes) -> bool:
    """Whether an Accept header asks for HTML, as browsers do."""
    return b"text/html" in accept.lower()


def _policy(body: bytes) -> bytes:
    allowed: dict[bytes, list[bytes]] = {b"style": [], b"script": []}
    for kind, text in _BLOCK.findall(body):
        digest = base64.b64encode(hashlib.sha256(text).digest())
        allowed[kind].append(b"'sha256-" + digest + b"'")
    return b"; ".join(
        (
            b"default-src 'none'",
            b"script-src " + b" ".join(allowed[b"script"]),
            b"style-src " + b" ".join(allowed[b"style"]),
            b"connect-src 'self'",
            b"img-src data:",
            b"base-uri 'none'",
            b"form-action 'none'",
            b"frame-ancestors 'none'",
        )
    )
