"""What else could be done with a model here: other caches, contexts, batches, quantisations, and what each would bring.

Each alternative is a plan of its own, compared with the one that was made.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from hostler.config.quantities import format_bytes
from hostler.errors import NeverFits
from hostler.models.shape import Layer, ModelShape
from hostler.placement.layout import HOST
from hostler.placement.plan import Plan
from hostler.placement.planner import plan
from hostler.placement.wish import Site, Wish

#: Bits per weight of Llama 3.1 8B (llama.cpp, `tools/quantize/README.md`); other models differ a little.
BITS = {
    "F16": 16.0,
    "Q8_0": 8.5,
    "Q6_K": 6.56,
    "Q5_K_M": 5.70,
    "Q4_K_M": 4.89,
    "IQ4_XS": 4.46,
    "Q3_K_M": 4.0,
    "Q2_K": 3.16,
}
WORTH_CONTEXT = 1.25  # a larger context must be so much larger to be told
NOTABLE = 0.02  # a change of speed below this is none
WORTH_QUANT = 1.15  # a coarser quantisation must be at least so much quicker to be told
CONTEXTS = (262144, 196608, 131072, 98304, 65536, 49152, 32768, 24576, 16384, 12288, 8192, 4096)


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """Another way to run the model.

    ``change`` is what would be changed, ``effect`` what it brings, in words. Ratios are tokens per second against the
    plan's, at an empty cache. ``frees`` is bytes per device (negative: takes more). ``settings`` are the profile's keys
    that ask for it; another quantisation is another file and has none.
    """

    change: str
    effect: str
    decode_ratio: float
    prefill_ratio: float
    frees: dict[str, int]
    context: int
    settings: dict[str, str] = {}


def alternatives(shape: ModelShape, wish: Wish, site: Site, made: Plan) -> tuple[Alternative, ...]:
    """What is worth knowing beside ``made``; some planning each, so for people who ask, not for loads."""
    finders = (_other_cache, _without_spill, _other_context, _larger_steps, _other_quantisation)
    return tuple(found for finder in finders for found in finder(shape, wish, site, made))


def _other_cache(shape: ModelShape, wish: Wish, site: Site, made: Plan) -> Iterator[Alternative]:
    """The exact cache or the one of half its size, whichever was not taken."""
    kind = "q8_0" if made.run.cache_k == "f16" else "f16"
    other = _try(shape, replace(wish, context=made.run.context, cache_k=kind, cache_v=kind), site)
    if other is not None:
        yield _compared(f"{kind} cache", made, other, {"kv": kind})


def _without_spill(shape: ModelShape, wish: Wish, site: Site, made: Plan) -> Iterator[Alternative]:
    """The largest context with which nothing but the token table lies on the host."""
    if not made.layout.gpus or not spills(made):
        return
    smaller = [each for each in CONTEXTS if each < made.run.context]
    least = _try(shape, replace(wish, context=smaller[-1]), site) if smaller else None
    if least is None or spills(least):  # the weights alone are too much, as mostly
        return
    for context in smaller:
        other = _try(shape, replace(wish, context=context), site)
        if other is not None and not spills(other):
            yield _compared(f"context {context}", made, other, {"context": str(context)}, "lies on GPUs whole")
            return


def _other_context(shape: ModelShape, wish: Wish, site: Site, made: Plan) -> Iterator[Alternative]:
    """The most that fits, when more than was asked for does."""
    if wish.context == "max" or made.run.context >= shape.context:
        return
    other = _try(shape, replace(wish, context="max", least_context=min(made.run.context, shape.context)), site)
    if other is not None and other.run.context >= WORTH_CONTEXT * made.run.context:
        settings = {"context": str(other.run.context)}
        trained = ", all it was trained for" if other.run.context == shape.context else ""
        yield _compared(f"context {other.run.context}", made, other, settings, f"fits too{trained}")


def _larger_steps(shape: ModelShape, wish: Wish, site: Site, made: Plan) -> Iterator[Alternative]:
    """A larger ubatch where the profile fixed one and experts cross the bus."""
    if wish.ubatch is None or wish.pooled or HOST not in made.layout.experts or not made.layout.gpus:
        return
    larger = max(2048, made.run.ubatch)
    if larger > made.run.ubatch:
        batch = wish.batch and max(wish.batch, larger)
        other = _try(shape, replace(wish, ubatch=larger, batch=batch, context=made.run.context), site)
        if other is not None and _prefill(other) > (1 + NOTABLE) * _prefill(made):
            yield _compared(f"ubatch {larger}", made, other, {"engine.ubatch": str(larger)})


def _other_quantisation(shape: ModelShape, wish: Wish, site: Site, made: Plan) -> Iterator[Alternative]:
    """The finest coarser one that is clearly quicker, and the finest that is as quick."""
    if shape.quantisation not in BITS:
        return
    names = list(BITS)
    at = names.index(shape.quantisation)
    fixed = replace(wish, context=made.run.context)
    # Below four bits answers get worse visibly: told only where the model does not fit otherwise.
    coarser = [name for name in names[at + 1 :] if spills(made) or BITS[name] >= BITS["Q4_K_M"]]
    for name in coarser:
        other = _try(as_quantised(shape, name), fixed, site)
        if other is not None and _decode(other) >= WORTH_QUANT * _decode(made):
            yield _compared(name, made, other, {})
            break
    for name in names[1:at]:
        other = _try(as_quantised(shape, name), fixed, site)
        if other is not None and spills(other) <= spills(made):
            yield _compared(name, made, other, {}, "fits as well, and is closer to the original")
            break


def as_quantised(shape: ModelShape, name: str) -> ModelShape:
    """``shape`` as if its file were quantised as ``name``; about right for bytes, exact in nothing."""
    ratio = BITS[name] / BITS[shape.quantisation]

    def scaled(layer: Layer) -> Layer:
        return replace(
            layer,
            attention=round(layer.attention * ratio),
            feed_forward=round(layer.feed_forward * ratio),
            experts=round(layer.experts * ratio),
            shared_experts=round(layer.shared_experts * ratio),
            recurrent=round(layer.recurrent * ratio),
        )

    return replace(
        shape,
        layers=tuple(map(scaled, shape.layers)),
        input=round(shape.input * ratio),
        output=round(shape.output * ratio),
        quantisation=name,
    )


def spills(made: Plan) -> bool:
    """Whether layers or experts lie on the host though GPUs are used."""
    return bool(made.layout.gpus) and HOST in (*made.layout.layers, *made.layout.experts)


def _try(shape: ModelShape, wish: Wish, site: Site) -> Plan | None:
    try:
        return plan(shape, wish, site)
    except NeverFits:
        return None


def _compared(change: str, made: Plan, other: Plan, settings: dict[str, str], more: str = "") -> Alternative:
    devices = dict.fromkeys([*made.bytes, *other.bytes])
    frees = {device: _held(made, device) - _held(other, device) for device in devices}
    decode, prefill = _decode(other) / _decode(made), _prefill(other) / _prefill(made)
    said = [*([more] if more else []), _memory(frees), _quicker(decode, "answers"), _quicker(prefill, "prompts")]
    return Alternative(
        change=change,
        effect="; ".join(each for each in said if each),
        decode_ratio=decode,
        prefill_ratio=prefill,
        frees=frees,
        context=other.run.context,
        settings=settings,
    )


def _memory(frees: dict[str, int]) -> str:
    freed = sum(frees.values())
    if abs(freed) < 64 * 2**20:
        return ""
    return f"frees {format_bytes(freed)}" if freed > 0 else f"takes {format_bytes(-freed)} more"


def _quicker(ratio: float, what: str) -> str:
    if abs(ratio - 1) < NOTABLE:
        return ""
    if ratio >= 1.5 or ratio <= 1 / 1.5:
        return f"{what} {ratio:.1f}x as fast" if ratio > 1 else f"{what} {1 / ratio:.1f}x slower"
    return f"{what} {abs(ratio - 1):.0%} {'faster' if ratio > 1 else 'slower'}"


def _held(made: Plan, device: str) -> int:
    held = made.bytes.get(device)
    return held.total if held is not None else 0


def _decode(made: Plan) -> float:
    return made.speeds[0].decode.value


def _prefill(made: Plan) -> float:
    return made.speeds[0].prefill.value
