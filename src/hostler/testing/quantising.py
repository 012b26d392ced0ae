"""Which type llama-quantize gives a tensor. Source: llama.cpp, ``src/llama-quant.cpp``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_FALLBACK = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
# UD-Q5_K_XL chooses its types by measured importance; the mixture of Q5_K_M comes near in bytes.
_BASE = {"Q4_K_M": "Q4_K", "Q5_K_M": "Q5_K", "UD-Q5_K_XL": "Q5_K"}
_KEPT = ("_norm.weight", "ffn_gate_inp.weight", "ssm_conv1d.weight", "patch_embd.weight")
_DOWN = re.compile(r"blk\.(\d+)\.ffn_down")
_VALUES = ("attn_v.weight", "attn_qkv.weight", "attn_kv_b.weight")


class Named(NamedTuple):
    """A tensor without a type: name and dimensions, fastest first."""

    name: str
    shape: tuple[int, ...]


class Typed(NamedTuple):
    """A tensor as it lies in a file."""

    name: str
    shape: tuple[int, ...]
    type: str


def quantised(tensors: Sequence[Named], recipe: str, layers: int) -> list[Typed]:
    """``tensors`` as a file of the type ``recipe`` has them: Q4_K_M, Q5_K_M, UD-Q5_K_XL, Q6_K, Q8_0, MXFP4, F16."""
    tied = not any(tensor.name == "output.weight" for tensor in tensors)
    values = [tensor.name for tensor in tensors if tensor.name.endswith(_VALUES)]
    found = []
    for tensor in tensors:
        if tensor.name in values:
            better = _more_bits(values.index(tensor.name), len(values))
        else:
            block = _DOWN.match(tensor.name)
            better = block is not None and _more_bits(int(block[1]), layers)
        found.append(Typed(*tensor, _type(tensor, recipe, tied, better)))
    return found


def _type(tensor: Named, recipe: str, tied: bool, better: bool) -> str:
    name, shape = tensor
    if len(shape) < 2 or not name.endswith(".weight") or name.endswith(_KEPT):
        return "F32"
    if recipe == "F16":
        return "F16"
    if recipe == "MXFP4":
        return "MXFP4" if len(shape) > 2 else "Q8_0"
    wanted = _BASE.get(recipe, recipe)
    is_output = name == "output.weight" or (tied and name == "token_embd.weight")
    if wanted != "Q8_0" and (is_output or (better and recipe in _BASE)):
        wanted = "Q6_K"
    return wanted if shape[0] % 256 == 0 or wanted == "Q8_0" else _FALLBACK[wanted]


def _more_bits(index: int, count: int) -> bool:
    return index < count // 8 or index >= 7 * count // 8 or (index - count // 8) % 3 == 2
