"""SIGTERM while streams run and others wait: the former finish, the latter hear 503 and when to come back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import msgspec

from hostler.bench.proof.telling import Teller
from hostler.client.gateway import Client
from hostler.conformance.asking import Asking, Entry
from hostler.conformance.asks import Ask, Subject
from hostler.conformance.fakes import Fake
from hostler.conformance.fates import Answered, Refused
from hostler.conformance.own import OwnGateway, own_gateway
from hostler.conformance.server import Server

#: Streams of two seconds: four run, so many wait, and some come when it is stopping already.
RUNNING: Final = 4
WAITING: Final = 12
LATE: Final = 4
TOKENS: Final = 60
RATE: Final = 30.0
SUBJECT: Final = Subject("brick")
CONFIG: Final = "[library]\ncaches = false\n"


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """What became of all: ``finished`` of the ``running``, ``refused`` (503 with Retry-After) of the others."""

    rounds: int = 0
    running: int = 0
    finished: int = 0
    waiting: int = 0
    refused: int = 0
    other: tuple[str, ...] = ()
    ended: tuple[int | None, ...] = ()
    left: tuple[str, ...] = ()


async def run(folder: Path, rounds: int, tell: Teller) -> Stopped:
    """Each round with a gateway of its own."""
    step = tell.counter("stop", rounds)
    total = Stopped()
    for number in range(rounds):
        home = folder / f"stop-{number}"
        fake = Fake(name=SUBJECT.name, rate=RATE, slots=RUNNING)
        async with own_gateway(home, CONFIG + fake.engine(home)) as own, Client(own.url, "") as client:
            entries = await _stopped(own, client)
        total = _with(total, entries, own)
        step()
    return total


async def _stopped(own: OwnGateway, client: Client) -> list[Entry]:
    asking = Asking(server=Server.at(own.url), exact=True, patience_s=60.0)
    await asking.entry(_ask(0, stream=False, tokens=1))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asking.entry(_ask(n, stream=True))) for n in range(RUNNING)]
        await _until(client, running=RUNNING, queued=0)
        tasks += [group.create_task(asking.entry(_ask(RUNNING + n, stream=n % 2 == 0))) for n in range(WAITING)]
        await _until(client, running=RUNNING, queued=WAITING)
        ending = group.create_task(own.stop())
        while not (await client.status()).draining:
            continue
        first = RUNNING + WAITING
        tasks += [group.create_task(asking.entry(_ask(first + n, stream=n % 2 == 0))) for n in range(LATE)]
        await ending
    return [task.result() for task in tasks]


def _ask(number: int, *, stream: bool, tokens: int = TOKENS) -> Ask:
    return Ask(number=number, id=f"stop-{number}", subject=SUBJECT, stream=stream, tokens=tokens, words=2)


async def _until(client: Client, *, running: int, queued: int) -> None:
    async with asyncio.timeout(20):
        while True:
            status = await client.status()
            if (status.running, status.queued) == (running, queued):
                return


def _with(total: Stopped, entries: list[Entry], own: OwnGateway) -> Stopped:
    first, others = entries[:RUNNING], entries[RUNNING:]
    finished = [entry for entry in first if isinstance(entry.fate, Answered)]
    refused = [entry for entry in others if isinstance(entry.fate, Refused) and entry.fate.status == 503]
    fine = {entry.ask.id for entry in (*finished, *refused)}
    return Stopped(
        rounds=total.rounds + 1,
        running=total.running + len(first),
        finished=total.finished + len(finished),
        waiting=total.waiting + len(others),
        refused=total.refused + len(refused),
        other=(*total.other, *(f"{e.ask.id}: {e.fate}" for e in entries if e.ask.id not in fine)),
        ended=(*total.ended, own.ended),
        left=(*total.left, *own.left),
    )
