"""A plan as programs read it: ``hostler plan --json`` and ``GET /api/profiles/{name}/plan``.

Keys are stable: they may be added, never renamed or taken away. Sizes are bytes, speeds tokens per second.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from hostler.config.settings import CacheType, Placement


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine costs, and who says so."""

    amount: float
    currency: str
    source: str


class PlannedMachine(msgspec.Struct, frozen=True, kw_only=True):
    """Where the plan is made; ``described``: from a file, not looked at."""

    name: str
    description: str
    described: bool
    price: Asking | None = None


class PlannedModel(msgspec.Struct, frozen=True, kw_only=True):
    """What is run. ``active_parameters`` are used per token, ``context`` is what it was trained for."""

    name: str
    architecture: str
    quantisation: str
    parameters: int
    active_parameters: int
    size: int
    context: int
    layers: int
    experts: int
    active_experts: int


class PlannedRun(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes and types that the engine gets; ``context`` is tokens for one request."""

    context: int
    slots: int
    cache_k: CacheType
    cache_v: CacheType
    batch: int
    ubatch: int
    flash_attention: bool
    threads: int
    mapped: bool
    prompt_cache: int
    checkpoints: int
    projector: int


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Layers ``first`` to ``last``, both included, lie on ``device``."""

    first: int
    last: int
    device: str


class PlannedLayout(msgspec.Struct, frozen=True, kw_only=True):
    """Which device holds what. ``layers`` are attention, dense weights and cache; ``experts`` the routed experts.

    With ``split`` "tensor" every layer is cut into ``shares``, one per GPU, and the spans name the first GPU.
    """

    gpus: tuple[str, ...]
    split: Literal["none", "layer", "tensor"]
    layers: tuple[Span, ...]
    experts: tuple[Span, ...]
    output: str
    projector: str
    shares: tuple[float, ...] = ()


class PlannedBytes(msgspec.Struct, frozen=True, kw_only=True):
    """What one device holds, by class; ``total`` is their sum.

    ``weights`` are all but the routed ``experts``; ``mapped`` is read from the file as needed and kept by nobody.
    """

    total: int
    weights: int
    experts: int
    mapped: int
    kv: int
    recurrent: int
    compute: int
    output: int
    projector: int
    draft: int
    checkpoints: int
    prompt_cache: int
    runtime: int


class PlannedDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device, the room on it and what the plan puts there.

    ``available`` is what the plan may use: ``total`` less ``foreign`` (other programs), ``margin`` (kept free for the
    reason ``why``) and ``residents`` (what profiles that stay hold). ``free`` is what is left of it. ``unified``: its
    memory is the host's, whose own ``bytes`` do not count it again.
    """

    id: str
    kind: Literal["nvidia", "amd", "apple", "host"]
    name: str
    unified: bool
    total: int
    foreign: int
    margin: int
    why: str
    residents: dict[str, int]
    available: int
    bytes: PlannedBytes
    free: int


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A prediction and the interval that it is expected in."""

    low: float
    value: float
    high: float


class PlannedSpeed(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens per second of one request with ``depth`` tokens in its context.

    ``bound`` is the device that takes most of the time of a token, ``shares`` each device's part of it, ``splits``
    the engine's count of graph splits.
    """

    depth: int
    decode: Interval
    prefill: Interval
    splits: int
    bound: str
    shares: dict[str, float]


class PlannedFlag(msgspec.Struct, frozen=True, kw_only=True):
    """Arguments that the engine gets, and why."""

    argv: tuple[str, ...]
    reason: str


class PlannedAlternative(msgspec.Struct, frozen=True, kw_only=True):
    """Another way: ``change`` is what would be changed, ``effect`` what it brings.

    Ratios are its tokens per second over the plan's, with an empty context. ``frees`` is bytes per device, negative
    where it takes more. ``settings`` are the profile's keys that ask for it; none where another file is needed.
    """

    change: str
    effect: str
    decode_ratio: float
    prefill_ratio: float
    frees: dict[str, int]
    context: int
    settings: dict[str, str]


class PlanReport(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /api/profiles/{name}/plan``: where everything goes, what it takes, how fast it will be, and why.

    ``placement`` says who placed: Hostler (auto), the engine, or the profile's own flags (manual). ``goes`` names the
    residents that would have to leave. ``notes`` are guesses and warnings.
    """

    profile: str
    machine: PlannedMachine
    model: PlannedModel
    run: PlannedRun
    layout: PlannedLayout
    devices: tuple[PlannedDevice, ...]
    speeds: tuple[PlannedSpeed, ...]
    placement: Placement
    flags: tuple[PlannedFlag, ...]
    env: dict[str, str]
    alternatives: tuple[PlannedAlternative, ...]
    notes: tuple[str, ...]
    goes: tuple[str, ...]
