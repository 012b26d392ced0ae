"""What a repair is: of a stream as it comes, or of a whole body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from hostler.gateway.asking.peek import Peek


class StreamRepair(Protocol):
    """Puts one event stream right."""

    @property
    def done(self) -> bool:
        """Whether all that follows passes as it is; :meth:`feed` is not called again then."""
        ...

    @property
    def counting(self) -> bool:
        """Whether it waits to hear how many tokens the prompt has, by :meth:`counted`, before it tells anything."""
        ...

    def feed(self, data: bytes) -> bytes:
        """The next piece, cut anywhere; what can be told now."""
        ...

    def counted(self, tokens: int) -> bytes:
        """The prompt has so many tokens, 0 where that cannot be known; what can be told now."""
        ...

    def end(self) -> bytes:
        """The stream is over; what is left to tell."""
        ...


class Asked(msgspec.Struct, frozen=True):
    """What repairs need of the request: its id, its profile, what is known of its body, when it was sent, in seconds
    since the Unix epoch, its body as the engine got it, and the context of its profile, 0 where nobody knows it."""

    request: str
    profile: str
    peek: Peek
    created: int = 0
    body: bytes = b""
    context: int = 0

    @property
    def model(self) -> str:
        """The client's word for the model."""
        return self.peek.model or self.profile


class Repairs(msgspec.Struct, frozen=True):
    """Those of one route: for its streams, for its whole answers, and whether its errors are put right."""

    stream: Callable[[Asked], StreamRepair] | None = None
    whole: Callable[[Asked, bytes], bytes] | None = None
    errors: bool = True
