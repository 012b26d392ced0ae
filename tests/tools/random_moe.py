"""A small mixture of experts with random weights that an engine loads and computes with; what it says is noise.

``python tests/tools/random_moe.py TOKENIZER.gguf OUT.gguf`` takes the tokenizer and the chat template of a real model.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gguf
import numpy as np

LAYERS, EMBEDDING, HEADS, KV_HEADS, HEAD = 24, 1024, 16, 4, 64
EXPERTS, ACTIVE, EXPERT_WIDTH = 32, 4, 512
CONTEXT = 32768
_Q8 = gguf.GGMLQuantizationType.Q8_0


def write(tokenizer: Path, out: Path) -> Path:
    """Write the model (about 1.3 GB, nearly all of it experts) to ``out``; the same every time."""
    source = gguf.GGUFReader(tokenizer)
    writer = gguf.GGUFWriter(out, "qwen3moe")
    writer.add_name("random mixture")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(EMBEDDING)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(EXPERT_WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    writer.add_expert_count(EXPERTS)
    writer.add_expert_used_count(ACTIVE)
    writer.add_expert_feed_forward_length(EXPERT_WIDTH)
    for name, field in source.fields.items():
        if name.startswith("tokenizer."):
            kind = field.types[0]
            inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), kind, inner)
    vocabulary = len(source.fields["tokenizer.ggml.tokens"].contents())
    _tensors(writer, vocabulary)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def _tensors(writer: gguf.GGUFWriter, vocabulary: int) -> None:
    random = np.random.default_rng(7)

    def weight(name: str, *shape: int) -> None:
        values = random.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(shape[-1]))
        writer.add_tensor(name, gguf.quants.quantize(values, _Q8), raw_dtype=_Q8)

    def ones(name: str, size: int) -> None:
        writer.add_tensor(name, np.ones(size, dtype=np.float32))

    weight("token_embd.weight", vocabulary, EMBEDDING)
    weight("output.weight", vocabulary, EMBEDDING)
    ones("output_norm.weight", EMBEDDING)
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        for name in ("attn_norm", "ffn_norm"):
            ones(f"{block}{name}.weight", EMBEDDING)
        for name in ("attn_q_norm", "attn_k_norm"):
            ones(f"{block}{name}.weight", HEAD)
        weight(f"{block}attn_q.weight", HEADS * HEAD, EMBEDDING)
        weight(f"{block}attn_k.weight", KV_HEADS * HEAD, EMBEDDING)
        weight(f"{block}attn_v.weight", KV_HEADS * HEAD, EMBEDDING)
        weight(f"{block}attn_output.weight", EMBEDDING, HEADS * HEAD)
        weight(f"{block}ffn_gate_inp.weight", EXPERTS, EMBEDDING)
        weight(f"{block}ffn_gate_exps.weight", EXPERTS, EXPERT_WIDTH, EMBEDDING)
        weight(f"{block}ffn_up_exps.weight", EXPERTS, EXPERT_WIDTH, EMBEDDING)
        weight(f"{block}ffn_down_exps.weight", EXPERTS, EMBEDDING, EXPERT_WIDTH)


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
