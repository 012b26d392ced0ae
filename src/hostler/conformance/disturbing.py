"""Crashes and reloads, in the middle of a storm."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from random import Random

import msgspec
import psutil

from hostler.client.gateway import Client
from hostler.conformance.witness import Witness
from hostler.errors import HostlerError
from hostler.wire.management import Instance


class Disturbances(msgspec.Struct, frozen=True, kw_only=True):
    """Mean seconds between crashes, beside two loads, and between reloads; None is never. ``edit`` changes the
    configuration before."""

    seed: int
    crash_s: float | None = None
    reload_s: float | None = None
    edit: Callable[[], Awaitable[None]] | None = None


async def disturb(client: Client, witness: Witness, wanted: Disturbances) -> None:
    """Until cancelled."""
    async with asyncio.TaskGroup() as group:
        if wanted.crash_s is not None:
            group.create_task(_crashes(client, witness, wanted.crash_s, Random(f"{wanted.seed}:crash")))  # noqa: S311
        if wanted.reload_s is not None:
            group.create_task(_reloads(client, wanted, wanted.reload_s, Random(f"{wanted.seed}:reload")))  # noqa: S311


async def _crashes(client: Client, witness: Witness, mean_s: float, random: Random) -> None:
    gateway = (await client.status()).pid
    while True:
        # Where loads are slow nothing would ever be answered between two crashes.
        await asyncio.sleep(random.expovariate(1 / (mean_s + 2 * witness.loads.longest_s)))
        running = [each for each in await client.instances() if each.pid is not None]
        if running:
            kill(gateway, random.choice(running), witness)


def kill(gateway: int, instance: Instance, witness: Witness) -> bool:
    """SIGKILL for its engine, which has to be a child of the gateway; whether it was still there."""
    pid = instance.pid
    try:
        if pid is None or gateway not in [parent.pid for parent in psutil.Process(pid).parents()]:
            return False
        witness.killed(instance.id, instance.profile)
        os.kill(pid, signal.SIGKILL)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False  # it ended by itself meanwhile
    return True


async def _reloads(client: Client, wanted: Disturbances, mean_s: float, random: Random) -> None:
    while True:
        await asyncio.sleep(random.expovariate(1 / mean_s))
        if wanted.edit is not None:
            await wanted.edit()
        try:
            await client.reload()
        except HostlerError:
            continue  # told by its event; a configuration that is refused changes nothing
