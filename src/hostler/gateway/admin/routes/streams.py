"""What goes on until the reader leaves: events and logs."""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated

import anyio
from litestar import Controller, Response, WebSocket, get, websocket
from litestar.datastructures import State
from litestar.exceptions import WebSocketDisconnect
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from hostler.errors import HostlerError
from hostler.gateway.admin import streams, views
from hostler.gateway.admin.problems import FROM_ZERO, fails
from hostler.gateway.admin.services import Services
from hostler.gateway.admin.wanted import Wanted

GOING_AWAY = 1001
BAD_REQUEST = 4400
PLAIN = "text/plain"

After = Annotated[
    int | None,
    QueryParameter(
        ge=0, schema_extra=FROM_ZERO, description="Begin after the event of this id; default: only new ones."
    ),
]
Types = Annotated[str | None, QueryParameter(description="Only these types, separated by commas.")]
LastEventId = Annotated[
    str | None, HeaderParameter(name="Last-Event-ID", description="As `after`; what a reconnecting browser sends.")
]
OfProfile = Annotated[str | None, QueryParameter(description="Whose engine; default: Hostler's own log.")]
Lines = Annotated[int, QueryParameter(ge=0, le=100_000, description="How many of the last lines.")]
Follow = Annotated[bool, QueryParameter(description="Go on with new lines until the connection is closed.")]


class StreamRoutes(Controller):
    """`/api/events` and `/api/logs`."""

    path = "/api"
    tags = ("Events and logs",)

    @get("/events", summary="Events as they happen", media_type="text/event-stream", responses=fails(400))
    async def events(
        self,
        services: Wanted,
        after: After = None,
        types: Types = None,
        last_event_id: LastEventId = None,
    ) -> Stream:
        """Server-sent events, each with a monotonic id; the same path takes a WebSocket, with one JSON event
        a message. The last 10,000 events are kept: a reader that comes back or is too slow gets what it
        missed, or a `gap` that says what is gone. A comment every 15 s keeps the connection alive."""
        wanted = streams.Wanted.read(after, last_event_id, types)
        frames = streams.frames(services.bus, services.closing, wanted, services.heartbeat_s)
        return streams.streamed(frames, {}, "text/event-stream")

    @websocket("/events")
    async def events_socket(
        self,
        socket: WebSocket[None, None, State],
        services: Wanted,
        after: After = None,
        types: Types = None,
    ) -> None:
        """One JSON event a message, until either side leaves."""
        await socket.accept()
        try:
            wanted = streams.Wanted.read(after, None, types)
        except HostlerError as error:
            await socket.close(BAD_REQUEST, str(error)[:120])
            return
        async with anyio.create_task_group() as sides:
            sides.start_soon(_until_left, socket, sides.cancel_scope)
            await _send_events(socket, services, wanted)
            sides.cancel_scope.cancel()

    @get("/logs", summary="Log lines", media_type=PLAIN, responses=fails(400, 404))
    async def logs(
        self, services: Wanted, profile: OfProfile = None, lines: Lines = 100, follow: Follow = False
    ) -> Stream | Response[str]:
        """The last lines of an engine's log, or of Hostler's own; empty when there is none yet."""
        name = await views.resolved(services.catalogue, profile) if profile else None
        path = services.log_file(name)
        if follow:
            return streams.streamed(streams.lines_until(services.logs.follow(path, lines), services.closing), {}, PLAIN)
        found = await services.logs.tail(path, lines)
        return Response("".join(f"{line}\n" for line in found), media_type=PLAIN)


async def _send_events(socket: WebSocket[None, None, State], services: Services, wanted: streams.Wanted) -> None:
    batches = streams.batches(services.bus, services.closing, wanted, services.heartbeat_s)
    async with aclosing(batches):
        async for batch in batches:
            for event in batch:
                await socket.send_text(streams.message(event))
    await socket.close(GOING_AWAY, "The gateway is stopping.")


async def _until_left(socket: WebSocket[None, None, State], scope: anyio.CancelScope) -> None:
    """Read, and ignore, what the client sends; end everything when it leaves."""
    try:
        while True:
            await socket.receive_data("text")
    except WebSocketDisconnect:
        scope.cancel()
