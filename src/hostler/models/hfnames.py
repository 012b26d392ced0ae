"""Tensor names of Hugging Face and MLX models, in the words of GGUF.

What follows the class is kept, so names stay unique; only the class is translated.
"""

from __future__ import annotations

import re

_LAYER = re.compile(
    r"(?:(?:model|language_model|text_model|transformer|backbone)\.)*(?:layers|h|blocks)\.(\d{1,6})\.(.+)"
)
_TABLE = re.compile(r"(?:\w+\.)*(?:embed_tokens|wte|tok_embeddings|word_embeddings|embeddings)\.(\w+)")
_OTHER_PARTS = re.compile(r"(?:model\.)?(?:visual|vision|audio|multi_modal|mm_|image|mtp)")
_OUTPUT = re.compile(r"(?:language_model\.)?(?:lm_head|output)\.(\w+)")

# The first that matches the part behind the layer's number wins.
_RULES = tuple(
    (re.compile(pattern), word)
    for pattern, word in (
        (r"(?:\w+\.)?(?:shared_experts?|shared_mlp|shared_expert_gate)\.", "ffn_up_shexp."),
        (r"(?:\w+\.)?(?:experts|switch_mlp)\.", "ffn_up_exps."),
        (r"mixer\.(?=[qkvo]_proj)", "attn_"),
        (r"mixer\.(?=(?:up|down|gate)_proj|gate\.)", "ffn_"),
        (r"(?:linear_attn|mamba|mixer|ssm|temporal_block|short_?conv|conv)\.", "ssm_"),
        (r"(?:self_attn|self_attention|attention|attn)\.", "attn_"),
        (r"(?:input_layernorm|post_attention_layernorm|attention_norm|operator_norm)\b", "attn_norm."),
        (r"(?:mlp|feed_forward|ffn|block_sparse_moe)\.", "ffn_"),
        (r"(?:pre|post)_feedforward_layernorm\b|ffn_norm\b", "ffn_norm."),
    )
)


def gguf_name(name: str) -> str:
    """``model.layers.3.self_attn.q_proj.weight`` is ``blk.3.attn_q_proj.weight``."""
    if _OTHER_PARTS.match(name):
        return name
    layer = _LAYER.fullmatch(name)
    if layer is not None:
        return f"blk.{layer[1]}.{_word(layer[2])}"
    for pattern, word in ((_OUTPUT, "output"), (_TABLE, "token_embd")):
        found = pattern.fullmatch(name)
        if found is not None:
            return f"{word}.{found[1]}"
    return name


def _word(rest: str) -> str:
    for pattern, word in _RULES:
        found = pattern.match(rest)
        if found is not None:
            return f"{word}{rest[found.end() :]}"
    return rest
