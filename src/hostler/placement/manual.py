"""Placing by hand: what llama.cpp makes of placing flags, so that bytes and speed can be predicted of that too.

Sources: ``llama_model::load_tensors`` (``get_layer_buft_list``: the last blocks go to the GPUs, shares say how many
to each), ``llama_prepare_model_devices`` (``--split-mode none`` leaves only the main GPU), ``common/common.h``
(``llm_ffn_exps_block_regex``, for ``--cpu-moe`` and ``--n-cpu-moe``).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Literal

import msgspec

from hostler.models.shape import ModelShape
from hostler.placement.layout import HOST, Layout, whole

SplitMode = Literal["none", "layer", "row", "tensor"]

# One tensor of each kind stands for all of its kind in a block.
_EXPERTS = ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")
_BLOCKS = 256  # more than any model has
_DENSE = ("attn_q", "attn_qkv", "attn_output", "ffn_up", "ffn_down", "ssm_in")


class Moved(msgspec.Struct, frozen=True):
    """Tensors whose name the regular expression ``pattern`` finds lie on ``device`` (llama.cpp's --override-tensor)."""

    pattern: str
    device: str


class Manual(msgspec.Struct, frozen=True, kw_only=True):
    """Placing flags in our words; what they leave out is llama.cpp's default.

    ``gpus`` are device ids in the engine's order, None all that the build can use. ``layers`` blocks (and the output,
    which counts as one more) go to GPUs, None all. ``shares`` weigh the GPUs, () by free memory. ``main`` is the GPU
    of split mode none. Of ``moved`` the first that finds a tensor counts.
    """

    gpus: tuple[str, ...] | None = None
    layers: int | None = None
    split: SplitMode = "layer"
    shares: tuple[float, ...] = ()
    main: int = 0
    moved: tuple[Moved, ...] = ()
    cache_on_host: bool = False


def layout_of(manual: Manual, shape: ModelShape, usable: Sequence[str], room: Mapping[str, int]) -> Layout:
    """The layout that the flags lead to.

    ``usable`` are the GPUs that the build can use, in the engine's order, ``room`` the bytes that are free on each:
    llama.cpp's shares where none are given.
    """
    gpus = _gpus(manual, usable)
    count = len(shape.layers)
    on_gpus = count + 1 if manual.layers is None else min(max(manual.layers, 0), count + 1)
    if not gpus or not on_gpus:
        return whole(shape, HOST)
    shares = _shares(manual, gpus, room)
    cut = manual.split in ("row", "tensor") and len(gpus) > 1
    homes = [_home(block, count, on_gpus, gpus[:1] if cut else gpus, shares) for block in range(count + 1)]
    layers = tuple(homes[:count])
    return Layout(
        gpus=gpus,
        layers=_overridden(manual, layers, _DENSE),
        experts=_overridden(manual, layers, _EXPERTS),
        output=homes[count],
        projector=gpus[0],
        draft=gpus[0],
        split="tensor" if cut else "none" if len(gpus) == 1 else "layer",
        shares=shares if cut else (),
    )


def notes_of(manual: Manual) -> tuple[str, ...]:
    """What the prediction leaves out, in words."""
    notes = ["placed by hand, by the flags in `extra_args`"]
    if manual.cache_on_host:
        notes.append("the cache is kept on the host; it is counted where its layers are")
    if manual.split == "row":
        notes.append("split by rows; counted as if every tensor were cut in the same shares")
    notes += [
        f"what `{moved.pattern}` puts on {moved.device} is counted where its layer is"
        for moved in manual.moved
        if not any(_most(moved, block, kinds) for block in range(_BLOCKS) for kinds in (_EXPERTS, _DENSE))
    ]
    return tuple(notes)


def _gpus(manual: Manual, usable: Sequence[str]) -> tuple[str, ...]:
    gpus = tuple(usable) if manual.gpus is None else manual.gpus
    if manual.split != "none" or not gpus:
        return gpus
    return gpus[manual.main : manual.main + 1] if manual.main >= 0 else ()


def _shares(manual: Manual, gpus: Sequence[str], room: Mapping[str, int]) -> tuple[float, ...]:
    """One per GPU, sum 1. A single share is that of the one GPU that is left."""
    given = [float(share) for share in manual.shares] if len(manual.shares) == len(gpus) else []
    weights = given if sum(given) > 0 else [float(max(room.get(gpu, 0), 0)) for gpu in gpus]
    total = sum(weights)
    return tuple(weight / total for weight in weights) if total > 0 else (1 / len(gpus),) * len(gpus)


def _home(block: int, count: int, on_gpus: int, gpus: Sequence[str], shares: Sequence[float]) -> str:
    """The device of a block; ``count`` is the output's number."""
    first = count + 1 - on_gpus
    if block < first:
        return HOST
    bounds = list(accumulate(shares[: len(gpus)]))
    return gpus[min(bisect_right(bounds, (block - first) / on_gpus * bounds[-1]), len(gpus) - 1)]


def _overridden(manual: Manual, homes: Sequence[str], kinds: Sequence[str]) -> tuple[str, ...]:
    return tuple(_moved_to(manual, block, kinds) or home for block, home in enumerate(homes))


def _moved_to(manual: Manual, block: int, kinds: Sequence[str]) -> str:
    """Where the first pattern that finds most of ``kinds`` in the block puts them; empty when none does."""
    return next((moved.device for moved in manual.moved if _most(moved, block, kinds)), "")


def _most(moved: Moved, block: int, kinds: Sequence[str]) -> bool:
    found = [kind for kind in kinds if re.search(moved.pattern, f"blk.{block}.{kind}.weight")]
    return 2 * len(found) > len(kinds)


def first_experts(blocks: int | None) -> Moved:
    """The experts of the first ``blocks`` blocks on the host, of all with None (--n-cpu-moe, --cpu-moe)."""
    which = r"\d+" if blocks is None else "|".join(map(str, range(blocks))) or "none"
    return Moved(rf"blk\.({which})\.ffn_(up|down|gate|gate_up)_(ch|)exps", HOST)
