"""Checks of what a gateway of ours adds: ids, cancels, the truth about the line, events."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

from hostler import events
from hostler.conformance.checks.check import Check, NotHere, Tried, expect, refused
from hostler.conformance.fates import CANCELLED, cut_by
from hostler.errors import HostlerError
from hostler.testing import http

#: Long enough to be still going on when somebody looks.
LONG = 4000
MOST_SLOTS = 32


def _name() -> str:
    return f"check-{secrets.token_hex(4)}"


@asynccontextmanager
async def _streaming(tried: Tried, name: str) -> AsyncIterator[http.Exchange]:
    body = tried.body(max_tokens=LONG, stream=True, ignore_eos=True)
    async with tried.server.stream("POST", tried.path, body, {"x-request-id": name}) as exchange:
        yield exchange


async def health(tried: Tried) -> str:
    expect(await tried.gateway.healthy(), "it says no")
    return "200"


async def request_id(tried: Tried) -> str:
    name = _name()
    if tried.client is None:
        raise NotHere("only a gateway of this kind keeps it")
    answer = await tried.ask(tried.body(max_tokens=1), {"x-request-id": name})
    expect(answer.headers.get("x-request-id") == name, f"it came back as {answer.headers.get('x-request-id')!r}")
    profile = answer.headers.get("x-hostler-profile")
    expect(bool(profile), "no x-hostler-profile says who answered")
    return f"answered by {answer.headers.get('x-hostler-instance')}"


async def operator_cancel(tried: Tried) -> str:
    client, name = tried.gateway, _name()
    async with _streaming(tried, name) as exchange:
        expect(exchange.status == 200, f"answered with {exchange.status}")
        try:
            await client.cancel(name)
        except HostlerError as error:
            raise NotHere(f"the answer was over before it could be cancelled: {error.message}") from error
        answer = await exchange.read()
    expect(answer.complete, "the connection broke off")
    cuts = [cut for event in answer.events() if event.data and (cut := cut_by(event.data))]
    if not cuts:
        raise NotHere("the answer was over before it could be cancelled")
    expect(cuts[0].code == CANCELLED, f"the client hears {cuts[0].code}")
    expect(answer.events()[-1].data == "[DONE]", "the stream has no end")
    return "the client hears why"


async def cancel_unknown(tried: Tried) -> str:
    if tried.client is None:
        raise NotHere("only a gateway of this kind has it")
    answer = await tried.server.request("POST", "/api/requests/no-such-request/cancel", b"")
    return refused(answer, 404).code


async def told_events(tried: Tried) -> str:
    client, name = tried.gateway, _name()
    after = (await client.status()).last_event
    await tried.ask(tried.body(max_tokens=1), {"x-request-id": name})
    granted = False
    async with asyncio.timeout(10), aclosing(client.events(after)) as arriving:
        async for event in arriving:
            granted |= isinstance(event, events.LeaseGranted) and event.request == name
            if isinstance(event, events.LeaseEnded) and event.request == name:
                break
    expect(granted, "the lease ended without a grant")
    return "granted, then ended"


async def queue_headers(tried: Tried) -> str:
    """Every slot is taken by a long answer; one more stream hears its place before it has its turn."""
    client = tried.gateway
    slots = (await client.profile(tried.subject.name)).slots
    if slots > MOST_SLOTS:
        raise NotHere(f"{slots} slots are too many to fill")
    async with AsyncExitStack() as stack:
        for _ in range(slots):
            exchange = await stack.enter_async_context(_streaming(tried, _name()))
            expect(exchange.status == 200, f"answered with {exchange.status}")
        late = await stack.enter_async_context(_streaming(tried, _name()))
        expect(late.status == 200, f"the one who waits was answered with {late.status}")
        place = late.headers.get("x-hostler-queue-place")
        if place is None and "x-hostler-instance" in late.headers:
            raise NotHere("its turn came before it was told: answers are too quick here")
        expect(place is not None and place.isdigit() and int(place) >= 1, f"its place is {place!r}")
    return f"place {place}, about {late.headers.get('x-hostler-queue-wait', '?')} s"


async def left_nothing(tried: Tried) -> str:
    """After all that hung up, nothing of theirs runs or waits."""
    client = tried.gateway
    for _ in range(300):
        names = [each.id for each in (await client.requests(1)).in_flight if each.id.startswith("check-")]
        if not names:
            break
        await asyncio.sleep(0.1)
    expect(not names, f"{', '.join(names)} did not leave")
    return "nothing runs, nothing waits"


OURS = (
    Check("health", "the gateway says that its loop turns", health),
    Check("request-id", "an answer carries the client's id, and who answered", request_id),
    Check("operator-cancel", "a stream that an operator cancels ends with an error that says so", operator_cancel),
    Check("cancel-unknown", "cancelling what does not exist is 404, with an error object", cancel_unknown),
    Check("events", "events tell of a request's grant and end", told_events),
    Check("queue-headers", "a stream that waits hears its place in the line", queue_headers),
    Check("left-nothing", "clients that left hold nothing", left_nothing),
)
