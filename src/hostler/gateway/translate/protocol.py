"""What a translation is: one request of one API family, as another family takes it, and its answer back.

Pure: bytes in, bytes out. One module for each direction, beside the shapes of each family. A translation is made for
one request, because the answer may depend on what was asked.
"""

from __future__ import annotations

from typing import Protocol

from hostler.errors import HostlerError


class Translation(Protocol):
    """One request on its way. ``path`` is where the other family takes it, from its base address."""

    path: bytes

    def request(self, body: bytes) -> bytes:
        """The request as the other family takes it. Raises InvalidRequest for what cannot be said in it."""
        ...

    def answer(self, body: bytes) -> bytes:
        """A whole answer, as the client's family gives it. Raises RemoteFailed when it is none."""
        ...

    def error(self, body: bytes) -> bytes:
        """The body of an error, as the client's family gives it; whatever it is."""
        ...

    def stream(self) -> Translated:
        """A fresh reader for the event stream of the answer."""
        ...


class Translated(Protocol):
    """An event stream in the client's family, as it comes.

    ``complete`` is set by the stream's own end. ``error`` is set when it tells an error instead; nothing that was
    said after it counts.
    """

    complete: bool
    error: HostlerError | None

    def feed(self, data: bytes) -> bytes:
        """What these bytes, cut anywhere, complete. Raises RemoteFailed when they are no such stream."""
        ...
