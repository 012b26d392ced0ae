"""Many clients at once, each sending the next request of the storm until none is left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count

from hostler.conformance.asking import Asking, Entry
from hostler.conformance.asks import Weather, drawn


async def storm(weather: Weather, asking: Asking, done: Callable[[Entry], None]) -> list[Entry]:
    """Every request's entry, by number. ``done`` is called as each of them ends."""
    numbers, entries = count(), list[Entry]()

    async def client() -> None:
        while (number := next(numbers)) < weather.requests:
            entry = await asking.entry(drawn(weather, number))
            entries.append(entry)
            done(entry)

    async with asyncio.TaskGroup() as group:
        for _ in range(weather.clients):
            group.create_task(client())
    return sorted(entries, key=lambda entry: entry.ask.number)
