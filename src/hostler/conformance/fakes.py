"""Four profiles on fake engines, and a budget for two of them: what a storm needs that has no models."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import msgspec

from hostler.conformance.asks import Subject
from hostler.conformance.own import quoted
from hostler.testing.builds import write_build
from hostler.testing.gguf_files import write_tiny_gguf

NAMES: Final = ("brick", "copper", "delta", "ember")
#: What Python and the fake engine take beside the memory that it is told to hold.
_OWN_MIB: Final = 35

HEAD: Final = """\
[library]
caches = false
[memory]
budget = {{ host = "{budget} MiB" }}
[limits]
load_grace_s = 0.3
backoff_s = 0.2
"""


class Fake(msgspec.Struct, frozen=True, kw_only=True):
    """A profile on a fake engine: ``rate`` in tokens a second of each slot, what it holds in MiB."""

    name: str
    rate: float = 200.0
    mib: int = 90
    slots: int = 2
    context: int = 2048

    def _head(self, model: Path) -> str:
        lines = f'[profiles.{self.name}]\nmodel = {quoted(model)}\ntask = "chat"\n'
        return f"{lines}context = {self.context}\nslots = {self.slots}\n"

    @property
    def _holds(self) -> int:
        return max(0, self.mib - _OWN_MIB)

    def engine(self, folder: Path) -> str:
        """As a profile of llama.cpp's, which holds what is planned for it; model and build go into ``folder``."""
        build = write_build(folder / self.name, rate=self.rate, tokens=100_000, requests_per_connection=0)
        return self._head(_tiny(folder)) + f"engine.build = {quoted(build)}\n"

    def program(self, folder: Path) -> str:
        """As any program, with what it declares to hold."""
        words = [sys.executable, "-m", "hostler.testing.fake_engine", "--port", "${PORT}", "-m", "${MODEL}"]
        words += ["--alias", self.name, "-np", str(self.slots), "-c", str(self.context)]
        words += [f"--fake-rate={self.rate:g}", "--fake-tokens=100000", f"--fake-memory-mib={self._holds}"]
        argv = ", ".join(quoted(word) for word in words)
        return (
            f"{self._head(_tiny(folder))}[profiles.{self.name}.engine]\n"
            f'kind = "command"\nargv = [{argv}]\nmemory = {{ host = "{self.mib} MiB" }}\n'
        )


def _tiny(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return write_tiny_gguf(folder / "tiny.gguf")


FLEET: Final = tuple(Fake(name=name) for name in NAMES)


def subjects() -> tuple[Subject, ...]:
    """The four profiles."""
    return tuple(Subject(fake.name) for fake in FLEET)


def config(folder: Path) -> str:
    """The configuration; two run as llama.cpp's, two as programs, and about two fit."""
    sections = [HEAD.format(budget=9 * FLEET[0].mib // 4)]
    sections += [fake.engine(folder) for fake in FLEET[:2]]
    sections += [fake.program(folder) for fake in FLEET[2:]]
    return "\n".join(sections)


async def edited(folder: Path) -> None:
    """Change a setting of one profile, and back with the next call: what runs it has to be loaded anew."""
    file = folder / "hostler.toml"
    context = FLEET[0].context
    plain, other = f"context = {context}\n", f"context = {2 * context}\n"
    head, first, rest = file.read_text(encoding="utf-8").partition(f"[profiles.{FLEET[0].name}]")
    own, more, others = rest.partition("[profiles.")
    own = own.replace(other, plain) if other in own else own.replace(plain, other)
    fresh = file.with_suffix(".new")
    fresh.write_text(head + first + own + more + others, encoding="utf-8")
    fresh.replace(file)
