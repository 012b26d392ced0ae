"""What a saved prompt is worth: seconds of computing against seconds of reading, and who leaves a full shelf. Pure."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from hostler.fleet.prompts.entries import Entry

#: Fewer tokens than this are computed sooner than anybody notices.
LEAST_TOKENS = 256

#: Until it is measured: a slow disk, and checksums at the rate of a slow processor.
SLOW_DISK = 150e6
CHECKSUM = 600e6
#: What asking the engine takes beside the bytes.
ASKING_S = 0.03

_HALF_LIFE_S = 86400.0
_LEAST_CHANCE = 0.1


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured: bytes/s of an engine that writes and reads slots, and how often a restored one was used."""

    save: float = SLOW_DISK
    restore: float = SLOW_DISK
    restored: float = 0.0
    used: float = 0.0

    @property
    def chance(self) -> float:
        """How likely a restored prompt is used; one in two until anything is known."""
        return max(_LEAST_CHANCE, (self.used + 1) / (self.restored + 2))


def computing_s(tokens: int, tokens_per_s: float | None) -> float:
    """Seconds that the engine takes to read a prompt; 0 while nobody knows how quick it is."""
    return tokens / tokens_per_s if tokens_per_s else 0.0


def saving_s(size: int, rates: Rates) -> float:
    """Seconds until an engine has written ``size`` bytes."""
    return ASKING_S + size / rates.save


def restoring_s(size: int, rates: Rates) -> float:
    """Seconds until ``size`` bytes are checked and read by an engine."""
    return ASKING_S + size / CHECKSUM + size / rates.restore


def bringing_s(redo_s: float, size: int, rates: Rates, patience_s: float) -> float:
    """Seconds to have a conversation again that is ``redo_s`` of computing and would take ``size`` bytes.

    It is restored where that is quicker and it is written at all: in ``patience_s`` at the most.
    """
    return redo_s if saving_s(size, rates) > patience_s else min(redo_s, restoring_s(size, rates))


def pays(entry: Entry, rates: Rates) -> bool:
    """Whether restoring takes less time than it is likely to save."""
    return restoring_s(entry.bytes, rates) < entry.computing_s * rates.chance


def usefulness(entry: Entry, now: float) -> float:
    """Seconds saved per byte, weighed by how often it helped and how long that is ago (halves in a day)."""
    faded: float = 0.5 ** (max(0.0, now - entry.used_at) / _HALF_LIFE_S)
    return entry.computing_s * (1 + entry.hits) * faded / max(1, entry.bytes)


def leaving(entries: Collection[Entry], now: float, budget: int, age_s: float) -> list[Entry]:
    """Those that have to go: what was not used for ``age_s`` seconds, then the least useful until the rest fits."""
    old = [entry for entry in entries if now - entry.used_at > age_s]
    kept = sorted((entry for entry in entries if entry not in old), key=lambda entry: usefulness(entry, now))
    total = sum(entry.bytes for entry in kept)
    while kept and total > budget:
        total -= kept[0].bytes
        old.append(kept.pop(0))
    return old
