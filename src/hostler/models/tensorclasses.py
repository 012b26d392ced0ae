"""Which part of a model a tensor belongs to, by its name alone.

Names as llama.cpp writes them (``llama-arch.cpp``, ``LLM_TENSOR_NAMES``). A name that is not here is ``other``:
its bytes are still counted.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

Class = Literal["attention", "feed_forward", "experts", "shared_experts", "recurrent", "other", "input", "output"]

#: What the engine keeps on the host whatever the device: rows are looked up (LLM_TENSOR_LAYER_INPUT).
_INPUTS = ("token_embd.", "position_embd.", "token_types.", "per_layer_token_embd.", "masked_embd_")

# The first that matches the part behind `blk.N.` wins. What --n-cpu-moe moves (`ffn_(up|down|gate|gate_up)_(ch)?exps`)
# is `experts`; so are the experts of old files, one tensor each (`ffn_up.7.weight`).
_LAYER = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (r"nextn\.", "other"),
        (r"ffn_(up|down|gate|gate_up)_(ch)?exps\b|ffn_(up|down|gate)\.\d+\.", "experts"),
        (r"\w+_shexp\b", "shared_experts"),
        (r"ssm_|time_mix_|channel_mix_|shortconv\.|time_", "recurrent"),
        (r"attn_|post_attention_|cross_attn_|indexer[._]|hc_attn_|layer_output_norm", "attention"),
        (r"ffn_|ffn\.|exp_probs_b|post_ffw_|pre_ffw_|hc_ffn_", "feed_forward"),
    )
)
_BLOCK = re.compile(r"(?:enc\.|dec\.)?blk\.(\d{1,6})\.(.+)")


class Part(NamedTuple):
    """``layer`` is None for what belongs to no layer; ``rest`` is the name behind ``blk.N.``."""

    layer: int | None
    kind: Class
    rest: str


def part_of(name: str) -> Part:
    """Where the tensor ``name`` belongs."""
    block = _BLOCK.fullmatch(name)
    if block is not None:
        return Part(int(block[1]), _layer_class(block[2]), block[2])
    if name == "output.weight":
        return Part(None, "output", name)
    return Part(None, "input" if name.startswith(_INPUTS) else "other", name)


@lru_cache(maxsize=1024)
def _layer_class(rest: str) -> Class:
    for pattern, kind in _LAYER:
        if pattern.match(rest):
            return kind  # type: ignore[return-value]
    return "other"
