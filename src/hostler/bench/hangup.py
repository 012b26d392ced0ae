"""``python -m hostler.bench.hangup``: how soon the next client is served after one has hung up.

A client hangs up in some phase of its request; in that moment another asks for one token, for which there is no other
slot. Its time, less the median time of the same request when its slot is free, is what the abandoned request cost:
noticing the hang-up, freeing the slot, granting it again. Each phase is measured with one slot, and with two of which
another client keeps one busy; through the gateway, and with ``--engine`` at the engine alone, as it is asked directly
and with ``return_progress``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import itertools
import os
import platform
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec

from hostler.bench.hangup_page import Cost, Report, section
from hostler.bench.load import Target
from hostler.bench.machine import system
from hostler.bench.sections import replaced
from hostler.bench.subjects import LISTENING, child, free_port, listening
from hostler.bench.switchers import bare_command
from hostler.testing import http

CONFIG: Final = """\
[gateway]
default = "alone"
[kv]
persist = false
[library]
caches = false
[profiles.alone]
model = "{model}"
task = "chat"
context = 8192
[profiles.beside]
extends = "alone"
slots = 2
"""
WARM_UP_CHUNKS: Final = 5
WITHIN_S: Final = 30.0
LONG: Final = "the sea and the sky " * 1100
PATH: Final = "/v1/chat/completions"
_numbers = itertools.count(1)


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request is when its client leaves it: after ``chunks`` of its answer, else after ``after_s``."""

    name: str
    stream: bool
    prompt: str = ""
    chunks: int = 0
    after_s: float = 0.0
    extra: dict[str, object] = {}


