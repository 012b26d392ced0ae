"""From the body of an error answer back to the error that the gateway raised."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from hostler import errors
from hostler.errors import HostlerError


class _Said(msgspec.Struct):
    """What any error envelope may hold: ours, OpenAI's, or an engine's passed through."""

    message: str = ""
    code: str | int | None = None
    type: str | None = None
    hint: str = ""
    retry_after_s: float | None = None


class _Envelope(msgspec.Struct):
    error: _Said | str


class Refused(HostlerError):
    """The gateway refused with a code that this version does not know.

    ``said`` is that code; ``code`` stays the class's, as codes of the tree are fixed.
    """

    code = "error"
    default_hint = ""

    def __init__(self, message: str, *, hint: str | None = None, said: str = "") -> None:
        super().__init__(message, hint=hint)
        self.said = said


def _tree(root: type[HostlerError]) -> Iterator[type[HostlerError]]:
    yield root
    for child in _children(root):
        yield from _tree(child)


def _children(kind: type[HostlerError]) -> list[type[HostlerError]]:
    return [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]


def _by_code() -> dict[str, type[HostlerError]]:
    """Code to class. A parent that shares its code with a child is only its heading: the child is meant."""
    table: dict[str, type[HostlerError]] = {}
    for kind in _tree(HostlerError):
        if kind.code not in {child.code for child in _children(kind)}:
            table.setdefault(kind.code, kind)
    return table


CLASSES = _by_code()


def from_body(status: int, body: bytes, retry_after: str | None = None) -> HostlerError:
    """The error that an answer with ``status`` and ``body`` means; never raises.

    ``retry_after`` is the header's text, in seconds.
    """
    said = _said(body)
    if said is None:
        text = body[:200].decode("utf-8", "replace").strip()
        return Refused(f"The gateway answered {status}{': ' + text if text else '.'}")
    return _built(said, said.retry_after_s if said.retry_after_s is not None else _seconds(retry_after))


def from_event(body: bytes) -> HostlerError | None:
    """The error inside one event of a stream, or None when the event is not an error."""
    if b'"error"' not in body:
        return None
    said = _said(body)
    return None if said is None else _built(said, said.retry_after_s)


def _said(body: bytes) -> _Said | None:
    try:
        error = msgspec.json.decode(body, type=_Envelope).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return _Said(message=error) if isinstance(error, str) else error


def _built(said: _Said, retry_after_s: float | None) -> HostlerError:
    code = str(said.code or said.type or "")
    kind = CLASSES.get(code)
    message = said.message or "The gateway refused without saying why."
    if kind is None:
        return Refused(message, hint=said.hint, said=code)
    # A hint that came with the error is the gateway's; without one the message already says it all. Where a client's
    # API shows messages only, they end with it.
    error = kind(message.removesuffix(said.hint).rstrip(), hint=said.hint)
    error.retry_after_s = retry_after_s
    return error


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
