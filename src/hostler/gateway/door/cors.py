"""Which web pages of other origins may use this gateway (CORS). By default none may.

A browser lets a page read an answer only if the answer names the page's origin, and asks (by a preflight, which carries
no key) before it sends JSON or a key. Origins are named in `[gateway] cors`, as patterns; `*` opens inference to
all pages, but management never to more than those that are named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

Headers = Mapping[bytes, bytes]
Lines = list[tuple[bytes, bytes]]

ANY: Final = "*"
PREFLIGHT_S: Final = 600
_VARY: Final = (b"vary", b"Origin")
#: What a page may read beside the body.
_EXPOSED: Final = (
    b"x-request-id, x-hostler-profile, x-hostler-instance, x-hostler-source, x-hostler-queue-place, "
    b"x-hostler-queue-wait, x-should-retry, server-timing, retry-after"
)


class Origins:
    """The origins in `[gateway] cors`; without ``some`` it is false."""

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self.configure(allowed)

    def configure(self, allowed: Sequence[str]) -> None:
        """Let others in from now on."""
        self._any = ANY in allowed
        self._named = tuple(pattern.lower() for pattern in allowed if pattern != ANY)

        self.some = self._any or bool(self._named)

    def __bool__(self) -> bool:
        return self.some

    def allow(self, origin: bytes, *, named: bool = False) -> bool:
        """Whether a page of ``origin`` may ask; with ``named``, only if it is not `*` alone that lets it."""
        text = origin.decode("latin-1").lower()
        return (self._any and not named) or any(fnmatchcase(text, pattern) for pattern in self._named)

    def lines(self, headers: Headers, *, named: bool = False) -> Lines:
        """Header lines of an answer; of one to a page that may not read it, only that it depends on who asks."""
        origin = headers.get(b"origin", b"")
        if not self:
            return []
        if not origin or not self.allow(origin, named=named):
            return [_VARY]
        return [_VARY, (b"access-control-allow-origin", origin), (b"access-control-expose-headers", _EXPOSED)]

    def text(self, headers: Headers) -> bytes:
        """The lines of an inference answer as they are sent."""
        return b"".join(b"%b: %b\r\n" % line for line in self.lines(headers)) if self else b""

    def preflight(self, headers: Headers, methods: Sequence[str], *, named: bool = False) -> Lines | None:
        """The header lines that answer a preflight; None when this is none, or its page may not ask."""
        origin, method = headers.get(b"origin", b""), headers.get(b"access-control-request-method", b"")
        if not self or not origin or not method or not self.allow(origin, named=named):
            return None
        answer: Lines = [
            (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-methods", ", ".join(methods).encode()),
            (b"access-control-max-age", b"%d" % PREFLIGHT_S),
        ]
        # `*` would not cover Authorization; and a page on the internet asks before it reaches a private address.
        if wanted := headers.get(b"access-control-request-headers"):
            answer.append((b"access-control-allow-headers", wanted))
        if headers.get(b"access-control-request-private-network") == b"true":
            answer.append((b"access-control-allow-private-network", b"true"))
        return answer
