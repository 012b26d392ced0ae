"""Keeps a board up to date with the gateway, through its restarts.

One task asks the API every second, and sooner when an event says that something changed; another reads the
events. When either finds the gateway gone, both end, and the gateway is looked for again: after a restart it may
listen elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager

import anyio
import msgspec

from hostler.cli.top import board as boards
from hostler.cli.top.board import Board, Log, Snapshot
from hostler.cli.top.gathering import gather, only_error
from hostler.client.gateway import Client
from hostler.client.transport import ConnectionLost
from hostler.errors import HostlerError, NoGateway
from hostler.events import AnyEvent, ConfigReloaded, InstanceChanged, LoadProgress
from hostler.wire.management import GatewayStatus, ProfileInfo

POLL_S = 1.0
#: Two questions are at least so far apart, however much happens.
REST_S = 0.25
#: Profiles are asked for less often: the gateway looks at the disk for them.
PROFILES_S = 30.0
#: No answer for this long: the gateway hangs.
PATIENCE_S = 10.0
PAUSES_S = (0.2, 0.5, 1.0, 2.0)
PAST_EVENTS = 500
PAST_REQUESTS = 30
HISTORY_S = 60
LOG_LINES = 500


async def ask(client: Client, status: GatewayStatus, profiles: tuple[ProfileInfo, ...] | None = None) -> Snapshot:
    """Everything but ``status``, and but ``profiles`` when they are known. Raises as the client does."""
    return Snapshot(
        at=time.time(),
        status=status,
        profiles=tuple(await client.profiles()) if profiles is None else profiles,
        instances=tuple(await client.instances()),
        requests=await client.requests(PAST_REQUESTS),
        metrics=await client.metrics(seconds=HISTORY_S),
    )


async def snapshot(client: Client, events: int = PAST_EVENTS) -> Snapshot:
    """Everything now, with the last ``events`` events."""
    status = await client.status()
    known = await ask(client, status)
    return msgspec.structs.replace(known, events=await past_events(client, status, events))


async def past_events(client: Client, status: GatewayStatus, count: int) -> tuple[AnyEvent, ...]:
    """The last ``count`` events up to the one that ``status`` knows; fewer when the gateway ends meanwhile."""
    seen: list[AnyEvent] = []
    if status.last_event == 0:
        return ()
    with anyio.move_on_after(PATIENCE_S):
        async with aclosing(client.events(max(0, status.last_event - count))) as arriving:
            async for event in arriving:
                seen.append(event)
                if event.id >= status.last_event:
                    break
    return tuple(seen)


class Feed:
    """Owns the board. ``connect`` makes a client (it may raise); ``changed`` is called after every change."""

    def __init__(self, connect: Callable[[], Client], changed: Callable[[Board], None]) -> None:
        self._connect = connect
        self._changed = changed
        self._board = Board()
        self._last_event = 0
        self._nudged = anyio.Event()
        self._profiles_due = 0.0

    @property
    def board(self) -> Board:
        """What is known now."""
        return self._board

    async def run(self) -> None:
        """Follow the gateway until cancelled; its absence is shown, never raised."""
        attempts = 0
        while True:
            try:
                async with self._connect() as client:
                    await self._begin(client)
                    attempts = 0
                    await self._follow(client)
            except HostlerError as error:
                self._set(boards.lost(self._board, time.time(), error.message, error.hint))
                await anyio.sleep(PAUSES_S[min(attempts, len(PAUSES_S) - 1)])
                attempts += 1

    def nudge(self, *, profiles: bool = False) -> None:
        """Ask the gateway again soon, for its profiles too."""
        if profiles:
            self._profiles_due = 0.0
        self._nudged.set()

    def show_log(self, log: Log | None) -> None:
        """Show a log, empty until :meth:`follow_log` fills it; None shows the events."""
        self._set(msgspec.structs.replace(self._board, log=log))

    async def follow_log(self, profile: str | None) -> None:
        """Fill the log that is shown until cancelled, or until the gateway says that there is none.

        A lost connection is taken up again; what was shown stays until the log is read anew.
        """
        while True:
            try:
                async with self._connect() as client:
                    await self._read_log(client, profile)
            except (NoGateway, ConnectionLost):
                pass  # the first line tells of it already
            except HostlerError as error:
                self._set(boards.logged(self._board, profile, [str(error)]))
                return
            await anyio.sleep(PAUSES_S[-1])

    async def _read_log(self, client: Client, profile: str | None) -> None:
        anew = True

        def take(lines: list[str]) -> None:
            nonlocal anew
            if anew:
                self.show_log(Log(profile))
                anew = False
            self._set(boards.logged(self._board, profile, lines))

        async with aclosing(client.logs(profile, lines=LOG_LINES, follow=True)) as arriving:
            await gather(arriving, take)

    def _set(self, board: Board) -> None:
        self._board = board
        self._changed(board)

    async def _begin(self, client: Client) -> None:
        """The first answer of this connection. Another run of the gateway counts its events anew."""
        self._profiles_due = 0.0
        self._board = msgspec.structs.replace(self._board, url=client.url)
        with _bounded(client):
            status = await client.status()
        if not boards.same_run(self._board, status):
            self._board = boards.restarted(self._board)
            self._last_event = max(0, status.last_event - PAST_EVENTS)
        await self._refresh(client, status)

    async def _follow(self, client: Client) -> None:
        """Poll and read events until another gateway answers; raises what tells that it is gone."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._read_events, client)
                await self._poll(client)
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise only_error(group) from None

    async def _poll(self, client: Client) -> None:
        """Ask again and again, until the gateway that answers is not the one that did."""
        while True:
            await anyio.sleep(REST_S)
            with anyio.move_on_after(POLL_S - REST_S):
                await self._nudged.wait()
            self._nudged = anyio.Event()
            with _bounded(client):
                status = await client.status()
            if not boards.same_run(self._board, status):
                return
            await self._refresh(client, status)

    async def _refresh(self, client: Client, status: GatewayStatus) -> None:
        shown = self._board.snapshot
        known = shown.profiles if shown is not None and time.monotonic() < self._profiles_due else None
        if known is None:
            self._profiles_due = time.monotonic() + PROFILES_S
        with _bounded(client):
            fresh = await ask(client, status, known)
        self._set(boards.refreshed(self._board, fresh))

    async def _read_events(self, client: Client) -> None:
        async with aclosing(client.events(self._last_event)) as arriving:
            await gather(arriving, self._take)

    def _take(self, batch: list[AnyEvent]) -> None:
        self._last_event = batch[-1].id
        self._set(boards.happened(self._board, batch))
        if any(not isinstance(event, LoadProgress) for event in batch):
            self.nudge(profiles=any(isinstance(event, InstanceChanged | ConfigReloaded) for event in batch))


@contextmanager
def _bounded(client: Client) -> Iterator[None]:
    """Raise ConnectionLost when the block takes too long."""
    try:
        with anyio.fail_after(PATIENCE_S):
            yield
    except TimeoutError:
        raise ConnectionLost(f"The gateway at {client.url} does not answer.") from None
