"""``python -m hostler.bench.kv``: what the next turn of a conversation takes after a switch to another model and back.

Two gateways, one that keeps prompts and one that does not, each with memory for one engine. In both: a long first turn
on the first model, a request to the second (which takes the first one's memory), the first one loaded again, the next
turn. Times are from the request to the first token that the client sees.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from hostler.bench.load import Target
from hostler.bench.machine import conditions
from hostler.bench.sections import replaced
from hostler.bench.subjects import child, free_port, listening
from hostler.testing import http

FILES: Final = {"talk": "SmolLM2-135M-Instruct.Q4_1.gguf", "other": "gemma-3-270m-q4_k_m.gguf"}
GOAL: Final = 0.05
WITHIN_S: Final = 600.0

CONFIG: Final = """\
[library]
caches = false
[memory.budget]
host = "{budget} MiB"
[kv]
persist = {persist}
[profiles.talk]
model = {talk}
context = 8192
engine.threads = {threads}
[profiles.other]
model = {other}
task = "completion"
context = 2048
engine.threads = {threads}
"""
SENTENCE: Final = "The harbour master counted boat number {} and wrote it down. "
TOKENS_EACH: Final = 14


class Setup(msgspec.Struct, frozen=True):
    """What is measured: model files by profile, tokens of the first turn, MiB for engines, threads of each."""

    models: dict[str, Path]
    tokens: int
    budget: int
    threads: int


class Turn(msgspec.Struct, frozen=True):
    """One answer: seconds to its first token, tokens that were cached and read, its text."""

    first_s: float
    cached: int
    prompt: int
    text: str


class Round(msgspec.Struct, frozen=True):
    """One way through: seconds of the switch away and back, and both turns."""

    away_s: float
    back_s: float
    before: Turn
    after: Turn


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All rounds, with prompts kept and without."""

    machine: str
    kept: list[Round]
    unkept: list[Round]

    @property
    def ratio(self) -> float:
        """Median time to the next turn's first token, kept to not kept."""
        return _median(self.kept, _next_s) / _median(self.unkept, _next_s)


def _next_s(each: Round) -> float:
    return each.after.first_s


async def through(folder: Path, setup: Setup, persist: bool) -> Round:
    """Start a gateway in ``folder``, talk, switch away and back, talk on."""
    _configure(folder, setup, persist)
    target = Target("127.0.0.1", free_port(), "")
    argv = [str(Path(sys.executable).with_name("hostler")), "up", "--port", str(target.port)]
    async with child(argv, {"HOSTLER_HOME": str(folder)}, folder / "bench.log"):
        await listening(target)
        await _load(target, "talk")
        said = [{"role": "user", "content": _text(setup.tokens)}]
        before = await _turn(target, said)
        began = time.perf_counter()
        await _complete(target)
        away_s = time.perf_counter() - began
        began = time.perf_counter()
        await _load(target, "talk")
        back_s = time.perf_counter() - began
        said += [{"role": "assistant", "content": before.text}, {"role": "user", "content": "And then?"}]
        return Round(away_s, back_s, before, await _turn(target, said))


def _configure(folder: Path, setup: Setup, persist: bool) -> None:
    folder.mkdir()
    paths = {name: msgspec.json.encode(str(path)).decode() for name, path in setup.models.items()}
    text = CONFIG.format(persist=str(persist).lower(), budget=setup.budget, threads=setup.threads, **paths)
    (folder / "hostler.toml").write_text(text)


