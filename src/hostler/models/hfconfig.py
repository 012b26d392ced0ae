"""What a model's ``config.json`` says, in the keys of GGUF.

Source of the translation: llama.cpp, ``conversion/`` (``set_gguf_parameters`` of each model).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from hostler.errors import ModelError
from hostler.models.header import Value

MAX_CONFIG = 2**22

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

#: model_type -> llama.cpp's name; any other stays as it is, and counts as unknown unless llama.cpp calls it the same.
ARCHITECTURES = {
    "bamba": "granitehybrid",
    "cohere": "command-r",
    "deepseek_v2": "deepseek2",
    "deepseek_v3": "deepseek2",
    "deepseek_v32": "deepseek32",
    "falcon_h1": "falcon-h1",
    "gemma2": "gemma2",
    "gemma3_text": "gemma3",
    "gemma3n_text": "gemma3n",
    "glm4_moe": "glm4moe",
    "glm4_moe_lite": "deepseek2",
    "gpt_oss": "gpt-oss",
    "granitemoehybrid": "granitehybrid",
    "kimi_linear": "kimi-linear",
    "lfm2_moe": "lfm2moe",
    "llama4_text": "llama4",
    "ministral3": "mistral3",
    "mistral": "llama",
    "mixtral": "llama",
    "phi": "phi2",
    "qwen2_5_vl": "qwen2vl",
    "qwen2_5_vl_text": "qwen2vl",
    "qwen2_moe": "qwen2moe",
    "qwen2_vl": "qwen2vl",
    "qwen3_5": "qwen35",
    "qwen3_5_moe": "qwen35moe",
    "qwen3_5_moe_text": "qwen35moe",
    "qwen3_5_text": "qwen35",
    "qwen3_moe": "qwen3moe",
    "qwen3_next": "qwen3next",
    "qwen3_vl_moe_text": "qwen3vlmoe",
    "qwen3_vl_text": "qwen3vl",
}

#: key of GGUF <- the first of these that is there.
_NUMBERS = {
    "context_length": ("max_position_embeddings", "n_positions", "max_seq_len"),
    "embedding_length": ("hidden_size", "n_embd", "d_model"),
    "feed_forward_length": ("intermediate_size", "n_inner", "ffn_dim"),
    "vocab_size": ("vocab_size",),
    "attention.head_count": ("num_attention_heads", "n_head"),
    "attention.head_count_kv": ("num_key_value_heads", "num_attention_heads", "n_head"),
    "attention.key_length": ("head_dim",),
    "attention.value_length": ("v_head_dim", "head_dim"),
    "attention.sliding_window": ("sliding_window",),
    "attention.sliding_window_pattern": ("sliding_window_pattern",),
    "attention.kv_lora_rank": ("kv_lora_rank",),
    "expert_count": ("num_experts", "n_routed_experts", "num_local_experts"),
    "expert_used_count": ("num_experts_per_tok", "num_experts_per_token"),
    "expert_shared_count": ("n_shared_experts",),
    "expert_feed_forward_length": ("moe_intermediate_size",),
    "full_attention_interval": ("full_attention_interval",),
    "ssm.conv_kernel": ("linear_conv_kernel_dim", "mamba_d_conv", "conv_kernel", "d_conv"),
    "ssm.state_size": ("linear_key_head_dim", "mamba_d_state", "state_size", "ssm_state_size"),
    "ssm.group_count": ("linear_num_key_heads", "mamba_n_groups", "n_groups"),
    "ssm.inner_size": ("mamba_d_ssm", "mamba_intermediate_size"),
}


class Config(msgspec.Struct, frozen=True):
    """A ``config.json``; of a model for text and images, the text's part over the whole."""

    path: Path
    values: dict[str, Json]

    def number(self, *names: str) -> int | None:
        """The first of ``names`` that holds a whole number; ModelError for one that is negative or absurd."""
        for name in names:
            value = self.values.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                if not 0 <= value < 2**31:
                    raise ModelError(f"{self.path} has the impossible value {str(value)[:40]} for {name}.")
                return value
        return None

    def words(self, name: str) -> list[str]:
        value = self.values.get(name)
        return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []

    def bits(self, module: str) -> int:
        """Bits per weight of an MLX module: its own, else the model's, else 4."""
        told = self.values.get("quantization")
        own = told.get(module) if isinstance(told, dict) else None
        for source in (own, told):
            bits = source.get("bits") if isinstance(source, dict) else None
            if isinstance(bits, int) and bits in (2, 3, 4, 5, 6, 8):
                return bits
        return 4


