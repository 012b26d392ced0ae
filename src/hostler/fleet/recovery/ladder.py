"""What a further try changes after an engine ran out of memory: pure.

A ladder has the rungs that the profile allows, in its order, and each further load takes one: a smaller ubatch, a
coarser cache, more of the model on the host, a smaller context, idle residents away first. Of the rungs that are left
the first that can free what is missing is taken; when none can, the first. It ends: no rung is taken more than
:data:`TIMES` times and no load is tried again more than :data:`TRIES` times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from hostler.config.quantities import format_bytes
from hostler.config.settings import CacheType, KvType, Profile, Rung
from hostler.placement.bytes import Classes
from hostler.placement.layout import HOST
from hostler.placement.wish import Room

TIMES: Final = 3
TRIES: Final = 8
LEAST_UBATCH: Final = 64
LEAST_CONTEXT: Final = 4096
LEAST_CUT: Final = 256 * 2**20
CUT_SHARE: Final = 0.05

_COARSER: Final[dict[CacheType, CacheType]] = {
    "f32": "f16",
    "f16": "q8_0",
    "bf16": "q8_0",
    "q8_0": "q4_0",
    "q5_1": "q4_0",
    "q5_0": "q4_0",
}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One rung that was taken: ``what`` changed, in words, because ``device`` had run out of memory."""

    rung: Rung
    device: str
    what: str
    was: str
    now: str


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """How a profile is run otherwise than it asks, after running out of memory.

    None and empty leave it as it is. ``most`` is bytes that a plan may use, by device; ``cleared`` are devices that
    idle residents leave before the load. ``build`` is what ran out.
    """

    ubatch: int | None = None
    cache_k: CacheType | None = None
    cache_v: CacheType | None = None
    context: int | None = None
    most: dict[str, int] = {}
    cleared: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    build: str = ""

    def profile(self, asked: Profile) -> Profile:
        """``asked`` with the sizes and types of these changes."""
        engine = asked.engine
        if self.ubatch is not None:
            engine = replace(engine, ubatch=self.ubatch)
        kv: KvType = asked.kv
        if self.cache_k is not None and self.cache_v is not None:
            engine = replace(engine, cache_type_k=self.cache_k, cache_type_v=self.cache_v)
            kv = self.cache_v
        context = asked.context if self.context is None else self.context
        return replace(asked, engine=engine, kv=kv, context=context) if self.steps else asked

    def rooms(self, rooms: Mapping[str, Room]) -> dict[str, Room]:
        """``rooms``, without what residents hold, of which a plan may use no more than these changes allow."""
        return {name: _bounded(room, self.most[name]) if name in self.most else room for name, room in rooms.items()}

    @property
    def words(self) -> tuple[str, ...]:
        """What is other than asked, one line for each matter: from what was asked to what is now."""
        first: dict[tuple[Rung, str], Step] = {}
        last: dict[tuple[Rung, str], Step] = {}
        for step in self.steps:
            matter = (step.rung, step.device if step.rung in ("host", "evict") else "")
            first.setdefault(matter, step)
            last[matter] = step
        return tuple(
            f"{_said(step.rung, first[matter].was, step.now)}, after running out of memory on {step.device}"
            for matter, step in last.items()
        )


def _bounded(room: Room, most: int) -> Room:
    """What may not be used is margin, so that an engine that places by itself leaves it free too."""
    cut = max(0, room.available - most)
    return replace(room, available=room.available - cut, margin=room.margin + cut, most=most)


NONE: Final = Changes()


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """The load that ran out of memory on ``device``.

    ``missing`` is bytes that it lacked there, 0 when that is not known. ``planned`` is what was predicted for the
    device. ``movable``: something of the model lies there that could lie
    on the host. ``idle`` are bytes there of residents that nobody uses.
    """

    device: str
    missing: int
    context: int
    ubatch: int
    cache_k: CacheType
    cache_v: CacheType
    flash_attention: bool = True
    pooled: bool = False
    planned: Classes = Classes()
    movable: bool = False
    idle: dict[str, int] = {}
    build: str = ""


