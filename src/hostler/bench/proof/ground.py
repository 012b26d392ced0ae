"""The four profiles of the proof: two real models, two fake engines that hold as much."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hostler.client.gateway import Client
from hostler.conformance.asks import Subject
from hostler.conformance.fakes import Fake
from hostler.conformance.finding import Found, find
from hostler.conformance.own import own_gateway, quoted

#: Profile, the file of its model, its task.
STARTERS: Final = (
    ("smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "chat"),
    ("gemma", "gemma-3-270m-q4_k_m.gguf", "completion"),
)
FAKES: Final = ("copper", "delta")
CONTEXT: Final = 1024
SLOTS: Final = 2

HEAD: Final = """\
[library]
caches = false
[memory]
{budget}
"""


def starters(models: Path, settings: Mapping[str, str] | None = None, slots: int = SLOTS) -> str:
    """The real profiles; ``settings`` are further lines of each."""
    more = settings or {}
    return "\n".join(
        f'[profiles.{name}]\nmodel = {quoted(models / file)}\ntask = "{task}"\ncontext = {CONTEXT}\nslots = {slots}\n'
        f"{more.get(name, '')}engine.threads = 1\n"
        for name, file, task in STARTERS
    )


def subjects() -> tuple[Subject, ...]:
    """How all four are asked."""
    real = [Subject(name, "chat" if task == "chat" else "completions") for name, _file, task in STARTERS]
    return (*real, *(Subject(name) for name in FAKES))


async def needs(folder: Path, config: str) -> dict[str, int]:
    """MiB of main memory that each profile is planned to take, rounded up."""
    async with own_gateway(folder, config) as own, Client(own.url, "") as client:
        return {each.name: -(-each.need.get("host", 0) // 2**20) for each in await client.profiles() if each.need}


async def found_at(client: Client, names: tuple[Subject, ...]) -> Found:
    """The gateway, and these of its profiles."""
    return await find(client, "", tuple(each.name for each in names))


async def config_for_two(folder: Path, models: Path) -> str:
    """The fakes take as much as the larger real model does; any two fit into the budget, no three do."""
    planned = await needs(folder / "needs", HEAD.format(budget="") + starters(models))
    most = round(1.1 * max(planned.values()))
    fakes = [Fake(name=name, mib=most).program(folder) for name in FAKES]
    budget = f'budget = {{ host = "{round(2.2 * most)} MiB" }}'
    return "\n".join([HEAD.format(budget=budget), starters(models), *fakes])
