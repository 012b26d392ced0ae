"""The tensors of one layer, by family of models. Source: llama.cpp, ``load_arch_tensors`` of each."""

from __future__ import annotations

from collections.abc import Iterator

from hostler.testing.published import Published
from hostler.testing.quantising import Named


def plain(model: Published, layer: int) -> Iterator[Named]:
    """Llama, Qwen2, Qwen2-VL: attention and a gated feed-forward network."""
    yield Named("attn_norm.weight", (model.embedding,))
    yield from _attention(model)
    yield Named("ffn_norm.weight", (model.embedding,))
    yield from _feed_forward(model)


def gemma3(model: Published, layer: int) -> Iterator[Named]:
    """Norms before and behind both parts."""
    yield from plain(model, layer)
    yield Named("post_attention_norm.weight", (model.embedding,))
    yield Named("post_ffw_norm.weight", (model.embedding,))


def gpt_oss(model: Published, layer: int) -> Iterator[Named]:
    """Attention with sinks, biases everywhere, experts in every layer."""
    experts = model.experts
    assert experts is not None
    yield Named("attn_norm.weight", (model.embedding,))
    yield Named("post_attention_norm.weight", (model.embedding,))
    yield from _attention(model)
    yield Named("attn_output.bias", (model.embedding,))
    yield Named("attn_sinks.weight", (model.attention.heads,))
    yield from _experts(model)
    yield Named("ffn_gate_inp.bias", (experts.count,))
    yield Named("ffn_gate_exps.bias", (experts.width, experts.count))
    yield Named("ffn_up_exps.bias", (experts.width, experts.count))
    yield Named("ffn_down_exps.bias", (model.embedding, experts.count))


def qwen_next(model: Published, layer: int) -> Iterator[Named]:
    """Three layers of Gated DeltaNet, then one of gated attention; experts with a shared one, or dense."""
    assert model.linear is not None
    yield Named("attn_norm.weight", (model.embedding,))
    yield Named("post_attention_norm.weight", (model.embedding,))
    yield from _attention(model) if (layer + 1) % model.linear.interval == 0 else _delta_net(model)
    if model.experts is None:
        yield from _feed_forward(model)
        return
    yield from _experts(model)
    yield Named("ffn_gate_inp_shexp.weight", (model.embedding,))


def latent(model: Published, layer: int) -> Iterator[Named]:
    """DeepSeek 2 and what follows it: compressed queries, keys and values; leading dense layers; shared experts."""
    query, row, rope, head = 768, 512, 64, 256
    heads, experts = model.attention.heads, model.experts
    assert experts is not None
    yield Named("attn_norm.weight", (model.embedding,))
    yield Named("attn_q_a_norm.weight", (query,))
    yield Named("attn_kv_a_norm.weight", (row,))
    yield Named("attn_q_a.weight", (model.embedding, query))
    yield Named("attn_q_b.weight", (query, heads * head))
    yield Named("attn_kv_a_mqa.weight", (model.embedding, row + rope))
    yield Named("attn_k_b.weight", (head - rope, row, heads))
    yield Named("attn_v_b.weight", (row, head, heads))
    yield Named("attn_output.weight", (heads * head, model.embedding))
    yield Named("ffn_norm.weight", (model.embedding,))
    if layer < experts.leading_dense:
        yield from _feed_forward(model)
        return
    yield from _experts(model)
    yield Named("exp_probs_b.bias", (experts.count,))


def _attention(model: Published) -> Iterator[Named]:
    own = model.attention
    widths = {
        "q": own.heads * own.head * (2 if own.gate else 1),
        "k": own.kv_heads * own.head,
        "v": own.kv_heads * own.head,
    }
    for letter, width in widths.items():
        yield Named(f"attn_{letter}.weight", (model.embedding, width))
        if own.biases:
            yield Named(f"attn_{letter}.bias", (width,))
    yield Named("attn_output.weight", (own.heads * own.head, model.embedding))
    if own.norms:
        yield Named("attn_q_norm.weight", (own.head,))
        yield Named("attn_k_norm.weight", (own.head,))


def _delta_net(model: Published) -> Iterator[Named]:
    own = model.linear
    assert own is not None
    values, keys = own.values * own.state, own.groups * own.state
    yield Named("attn_qkv.weight", (model.embedding, 2 * keys + values))
    yield Named("attn_gate.weight", (model.embedding, values))
    yield Named("ssm_conv1d.weight", (own.kernel, 2 * keys + values))
    yield Named("ssm_dt.bias", (own.values,))
    yield Named("ssm_a", (own.values,))
    if model.architecture == "qwen3next":
        yield Named("ssm_ba.weight", (model.embedding, 2 * own.values))
    else:
        yield Named("ssm_alpha.weight", (model.embedding, own.values))
        yield Named("ssm_beta.weight", (model.embedding, own.values))
    yield Named("ssm_norm.weight", (own.state,))
    yield Named("ssm_out.weight", (values, model.embedding))


def _feed_forward(model: Published) -> Iterator[Named]:
    yield Named("ffn_gate.weight", (model.embedding, model.width))
    yield Named("ffn_up.weight", (model.embedding, model.width))
    yield Named("ffn_down.weight", (model.width, model.embedding))


def _experts(model: Published) -> Iterator[Named]:
    own = model.experts
    assert own is not None
    yield Named("ffn_gate_inp.weight", (model.embedding, own.count))
    yield Named("ffn_gate_exps.weight", (model.embedding, own.width, own.count))
    yield Named("ffn_up_exps.weight", (model.embedding, own.width, own.count))
    yield Named("ffn_down_exps.weight", (own.width, model.embedding, own.count))
    if own.shared:
        yield Named("ffn_gate_shexp.weight", (model.embedding, own.shared))
        yield Named("ffn_up_shexp.weight", (model.embedding, own.shared))
        yield Named("ffn_down_shexp.weight", (own.shared, model.embedding))