def next_changes(
    tried: Tried, rungs: tuple[Rung, ...], changes: Changes, closed: frozenset[Rung] = frozenset()
) -> Changes | None:
    """``changes`` with one more rung, or None when the ladder ends here.

    ``closed`` are rungs that led nowhere in this load.
    """
    if len(changes.steps) >= TRIES:
        return None
    taken = [step.rung for step in changes.steps]
    left = [rung for rung in dict.fromkeys(rungs) if rung not in closed and taken.count(rung) < TIMES]
    open_to = [(rung, then) for rung in left if (then := _RUNGS[rung](tried, changes)) is not None]
    able = [then for rung, then in open_to if _frees(rung, tried) >= tried.missing]
    chosen = able[0] if able else open_to[0][1] if open_to else None
    return None if chosen is None else replace(chosen, build=tried.build)


def _ubatch(tried: Tried, changes: Changes) -> Changes | None:
    if tried.ubatch <= LEAST_UBATCH or tried.pooled:  # of vectors a whole input must fit
        return None
    smaller = max(LEAST_UBATCH, tried.ubatch // 2)
    return _stepped(replace(changes, ubatch=smaller), tried, "ubatch", str(tried.ubatch), str(smaller))


def _kv(tried: Tried, changes: Changes) -> Changes | None:
    keys = _COARSER.get(tried.cache_k, tried.cache_k)
    # A quantised cache of values exists only with flash attention.
    values = _COARSER.get(tried.cache_v, tried.cache_v) if tried.flash_attention else tried.cache_v
    if (keys, values) == (tried.cache_k, tried.cache_v):
        return None
    was, now = _types(tried.cache_k, tried.cache_v), _types(keys, values)
    return _stepped(replace(changes, cache_k=keys, cache_v=values), tried, "kv", was, now)


def _host(tried: Tried, changes: Changes) -> Changes | None:
    if tried.device == HOST or not tried.movable:
        return None
    planned = tried.planned.total
    most = planned - max(tried.missing, LEAST_CUT, int(planned * CUT_SHARE))
    if most <= 0:
        return None
    changed = replace(changes, most={**changes.most, tried.device: most})
    return _stepped(changed, tried, "host", format_bytes(planned), format_bytes(most))


def _context(tried: Tried, changes: Changes) -> Changes | None:
    if tried.context <= LEAST_CONTEXT:
        return None
    smaller = max(LEAST_CONTEXT, tried.context // 2)
    return _stepped(replace(changes, context=smaller), tried, "context", str(tried.context), str(smaller))


def _evict(tried: Tried, changes: Changes) -> Changes | None:
    if not tried.idle or tried.device in changes.cleared:
        return None
    cleared = (*changes.cleared, tried.device)
    return _stepped(replace(changes, cleared=cleared), tried, "evict", "", ", ".join(sorted(tried.idle)))


_RUNGS: Final[dict[Rung, Callable[[Tried, Changes], Changes | None]]] = {
    "ubatch": _ubatch,
    "kv": _kv,
    "host": _host,
    "context": _context,
    "evict": _evict,
}


def _frees(rung: Rung, tried: Tried) -> int:
    """Bytes that the rung can free at most, taken again and again; the host has room for all."""
    if rung == "evict":
        return sum(tried.idle.values())
    if rung == "host":
        return tried.missing
    if rung == "ubatch":
        return tried.planned.compute * (tried.ubatch - LEAST_UBATCH) // tried.ubatch
    if rung == "context":
        return tried.planned.kv * (tried.context - LEAST_CONTEXT) // tried.context
    return tried.planned.kv * 3 // 4


def _stepped(changed: Changes, tried: Tried, rung: Rung, was: str, now: str) -> Changes:
    step = Step(rung=rung, device=tried.device, what=_what(rung, tried.device, was, now), was=was, now=now)
    return replace(changed, steps=(*changed.steps, step))


def _types(keys: CacheType, values: CacheType) -> str:
    return keys if keys == values else f"{keys}/{values}"


def _what(rung: Rung, device: str, was: str, now: str) -> str:
    if rung == "host":
        return f"at most {now} on {device} instead of {was}"
    if rung == "evict":
        return f"idle profiles leave {device} first: {now}"
    return _said(rung, was, now)


def _said(rung: Rung, was: str, now: str) -> str:
    if rung == "host":
        return f"more on the host ({now} instead of {was})"
    if rung == "evict":
        return f"idle profiles leave first ({now})"
    return f"{'KV' if rung == 'kv' else rung} {now} instead of {was}"
