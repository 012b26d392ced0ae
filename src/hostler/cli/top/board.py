"""What is shown: one frozen value, made from the API's answers and the gateway's events. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hostler.events import AnyEvent, InstanceChanged, LeaseEnded, LeaseGranted, LoadProgress, RequestQueued
from hostler.wire.hardware import Metrics
from hostler.wire.management import GatewayStatus, Instance, ProfileInfo, Requests

#: Events and log lines kept for scrolling back.
KEPT = 2000
GONE = ("stopped", "failed")


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What the API answered at ``at`` (seconds since the Unix epoch): all that `hostler top --json` prints.

    ``events`` are the last ones, oldest first; the live window keeps its own.
    """

    at: float
    status: GatewayStatus
    profiles: tuple[ProfileInfo, ...] = ()
    instances: tuple[Instance, ...] = ()
    requests: Requests = Requests(in_flight=(), recent=())
    metrics: Metrics | None = None
    events: tuple[AnyEvent, ...] = ()


class Connected(msgspec.Struct, frozen=True):
    """The gateway answers."""


class Lost(msgspec.Struct, frozen=True):
    """The gateway does not answer since ``since`` (seconds since the Unix epoch); why, and what to do about it."""

    since: float
    reason: str
    hint: str = ""


class Connecting(msgspec.Struct, frozen=True):
    """Nothing was heard yet."""


Link = Connecting | Connected | Lost


class Log(msgspec.Struct, frozen=True):
    """A log that is followed: the gateway's own (None) or that of a profile's engine; its last lines.

    ``before`` counts the lines that came and are no longer kept.
    """

    profile: str | None
    lines: tuple[str, ...] = ()
    before: int = 0


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a frame is drawn from.

    ``loads`` is the last progress of each instance that loads; ``places`` where each waiting request stood
    when it came; ``log`` is set while a log is shown in place of the events.
    """

    url: str = ""
    link: Link = Connecting()
    snapshot: Snapshot | None = None
    loads: dict[str, LoadProgress] = {}
    places: dict[str, int] = {}
    events: tuple[AnyEvent, ...] = ()
    log: Log | None = None


def refreshed(board: Board, snapshot: Snapshot) -> Board:
    """The gateway answered. What belongs to instances and requests that are gone is dropped."""
    instances = {instance.id for instance in snapshot.instances}
    queued = {request.id for request in snapshot.requests.in_flight if request.state == "queued"}
    return msgspec.structs.replace(
        board,
        url=snapshot.status.url or board.url,
        link=Connected(),
        snapshot=snapshot,
        loads={key: load for key, load in board.loads.items() if key in instances},
        places={key: place for key, place in board.places.items() if key in queued},
    )


def lost(board: Board, at: float, reason: str, hint: str = "") -> Board:
    """The gateway does not answer; the first moment of that is kept."""
    since = board.link.since if isinstance(board.link, Lost) else at
    return msgspec.structs.replace(board, link=Lost(since, reason, hint))


def restarted(board: Board) -> Board:
    """Another run of the gateway: its instances, requests and event numbers are other ones."""
    return msgspec.structs.replace(board, loads={}, places={})


def same_run(board: Board, status: GatewayStatus) -> bool:
    """True when ``status`` is of the gateway that the board shows, not of a later one."""
    known = board.snapshot.status if board.snapshot else None
    return known is not None and (known.pid, known.started_at) == (status.pid, status.started_at)


def happened(board: Board, batch: Sequence[AnyEvent]) -> Board:
    """Take in a batch of events, oldest first."""
    loads, places = dict(board.loads), dict(board.places)
    for event in batch:
        match event:
            case LoadProgress():
                loads[event.instance] = event
            case InstanceChanged() if event.state == "ready" or event.state in GONE:
                loads.pop(event.instance, None)
            case RequestQueued():
                places[event.request] = event.position
            case LeaseGranted() | LeaseEnded():
                places.pop(event.request, None)
    kept = (*board.events, *batch)[-KEPT:]
    return msgspec.structs.replace(board, loads=loads, places=places, events=kept)


def logged(board: Board, profile: str | None, lines: Sequence[str]) -> Board:
    """New lines of a log; nothing changes when another one, or none, is shown by now."""
    if board.log is None or board.log.profile != profile:
        return board
    whole = (*board.log.lines, *lines)
    kept = whole[-KEPT:]
    return msgspec.structs.replace(board, log=Log(profile, kept, board.log.before + len(whole) - len(kept)))


def of_snapshot(snapshot: Snapshot, url: str) -> Board:
    """A board that shows one snapshot and nothing that comes later."""
    return refreshed(happened(Board(url=url), snapshot.events), snapshot)
