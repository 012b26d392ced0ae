"""What a run found: the fates, the facts beside them, and every violation. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec

from hostler.conformance.asking import Entry
from hostler.conformance.fates import Answered, Broken, Cut, Left, Refused
from hostler.conformance.witness import Witness

Kind = Literal["lost", "refused", "cut", "double load", "over budget", "waited", "left behind"]
#: Not now: too many wait, too little time, the gateway stops. What a client is told to try again.
NOT_NOW = frozenset({"queue_full", "queue_timeout", "draining", "no_capacity"})


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """A broken promise; ``request`` is empty where it is nobody's in particular."""

    kind: Kind
    what: str
    request: str = ""


class Waits(msgspec.Struct, frozen=True, kw_only=True):
    """Waits for an instance, in seconds. ``bound_s`` is the starvation bound of the one that waited longest."""

    count: int = 0
    p50_s: float = 0.0
    p95_s: float = 0.0
    longest_s: float = 0.0
    bound_s: float = 0.0


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway's events and figures told; memory in bytes by device, ``ceilings`` as configured."""

    loads: int
    longest_load_s: float
    swaps: int
    kills: int
    failures: int
    reloads: int
    double_loads: int
    over_budget: int
    looks: int
    missed_events: int
    peak: dict[str, int]
    ceilings: dict[str, int]
    waits: Waits


class StormReport(msgspec.Struct, frozen=True, kw_only=True):
    """One storm. ``fates`` counts requests by fate; ``seen`` is None where the server tells nothing of itself."""

    seed: int
    clients: int
    requests: int
    profiles: tuple[str, ...]
    seconds: float
    fates: dict[str, int]
    refusals: dict[str, int]
    tokens: int
    violations: tuple[Violation, ...]
    seen: Seen | None = None
    notes: tuple[str, ...] = ()


def fates_of(entries: Sequence[Entry]) -> dict[str, int]:
    """How many requests had each fate, all fates named."""
    names = ("answered", "refused", "left", "cut", "broken")
    counted = Counter(str(type(entry.fate).__struct_config__.tag) for entry in entries)
    return {name: counted[name] for name in names}


def refusals_of(entries: Sequence[Entry]) -> dict[str, int]:
    """Refusals by code."""
    return dict(Counter(entry.fate.code for entry in entries if isinstance(entry.fate, Refused)))


def tokens_of(entries: Sequence[Entry]) -> int:
    """Tokens of all answers that count them."""
    return sum(entry.fate.tokens or 0 for entry in entries if isinstance(entry.fate, Answered))


def judged(entries: Sequence[Entry], requests: int, witness: Witness | None) -> list[Violation]:
    """Every promise that was broken. A request that had no fate is lost."""
    there = {entry.ask.number for entry in entries}
    missing = [Violation(kind="lost", what=f"request {n} has no fate") for n in range(requests) if n not in there]
    doubled = len(entries) - len(there)
    if doubled:
        missing.append(Violation(kind="lost", what=f"{doubled} requests had more than one fate"))
    found = missing + [broken for entry in entries if (broken := _of(entry, witness))]
    return found if witness is None else found + _of_gateway(witness)


def _of(entry: Entry, witness: Witness | None) -> Violation | None:
    fell = witness is not None and witness.fell(entry.ask.id, entry.ask.subject.name)
    match entry.fate:
        case Answered() | Left():
            return None
        case Broken(reason):
            if fell and not entry.ask.stream and "ended inside" in reason:
                return None  # an answer without events has no place for an error: it is cut short
            return Violation(kind="lost", what=reason, request=entry.ask.id)
        case Refused(status=status, code=code, message=message):
            if code in NOT_NOW or fell:
                return None
            return Violation(kind="refused", what=f"{status} {code}: {message}", request=entry.ask.id)
        case Cut(code=code, message=message):
            if code in NOT_NOW or fell:
                return None
            return Violation(kind="cut", what=f"{code}: {message}", request=entry.ask.id)


def _of_gateway(witness: Witness) -> list[Violation]:
    found = [Violation(kind="double load", what=what) for what in witness.doubles]
    found += [Violation(kind="over budget", what=what) for what in witness.over]
    for wait in witness.waits():
        if wait.waited_s > wait.allowed_s:
            what = (
                f"{wait.profile} after {wait.waited_s:.1f} s, from place {wait.position}; bound {wait.allowed_s:.1f} s"
            )
            found.append(Violation(kind="waited", what=what, request=wait.request))
    return found


def seen_by(witness: Witness, ceilings: dict[str, int]) -> Seen:
    """The witness' figures."""
    waits = sorted(witness.waits(), key=lambda wait: wait.waited_s)
    return Seen(
        loads=witness.loads.count,
        longest_load_s=witness.loads.longest_s,
        swaps=witness.loads.swaps,
        kills=witness.kills,
        failures=witness.loads.crashes,
        reloads=witness.loads.reloads,
        double_loads=len(witness.doubles),
        over_budget=len(witness.over),
        looks=witness.looks,
        missed_events=witness.missed,
        peak=witness.peak,
        ceilings=ceilings,
        waits=Waits(
            count=len(waits),
            p50_s=percentile([wait.waited_s for wait in waits], 0.5),
            p95_s=percentile([wait.waited_s for wait in waits], 0.95),
            longest_s=waits[-1].waited_s if waits else 0.0,
            bound_s=waits[-1].starvation_s if waits else 0.0,
        ),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share lies; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))] if ordered else 0.0
