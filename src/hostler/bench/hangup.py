"""``python -m hostler.bench.hangup``: how soon the next client is served after one has hung up.

A profile with one slot on the real engine. A client streams a long answer and hangs up in the middle; the next
one asks for a single token at once. Its time, less the median time of the same request to an idle engine, is
what the abandoned answer cost: noticing the hang-up, freeing the slot, granting it again.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from hostler.bench.load import Target
from hostler.bench.subjects import child, free_port
from hostler.testing import http

CONFIG = """\
[library]
caches = false
[profiles.toy]
model = "{model}"
task = "chat"
context = 2048
"""
WARM_UP_CHUNKS = 5


def body(tokens: int, *, stream: bool) -> dict[str, object]:
    """A question; ``tokens`` bounds the answer."""
    messages = [{"role": "user", "content": "Tell a long story about a harbour."}]
    return {"model": "toy", "messages": messages, "max_tokens": tokens, "stream": stream, "temperature": 0}


async def ask_one(target: Target) -> float:
    """Seconds for one token, not streamed."""
    began = time.perf_counter()
    answer = await http.request((target.host, target.port), "POST", "/v1/chat/completions", body(1, stream=False))
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {answer.body[:300]!r}")
    return time.perf_counter() - began


async def after_hang_up(target: Target) -> float:
    """Seconds for one token, asked for in the moment in which another client leaves."""
    async with http.stream(
        (target.host, target.port), "POST", "/v1/chat/completions", body(1500, stream=True)
    ) as exchange:
        seen = 0
        async for _ in exchange.chunks():
            seen += 1
            if seen >= WARM_UP_CHUNKS:
                break
        exchange.hang_up()
    return await ask_one(target)


async def run(model: str, rounds: int) -> None:
    """Print the median, p95 and worst of what an abandoned answer costs."""
    with tempfile.TemporaryDirectory(prefix="hostler-bench-") as name:
        home = Path(name)
        (home / "hostler.toml").write_text(CONFIG.format(model=model))
        target = Target("127.0.0.1", free_port(), "")
        argv = [str(Path(sys.executable).with_name("hostler")), "up", "toy", "--port", str(target.port)]
        async with child(argv, {"HOSTLER_HOME": name}, home / "bench.log"):
            await _listening(target)
            await ask_one(target)
            idle = statistics.median([await ask_one(target) for _ in range(rounds)])
            costs = sorted([await after_hang_up(target) - idle for _ in range(rounds)])
    p95 = costs[min(len(costs) - 1, round(0.95 * len(costs)))]
    print(f"one token, idle engine: median {idle * 1e3:.0f} ms of {rounds}")
    print(
        f"cost of an abandoned stream: median {statistics.median(costs) * 1e3:.0f} ms, "
        f"p95 {p95 * 1e3:.0f} ms, worst {costs[-1] * 1e3:.0f} ms of {rounds}"
    )


async def _listening(target: Target) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection(target.host, target.port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m hostler.bench.hangup", description=__doc__)
    parser.add_argument("model", type=Path, help="a chat model (GGUF)")
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    asyncio.run(run(str(options.model.absolute()), options.rounds))


if __name__ == "__main__":
    main()