def read_config(path: Path) -> Config:
    """Read ``path``; ModelError when it is missing, too large or not a JSON object."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG + 1)
        if len(data) > MAX_CONFIG:
            raise ModelError(f"{path} is larger than {MAX_CONFIG} bytes.")
        found = msgspec.json.decode(data)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON: {error}.") from None
    if not isinstance(found, dict):
        raise ModelError(f"{path} is not a JSON object.")
    text = found.get("text_config") or found.get("llm_config")
    return Config(path, {**found, **text} if isinstance(text, dict) else found)


def metadata_of(config: Config, tensors: Sequence[str]) -> dict[str, Value]:
    """The keys of a GGUF header for the model whose tensors have these (translated) names."""
    kind = config.values.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise ModelError(f"{config.path} does not say a model_type.")
    architecture = ARCHITECTURES.get(kind, kind)
    own: dict[str, Value] = {}
    for key, names in _NUMBERS.items():
        number = config.number(*names)
        if number is not None:
            own[key] = number
    own.update(_layers(config, tensors))
    own.update(_latent(config))
    own.update(_linear(config, own))
    if config.values.get("use_sliding_window") is False:
        own.pop("attention.sliding_window", None)
    name = config.values.get("_name_or_path")
    return {
        "general.architecture": architecture,
        "general.name": name if isinstance(name, str) and name else config.path.parent.name,
        **{f"{architecture}.{key}": value for key, value in own.items()},
    }


def _layers(config: Config, tensors: Sequence[str]) -> dict[str, Value]:
    """Blocks, those for multi-token prediction among them if their tensors are there; which of them do what."""
    count = config.number("num_hidden_layers", "n_layer", "n_layers")
    if count is None:
        raise ModelError(f"{config.path} does not say num_hidden_layers.")
    ahead = config.number("num_nextn_predict_layers") or 0
    if not any(name.startswith(f"blk.{count}.") for name in tensors):
        ahead = 0
    found: dict[str, Value] = {"block_count": count + ahead, "nextn_predict_layers": ahead}
    kinds = config.words("layer_types")
    if len(kinds) == count:
        if "sliding_attention" in kinds:
            found["attention.sliding_window_pattern"] = tuple(kind == "sliding_attention" for kind in kinds)
        if "linear_attention" in kinds:
            found["attention.recurrent_layers"] = (*(kind == "linear_attention" for kind in kinds), *(False,) * ahead)
    return found


def _latent(config: Config) -> dict[str, Value]:
    """Multi-head latent attention, as GGUF files of these models say it: one compressed row per token."""
    row, rope = config.number("kv_lora_rank"), config.number("qk_rope_head_dim")
    plain, value = config.number("qk_nope_head_dim"), config.number("v_head_dim")
    if not row or rope is None or plain is None or value is None:
        return {}
    return {
        "attention.head_count_kv": 1,
        "attention.key_length": row + rope,
        "attention.value_length": row,
        "attention.key_length_mla": plain + rope,
        "attention.value_length_mla": value,
    }


def _linear(config: Config, own: Mapping[str, Value]) -> dict[str, Value]:
    """The inner width of recurrent layers, where it follows from others."""
    heads, head = config.number("linear_num_value_heads"), config.number("linear_value_head_dim")
    if heads and head:
        return {"ssm.inner_size": heads * head}
    expand, embedding = config.number("mamba_expand", "expand"), own.get("embedding_length")
    if "ssm.state_size" in own and "ssm.inner_size" not in own and isinstance(embedding, int):
        return {"ssm.inner_size": (expand or 2) * embedding}
    return {}
