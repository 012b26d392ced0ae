"""How an error reaches a client: as the answer, or inside one that has begun."""

from __future__ import annotations

from typing import Final

from hostler.errors import Draining, HostlerError, RequestCancelled
from hostler.gateway.door.call import Asker
from hostler.gateway.errors import Family, body_of, event_of, headers_of, status_of

_JSON_LINE: Final = b"content-type: application/json\r\n"


def refuse(call: Asker, error: HostlerError, family: Family, own: bytes = b"") -> None:
    """Answer with ``error``; ``own`` are further header lines."""
    lines = b"".join(b"%b: %b\r\n" % header for header in headers_of(error))
    call.answer(status_of(error), _JSON_LINE + lines + own, body_of(error, family))


def break_off(call: Asker, error: HostlerError, family: Family, *, events: bool, begun: bool) -> None:
    """The answer has begun: an event where the client reads ``events``, else a connection cut short.

    ``begun``: something of the engine's was sent.
    """
    if not events:
        call.cut(why=error)
        return
    # A first empty line ends whatever event was left half-said.
    call.write((b"\n\n" if begun else b"") + event_of(error, family))
    call.finish()


def taken_back(*, draining: bool) -> HostlerError:
    """Why the fleet took a lease back from its request."""
    if draining:
        return Draining("The gateway stopped before this answer was complete.")
    return RequestCancelled("An operator cancelled this request.")
