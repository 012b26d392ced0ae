"""What saving and restoring taught: rates of the disk, how quick engines read, and where it works at all."""

from __future__ import annotations

from pathlib import Path

import msgspec

from hostler.fleet.learning.remembered import Remembered
from hostler.fleet.prompts.worth import SLOW_DISK, Rates

#: So often a restored prompt was asked for and not used, without a single success, until nothing more is tried.
FAILURES = 2

_KEPT = 500


class Support(msgspec.Struct, frozen=True, kw_only=True):
    """Experience with one build, architecture and projector. ``refused`` is the engine's reason for never doing it."""

    used: int = 0
    failed: int = 0
    refused: str = ""

    @property
    def abandoned(self) -> str:
        """Why nothing is saved any more; "" when it is."""
        if self.refused:
            return self.refused
        return "what it restores is not used" if not self.used and self.failed >= FAILURES else ""


class Figures:
    """In the state folder. Read and changed on the event loop's thread, saved in another."""

    def __init__(self, folder: Path) -> None:
        self._numbers = Remembered(folder / "prompt_figures.json", float, _KEPT)
        self._support = Remembered(folder / "prompt_support.json", Support, _KEPT)

    @property
    def rates(self) -> Rates:
        """As measured so far."""
        numbers = self._numbers
        return Rates(
            save=numbers.get("save") or SLOW_DISK,
            restore=numbers.get("restore") or SLOW_DISK,
            restored=self.total("restored"),
            used=self.total("used"),
        )

    def total(self, name: str) -> float:
        """A sum over all time: `saved`, `restored`, `used` (slots) or `saved_s` (seconds)."""
        return self._numbers.get(name) or 0.0

    def add(self, name: str, amount: float) -> None:
        self._numbers.put(name, self.total(name) + amount)

    def moved(self, direction: str, size: int, seconds: float) -> None:
        """An engine wrote (`save`) or read (`restore`) that many bytes."""
        self._blend(direction, size / max(seconds, 1e-4))

    def read(self, key: str, tokens_per_s: float) -> None:
        """An engine read a prompt that fast."""
        self._blend(f"prefill {key}", tokens_per_s)

    def prefill(self, key: str) -> float | None:
        """Prompt tokens per second of what is run under ``key``."""
        return self._numbers.get(f"prefill {key}")

    def sized(self, key: str, size: int, tokens: int) -> None:
        """A saved slot of so many tokens has so many bytes."""
        self._numbers.put(f"bytes {key}", size / max(1, tokens))

    def size(self, key: str, tokens: int, guess: float) -> int:
        """Bytes that a slot of ``tokens`` takes; ``guess`` is bytes for each until one was saved."""
        return round(tokens * (self._numbers.get(f"bytes {key}") or guess))

    def support(self, engine: str) -> Support:
        return self._support.get(engine) or Support()

    def worked(self, engine: str) -> None:
        known = self.support(engine)
        self._support.put(engine, msgspec.structs.replace(known, used=known.used + 1))

    def failed(self, engine: str) -> None:
        known = self.support(engine)
        self._support.put(engine, msgspec.structs.replace(known, failed=known.failed + 1))

    def refused(self, engine: str, reason: str) -> None:
        self._support.put(engine, msgspec.structs.replace(self.support(engine), refused=reason))

    def abandoned(self) -> dict[str, str]:
        """Engines with which nothing is saved, and why."""
        known = ((name, self._support.get(name)) for name in self._support.names())
        return {name: each.abandoned for name, each in known if each is not None and each.abandoned}

    def forget_support(self) -> None:
        """Try everything anew."""
        self._support.keep_only(())

    def save(self) -> None:
        """Write both files. Blocking; OSError."""
        self._numbers.save()
        self._support.save()

    def _blend(self, name: str, value: float) -> None:
        before = self._numbers.get(name)
        self._numbers.put(name, value if before is None else 0.6 * before + 0.4 * value)
