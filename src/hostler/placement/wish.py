"""What is asked of a plan, and where: the wish of a profile, and the room on each device."""

from __future__ import annotations

from typing import Literal

import msgspec

from hostler.config.settings import CacheType, KvType, LoadMode, Placement, Profile, Task
from hostler.hardware.facts import Machine
from hostler.models.shape import ModelShape
from hostler.placement.corrections import NONE, Corrections
from hostler.placement.efficiency import PRIORS, Efficiencies
from hostler.placement.layout import HOST
from hostler.placement.manual import Manual

MIB = 2**20
DEFAULT_CONTEXT = 8192


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a profile asks for, at its edges still open.

    ``context`` is tokens for one request, "max" as many as fit (``least_context`` or more). A cache type "auto" leaves
    the choice between f16 and q8_0. ``batch`` and ``ubatch`` None leave the sizes to the plan. ``devices`` are the GPUs
    that may be used, () all, ("host",) none. The plan makes the time of a request with ``prompt`` new tokens and
    ``answer`` tokens shortest. ``pooled`` runs answer with vectors only, ``whole_inputs`` with vectors beside chat: an
    input must fit one ubatch. ``manual`` says where a profile that places by hand puts
    everything. ``load_mode`` "auto" is a mapped file unless experts need otherwise; ``load_why`` is the reason for
    another one, in words.
    """

    context: int | Literal["max"]
    least_context: int = 4096
    slots: int = 1
    cache_k: KvType = "f16"
    cache_v: KvType = "f16"
    batch: int | None = None
    ubatch: int | None = None
    flash_attention: bool = True
    threads: int | None = None
    load_mode: LoadMode | Literal["auto"] = "auto"
    load_why: str = "as asked"
    prompt_cache: int = 0
    checkpoints: int = 0
    projector: int = 0
    draft: ModelShape | None = None
    pooled: bool = False
    whole_inputs: bool = False
    placement: Placement = "auto"
    devices: tuple[str, ...] = ()
    prompt: int = 1000
    answer: int = 500
    manual: Manual | None = None

    def cache(self, auto: CacheType) -> tuple[CacheType, CacheType]:
        """Types of keys and values, with ``auto`` where the choice is open."""
        keys = auto if self.cache_k == "auto" else self.cache_k
        return keys, auto if self.cache_v == "auto" else self.cache_v

    @property
    def mapped(self) -> bool:
        """Whether the engine maps the file."""
        return self.load_mode in ("auto", "mmap")

    @property
    def open_cache(self) -> bool:
        """Whether the plan may choose a type of cache."""
        return "auto" in (self.cache_k, self.cache_v)


def wish_of(profile: Profile, shape: ModelShape, *, task: Task, projector: int = 0, checkpoints: int = 0) -> Wish:
    """What ``profile`` asks for a model of that ``shape``; ``projector`` is the size of its file in bytes.

    Without a context, what the model was trained for, at most :data:`DEFAULT_CONTEXT`.
    """
    engine = profile.engine
    return Wish(
        context=profile.context or min(DEFAULT_CONTEXT, shape.context),
        least_context=min(DEFAULT_CONTEXT, shape.context),
        slots=profile.slots,
        cache_k=engine.cache_type_k or profile.kv,
        cache_v=engine.cache_type_v or profile.kv,
        batch=engine.batch,
        ubatch=engine.ubatch,
        threads=engine.threads,
        load_mode=engine.load_mode,
        prompt_cache=engine.cache_ram,
        checkpoints=checkpoints,
        projector=projector,
        pooled=task in ("embedding", "rerank"),
        whole_inputs=profile.embeddings,
        placement=profile.placement,
        devices=profile.devices,
        prompt=profile.workload.prompt,
        answer=profile.workload.answer,
    )


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """One device's memory as a plan sees it, in bytes.

    ``available`` is what this plan may use: ``total`` less ``foreign`` (what other programs hold), ``margin`` and what
    ``residents`` (bytes by profile) keep. ``why`` is the reason for the margin, in words. ``most`` is what this plan
    may use even if residents leave, None without such a bound.
    """

    device: str
    total: int
    available: int
    foreign: int = 0
    margin: int = 0
    why: str = ""
    residents: dict[str, int] = {}
    most: int | None = None

    @property
    def bounded(self) -> bool:
        """Whether a setting allows less than there is room for."""
        held = self.foreign + self.margin + sum(self.residents.values())
        return self.total - held > self.available and self.most is None


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Where a plan is made: the machine, the room on it, and what the build can use.

    ``usable`` are the GPUs that the build can use. ``names`` is how the engine calls each (``CUDA0``).
    """

    machine: Machine
    rooms: dict[str, Room]
    usable: tuple[str, ...] = ()
    names: dict[str, str] = {}
    efficiencies: Efficiencies = PRIORS
    corrections: Corrections = NONE


def rooms_of(machine: Machine, margins: dict[str, int] | None = None, reserve: int | None = None) -> dict[str, Room]:
    """The room on each device when nothing of ours is resident.

    A GPU keeps its margin free: 128 MiB, 1 GiB with a display (a desktop grows while one works). A GPU that shares the
    host's memory may use at most its ``limit`` less the margin. The host keeps ``reserve``, by default the larger of
    1 GiB and 8%.
    """
    given = margins or {}
    rooms: dict[str, Room] = {}
    for device in machine.devices:
        if device.kind == HOST:
            kept = max(1024 * MIB, device.total * 8 // 100) if reserve is None else reserve
            why = "the larger of 1 GiB and 8%" if reserve is None else "memory.reserve"
        else:
            kept = given.get(device.id, (1024 if device.display and not device.unified else 128) * MIB)
            why = "set" if device.id in given else "drives a display" if kept > 128 * MIB else "no display"
        total = device.total if device.limit is None else min(device.limit, device.total)
        foreign = 0 if device.unified else max(0, device.total - device.free)
        rooms[device.id] = Room(
            device=device.id,
            total=total,
            available=max(0, total - foreign - kept),
            foreign=foreign,
            margin=kept,
            why=why,
        )
    return rooms