def _text(tokens: int) -> str:
    return "".join(SENTENCE.format(number) for number in range(tokens // TOKENS_EACH)) + "How many boats were there?"


async def _turn(target: Target, said: list[dict[str, str]]) -> Turn:
    body: dict[str, object] = {"model": "talk", "messages": said, "max_tokens": 24, "stream": True, "temperature": 0}
    began, first, text, timings = time.perf_counter(), 0.0, "", {"cache_n": 0, "prompt_n": 0}
    async with http.stream((target.host, target.port), "POST", "/v1/chat/completions", body) as exchange:
        if exchange.status != 200:
            raise RuntimeError(f"{exchange.status}: {(await exchange.read()).body[:300]!r}")
        async for event in exchange.events():
            if not event.data.startswith("{"):
                continue
            told = msgspec.json.decode(event.data)
            content = "".join(choice.get("delta", {}).get("content") or "" for choice in told.get("choices", ()))
            first = first or (time.perf_counter() - began if content else 0.0)
            text, timings = text + content, told.get("timings") or timings
    return Turn(first, timings["cache_n"], timings["prompt_n"], text)


async def _complete(target: Target) -> None:
    body = {"model": "other", "prompt": "One, two,", "max_tokens": 1}
    answer = await http.request((target.host, target.port), "POST", "/v1/completions", body, timeout_s=WITHIN_S)
    shown = await http.request((target.host, target.port), "GET", "/api/instances")
    names = [each["profile"] for each in msgspec.json.decode(shown.body)]
    if answer.status != 200 or names != ["other"]:
        raise RuntimeError(f"no switch: {names}, {answer.status} {answer.body[:300]!r}")


async def _load(target: Target, profile: str) -> None:
    path = f"/api/profiles/{profile}/load"
    answer = await http.request((target.host, target.port), "POST", path, {}, timeout_s=WITHIN_S)
    if answer.status != 200:
        raise RuntimeError(f"{profile}: {answer.body[:300]!r}")


async def run(setup: Setup, rounds: int) -> Report:
    """Print every round; all of them."""
    kept: list[Round] = []
    unkept: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="hostler-bench-") as name:
        for number in range(rounds):
            for persist, done in ((True, kept), (False, unkept)):
                done.append(await through(Path(name) / f"{number}-{persist}", setup, persist))
                print(_told(done[-1], persist), flush=True)
    return Report(machine=conditions(), kept=kept, unkept=unkept)


def section(report: Report) -> str:
    """The figures as the page has them: medians, in seconds."""
    rows = [
        f"| {name} | {_median(rounds, lambda each: each.before.first_s):.2f} s | "
        f"{_median(rounds, lambda each: each.away_s):.2f} s | {_median(rounds, lambda each: each.back_s):.2f} s | "
        f"{_median(rounds, _next_s):.2f} s | {rounds[0].after.cached} | "
        f"{rounds[0].after.prompt} |"
        for name, rounds in (("kept", report.kept), ("not kept", report.unkept))
    ]
    verdict = "met" if report.ratio <= GOAL else "**missed**"
    tokens = report.kept[0].before.prompt
    return "\n".join(
        (
            f"- Command: `make bench-kv`, {len(report.kept)} rounds; a first turn of {tokens} tokens",
            f"- Machine: {report.machine}",
            "",
            "| prompts | first turn | away | back | next turn | cached | read |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            f"First token of the next turn, kept to not kept: **{report.ratio:.3f}**, goal: at most {GOAL}: {verdict}.",
        )
    )


def _median(rounds: list[Round], of: Callable[[Round], float]) -> float:
    return statistics.median(map(of, rounds))


def _told(done: Round, persist: bool) -> str:
    after = done.after
    return (
        f"{'kept' if persist else 'not kept':8}  first turn {done.before.prompt} tokens, first token after "
        f"{done.before.first_s:.2f} s; away {done.away_s:.2f} s, back {done.back_s:.2f} s; next turn: first token "
        f"after {after.first_s:.2f} s, {after.cached} tokens cached, {after.prompt} read"
    )


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        prog="python -m hostler.bench.kv", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", type=Path, default=Path(".make/models"), help="where the starter models are")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=4000, help="of the first turn, about")
    parser.add_argument("--budget", type=int, default=600, help="MiB for engines: enough for either, not for both")
    parser.add_argument("--threads", type=int, default=2, help="of each engine; 1 beside other programs")
    parser.add_argument("--data", type=Path, help="write the figures there (JSON)")
    parser.add_argument("--page", type=Path, help="renew the section of this page")
    told = parser.parse_args()
    models = {name: (told.models / file).absolute() for name, file in FILES.items()}
    report = asyncio.run(run(Setup(models, told.tokens, told.budget, told.threads), told.rounds))
    print(section(report))
    if told.data is not None:
        told.data.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    if told.page is not None:
        told.page.write_text(replaced(told.page.read_text("utf-8"), "kv", section(report)), "utf-8")


if __name__ == "__main__":
    main()
