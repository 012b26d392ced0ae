"""One request of a storm, from its first byte to its fate."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import msgspec

from hostler.conformance.asks import PATHS, Ask, Leaving, body
from hostler.conformance.fates import Broken, Fate, Left, judged
from hostler.conformance.server import Server
from hostler.testing import http


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log: what was asked and what became of it; times are the client's, in seconds.

    ``at`` since the Unix epoch; ``first_s`` until the head of the answer, ``total_s`` until its fate.
    """

    ask: Ask
    fate: Fate
    at: float
    first_s: float | None
    total_s: float


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """How requests are sent: where, whether answers are ``exact``, how long one may take."""

    server: Server
    exact: bool
    patience_s: float

    async def entry(self, ask: Ask) -> Entry:
        """Send ``ask``, leave when it says so, and judge what came."""
        one = _One(self, ask)
        fate = await one.fate()
        return Entry(ask=ask, fate=fate, at=one.at, first_s=one.first_s, total_s=time.perf_counter() - one.began)


class _One:
    """A request on its way."""

    def __init__(self, asking: Asking, ask: Ask) -> None:
        self._asking = asking
        self._ask = ask
        self.at = time.time()
        self.began = time.perf_counter()
        self.first_s: float | None = None

    async def fate(self) -> Fate:
        try:
            async with asyncio.timeout(self._asking.patience_s):
                async with self._asking.server.connected() as exchange:
                    return await self._on(exchange)
        except TimeoutError:
            return Broken(f"no end within {self._asking.patience_s:g} s")
        except (http.Broken, OSError, asyncio.LimitOverrunError, ValueError) as error:
            return Broken(f"{type(error).__name__}: {error}")

    async def _on(self, exchange: http.Exchange) -> Fate:
        asking, ask, leaving = self._asking, self._ask, self._ask.leaving
        content = body(ask, exact=asking.exact)
        raw = asking.server.request_bytes("POST", PATHS[ask.subject.api], content, {"x-request-id": ask.id})
        if leaving is not None and leaving.phase == "sending":
            exchange.writer.write(raw[: len(raw) - 20])
            await exchange.writer.drain()
            return self._hang_up(exchange, leaving)
        exchange.writer.write(raw)
        if leaving is None or leaving.phase == "answering":
            return await self._answer(exchange, leaving)
        if leaving.phase == "waiting":
            return await self._waits(exchange, leaving)
        cancel = asyncio.create_task(self._cancelled(leaving))
        try:
            return await self._answer(exchange, None)
        finally:
            cancel.cancel()
            await asyncio.wait([cancel])

    async def _waits(self, exchange: http.Exchange, leaving: Leaving) -> Fate:
        """Leave before the first byte, unless it comes sooner than patience ends."""
        try:
            async with asyncio.timeout(leaving.after_s):
                await self._head(exchange)
        except TimeoutError:
            return self._hang_up(exchange, leaving)
        return await self._rest(exchange, None)

    async def _answer(self, exchange: http.Exchange, leaving: Leaving | None) -> Fate:
        await self._head(exchange)
        return await self._rest(exchange, leaving)

    async def _head(self, exchange: http.Exchange) -> None:
        await exchange.read_head()
        self.first_s = time.perf_counter() - self.began

    async def _rest(self, exchange: http.Exchange, leaving: Leaving | None) -> Fate:
        if leaving is None or exchange.status != 200:
            return judged(self._ask, await exchange.read(), exact=self._asking.exact)
        received, seen = b"", 0
        async for chunk in exchange.chunks():
            received += chunk.data
            seen += chunk.data.count(b"data: ")
            if seen >= leaving.events and not received.endswith(b"[DONE]\n\n"):
                return self._hang_up(exchange, leaving)
        whole = http.Response(exchange.status, exchange.headers, received, exchange.complete)
        return judged(self._ask, whole, exact=self._asking.exact)

    def _hang_up(self, exchange: http.Exchange, leaving: Leaving) -> Left:
        exchange.hang_up()
        return Left(leaving.phase)

    async def _cancelled(self, leaving: Leaving) -> None:
        """An operator's cancel; 404 when the request is over, or not there yet."""
        await asyncio.sleep(leaving.after_s)
        with suppress(http.Broken, OSError):
            await self._asking.server.request("POST", f"/api/requests/{self._ask.id}/cancel", b"")
