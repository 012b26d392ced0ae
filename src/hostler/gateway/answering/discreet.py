"""What whoever may only use models does not read: where files lie on this machine, and where engines listen.

A file is told by its name alone, as in the lists of models. Admins read everything as it is.
"""

from __future__ import annotations

import copy
import re
from typing import Final

from hostler.errors import EngineLost, HostlerError
from hostler.gateway.relay.http1 import Head
from hostler.gateway.relay.upstream import Receiver

#: An absolute path of two names or more, which is none of an API's.
_PATH: Final = (
    r"""(?:(?<![\w./~-])|(?<=file://))/(?!(?:v1|api|chat|upstream)/)"""
    r"""(?:[^/\s"'`,;:()<>{}\[\]\\]+/)+[^/\s"'`,;:()<>{}\[\]\\]*"""
)
_ADDRESS: Final = r"(?:https?://)?(?:\b127(?:\.\d{1,3}){3}|\blocalhost|\[::1\])(?::\d{1,5})?(?![\w-]|\.\w)"
_path = re.compile(_PATH)
_address = re.compile(_ADDRESS)

#: An error that is longer goes on in pieces.
LONGEST: Final = 64 * 1024


def plain(text: str) -> str:
    """``text`` without them."""
    named = _path.sub(lambda found: found[0].rstrip("/").rpartition("/")[2], text)
    return _address.sub("the engine", named)


def plain_body(body: bytes) -> bytes:
    """A body of JSON or text without them; every other byte as it was."""
    text = body.decode("utf-8", "surrogateescape")
    return plain(text).encode("utf-8", "surrogateescape")


def plain_error(error: HostlerError) -> HostlerError:
    """``error`` as it is told to them."""
    told = copy.copy(error)
    told.message, told.hint, told.evidence = plain(error.message), plain(error.hint), plain(error.evidence)
    return told


class Discreet:
    """Hears an answer and tells ``receiver`` all of it, errors without them."""

    __slots__ = ("_body", "_failed", "_head", "_receiver")

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._head: Head | None = None  # of an error that is still to be told
        self._failed = False
        self._body = b""

    def on_head(self, head: Head, *, alone: bool) -> None:
        if head.status < 400:
            self._receiver.on_head(head, alone=alone)
        else:
            self._head, self._failed = head, True

    def on_data(self, data: bytes) -> None:
        if not self._failed:
            self._receiver.on_data(data)
            return
        self._body += data
        if len(self._body) > LONGEST:
            self._tell(whole=False)

    def on_end(self) -> None:
        self._tell(whole=True)
        self._receiver.on_end()

    def on_refused(self, error: HostlerError, *, whole: bool) -> None:
        self._receiver.on_refused(error, whole=whole)

    def on_lost(self, error: EngineLost, *, stale: bool) -> None:
        self._tell(whole=False)
        self._receiver.on_lost(error, stale=stale)

    def on_stalled(self) -> None:
        self._receiver.on_stalled()

    def _tell(self, *, whole: bool) -> None:
        head, self._head = self._head, None
        body, self._body = plain_body(self._body), b""
        if head is not None:
            self._receiver.on_head(Head(head.status, head.fields, len(body) if whole else None), alone=False)
        if body:
            self._receiver.on_data(body)