PHASES: Final = (
    Phase(name="decode", stream=True, chunks=WARM_UP_CHUNKS),
    Phase(name="prefill", stream=True, prompt=LONG, after_s=0.7),
    Phase(name="non-stream decode", stream=False, after_s=0.7),
    Phase(name="non-stream prefill", stream=False, prompt=LONG, after_s=0.7),
)
#: What the relay could ask the engine for instead.
PROGRESS: Final = (
    Phase(name="prefill, with progress", stream=True, prompt=LONG, after_s=0.7, extra={"return_progress": True}),
    Phase(name="decode, with progress", stream=True, chunks=WARM_UP_CHUNKS, extra={"return_progress": True}),
)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked: ``slots`` of ``model`` there, all but one of which others keep busy."""

    target: Target
    model: str
    slots: int

    @property
    def address(self) -> http.Address:
        return (self.target.host, self.target.port)

    @property
    def headers(self) -> dict[str, str]:
        return http.bearer(self.target.key) if self.target.key else {}

    def body(self, tokens: int, phase: Phase | None = None) -> dict[str, object]:
        """A question nobody asked before; ``tokens`` bounds the answer."""
        text = f"{next(_numbers)}: tell a long story about a harbour. {phase.prompt if phase else ''}"
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": text}],
            "max_tokens": tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream": phase is not None and phase.stream,
            **({} if phase is None else phase.extra),
        }

    async def ask_one(self) -> float:
        """Seconds for one token, not streamed; :data:`WITHIN_S` when it took longer."""
        began = time.perf_counter()
        try:
            answer = await http.request(self.address, "POST", PATH, self.body(1), self.headers, WITHIN_S)
        except TimeoutError:
            return WITHIN_S
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {answer.body[:300]!r}")
        return time.perf_counter() - began

    @contextlib.asynccontextmanager
    async def neighbours(self) -> AsyncIterator[None]:
        """All slots but one are busy with a stream that does not end by itself."""
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(self.slots - 1):
                body = self.body(6000, Phase(name="neighbour", stream=True))
                other = await stack.enter_async_context(http.stream(self.address, "POST", PATH, body, self.headers))
                reading = asyncio.create_task(_read_on(other))
                stack.callback(reading.cancel)
            yield
        await asyncio.gather(*(self.ask_one() for _ in range(self.slots)))  # until the slots are free again

    async def idle(self) -> float:
        """Seconds for one token in a free slot."""
        async with self.neighbours():
            return await self.ask_one()

    async def after(self, phase: Phase) -> float:
        """Seconds for one token, asked for in the moment in which another client leaves."""
        async with self.neighbours():
            async with http.connected(self.address) as leaving:
                body = self.body(4000 if not phase.prompt else 200, phase)
                leaving.writer.write(http.encode("POST", PATH, self.address, body, self.headers))
                await leaving.writer.drain()
                if phase.chunks:
                    await leaving.read_head()
                    await _some(leaving, phase.chunks)
                else:
                    await asyncio.sleep(phase.after_s)
                leaving.hang_up()
            return await self.ask_one()


async def _some(exchange: http.Exchange, count: int) -> None:
    async for _ in exchange.chunks():
        count -= 1
        if not count:
            return


async def _read_on(exchange: http.Exchange) -> None:
    async for _ in exchange.chunks():
        pass


async def costs(where: str, place: Place, phases: tuple[Phase, ...], rounds: int) -> list[Cost]:
    """What each phase costs there, phases in turns so that none has the machine's bad moments alone."""
    await place.ask_one()
    idle = statistics.median([await place.idle() for _ in range(max(3, rounds // 2))])
    taken: dict[str, list[float]] = {phase.name: [] for phase in phases}
    for _ in range(rounds):
        for phase in phases:
            taken[phase.name].append(max(0.0, await place.after(phase) - idle))
            print(where, place.slots, phase.name, f"{taken[phase.name][-1]:.3f}", file=sys.stderr)
    return [Cost.of(where, phase.name, place.slots, idle, taken[phase.name]) for phase in phases]


async def at_gateway(folder: Path, model: Path, rounds: int) -> tuple[list[Cost], dict[str, tuple[str, ...]], float]:
    """Through `hostler up`; then the command of each of its engines, and the seconds that a batch takes."""
    (folder / "hostler.toml").write_text(CONFIG.format(model=model))
    target = Target("127.0.0.1", free_port(), "")
    argv = [str(Path(sys.executable).with_name("hostler")), "up", "--port", str(target.port)]
    found: list[Cost] = []
    commands: dict[str, tuple[str, ...]] = {}
    async with child(argv, {"HOSTLER_HOME": str(folder)}, folder / "bench.log"):
        await listening(target)
        for name, slots in (("alone", 1), ("beside", 2)):
            place = Place(target=target, model=name, slots=slots)
            found += await costs("gateway", place, PHASES, rounds)
            (shown,) = [each for each in await _instances(place) if each.profile == name]
            commands[name] = shown.argv
        batch_s = await _batch_s(Place(target=target, model="alone", slots=1), commands["alone"])
    return found, commands, batch_s


async def at_engine(folder: Path, command: tuple[str, ...], slots: int, rounds: int) -> list[Cost]:
    """The same engine without a gateway, as it is asked directly and with progress."""
    key, log = secrets.token_hex(8), folder / f"engine-{slots}.log"
    async with child(list(bare_command(command, None, folder)), {"LLAMA_API_KEY": key}, log) as process:
        async with asyncio.timeout(60):
            while (heard := LISTENING.search(log.read_bytes())) is None:
                if process.returncode is not None:
                    raise RuntimeError(log.read_text()[-2000:])
                await asyncio.sleep(0.02)
        place = Place(target=Target("127.0.0.1", int(heard[1]), key), model="x", slots=slots)
        return await costs("engine", place, (*PHASES, *PROGRESS), rounds)


class _Shown(msgspec.Struct):
    profile: str
    argv: tuple[str, ...]


class _Timings(msgspec.Struct):
    prompt_per_second: float


class _Timed(msgspec.Struct):
    timings: _Timings


async def _instances(place: Place) -> list[_Shown]:
    answer = await http.request(place.address, "GET", "/api/instances")
    return msgspec.json.decode(answer.body, type=list[_Shown])


async def _batch_s(place: Place, command: tuple[str, ...]) -> float:
    """Seconds that one batch of a prompt takes."""
    phase = Phase(name="batch", stream=False, prompt=LONG[: len(LONG) // 4])
    answer = await http.request(place.address, "POST", PATH, place.body(1, phase), timeout_s=300)
    speed = msgspec.json.decode(answer.body, type=_Timed).timings.prompt_per_second
    size = next(int(value) for flag, value in itertools.pairwise(command) if flag in ("-b", "--batch-size"))
    return size / speed


async def run(model: Path, rounds: int, *, engine: bool, command: str) -> Report:
    """Measure in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="hostler-bench-") as name:
        found, commands, batch_s = await at_gateway(Path(name), model, rounds)
        if engine:
            for profile, slots in (("alone", 1), ("beside", 2)):
                found += await at_engine(Path(name), commands[profile], slots, max(3, rounds // 4))
    return Report(
        at=time.time(),
        machine=system(),
        python=platform.python_version(),
        engine=f"xllamacpp {importlib.metadata.version('xllamacpp')}",
        command=command,
        load=os.getloadavg()[1],
        batch_s=batch_s,
        costs=tuple(found),
    )


def main() -> None:
    """Read the command line, run, print, and write where asked."""
    parser = argparse.ArgumentParser(
        prog="python -m hostler.bench.hangup", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path, help="a chat model (GGUF)")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--engine", action="store_true", help="measure the engine alone as well")
    parser.add_argument("--data", type=Path, help="write the figures there (JSON)")
    parser.add_argument("--page", type=Path, help="renew the section of this page")
    told = parser.parse_args()
    command = f"make bench-hangup ROUNDS={told.rounds}{' ENGINE=--engine' if told.engine else ''}"
    report = asyncio.run(run(told.model.absolute(), told.rounds, engine=told.engine, command=command))
    print(section(report))
    if told.data is not None:
        told.data.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    if told.page is not None:
        told.page.write_text(replaced(told.page.read_text("utf-8"), "hangup", section(report)), "utf-8")


if __name__ == "__main__":
    main()
