"""What a GGUF model's headers say, all split files together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hostler.errors import ModelError
from hostler.models.facts import GgufFacts
from hostler.models.header import Header, Skipped, TensorInfo, Value, read_header
from hostler.models.tensortypes import FILE_TYPES, POOLINGS

__all__ = ["Header", "Skipped", "TensorInfo", "Value", "read_facts", "read_header"]

MAX_LAYERS = 4096
_FEW = 2**31


def read_facts(files: Sequence[Path]) -> GgufFacts:
    """Read the headers of all parts of a model (one file, or all of a split one in order).

    Blocking, a few milliseconds a file. Raises ModelError with path and offset or key of what is wrong:
    unreadable, truncated or corrupt files, parts that are missing or do not belong together, missing keys.
    """
    headers = [read_header(path) for path in files]
    _check_split(files, headers)
    return _facts(_Keys(files[0], headers[0].metadata), [t for header in headers for t in header.tensors])


def _check_split(files: Sequence[Path], headers: Sequence[Header]) -> None:
    first = _Keys(files[0], headers[0].metadata)
    count = first.number("split.count", default=0)
    if count <= 1 and len(files) == 1:
        return
    if count != len(files):
        raise ModelError(
            f"{files[0]} says that it is one of {max(count, 1)} parts; {len(files)} were found.",
            hint="Put all parts (-00001-of-0000N.gguf and so on) into one folder.",
        )
    for number, (path, header) in enumerate(zip(files, headers, strict=True)):
        keys = _Keys(path, header.metadata)
        if keys.number("split.no", default=-1) != number or keys.number("split.count", default=0) != count:
            raise ModelError(f"{path} is not part {number + 1} of {count} of the model in {files[0]} (key split.no).")
    expected = first.number("split.tensors.count", default=0)
    found = sum(len(header.tensors) for header in headers)
    if expected and expected != found:
        raise ModelError(f"{files[0]} and its parts hold {found} tensors instead of {expected}: parts do not match.")


class _Keys:
    """Typed access to the keys of one header; ``{arch}`` keys by their short name."""

    def __init__(self, path: Path, metadata: dict[str, Value]) -> None:
        self.path = path
        self.metadata = metadata
        architecture = metadata.get("general.architecture")
        self.architecture = architecture if isinstance(architecture, str) else ""

    def text(self, key: str) -> str | None:
        value = self.metadata.get(key)
        return value if isinstance(value, str) and value else None

    def number(self, key: str, *, default: int | None = None) -> int:
        """A whole number from 0 to 2^31; ``default`` when the key is absent, else ModelError."""
        value = self.metadata.get(key, default)
        if value is None:
            raise ModelError(f"{self.path} lacks the key {key}: not a whole language model.")
        if isinstance(value, bool) or not isinstance(value, int) or not (value == default or 0 <= value < _FEW):
            raise ModelError(f"{self.path} has the impossible value {str(value)[:40]} for the key {key}.")
        return value

    def own(self, key: str, *, default: int | None = None) -> int:
        return self.number(f"{self.architecture}.{key}", default=default)

    def per_layer(self, key: str, layers: int, default: tuple[int, ...]) -> tuple[int, ...]:
        """One number per layer: the key holds one for all, or an array of them."""
        full = f"{self.architecture}.{key}"
        value = self.metadata.get(full)
        if not isinstance(value, tuple):
            return default if value is None else (self.number(full),) * layers
        numbers = tuple(item for item in value if isinstance(item, int) and 0 <= item < _FEW)
        if len(numbers) != len(value) or len(value) != layers:
            raise ModelError(f"{self.path} has {len(value)} numbers for {layers} layers in the key {full}.")
        return numbers


def _facts(keys: _Keys, tensors: Sequence[TensorInfo]) -> GgufFacts:
    _check_architecture(keys)
    layers = keys.own("block_count")
    if not 1 <= layers <= MAX_LAYERS:
        raise ModelError(f"{keys.path} has the impossible value {layers} for the key {keys.architecture}.block_count.")
    embedding = keys.own("embedding_length")
    heads_of = keys.per_layer("attention.head_count", layers, (0,) * layers)
    heads = max(heads_of)
    per_head = embedding // heads if heads else 0
    return GgufFacts(
        architecture=keys.architecture,
        name=keys.text("general.name") or keys.path.stem,
        parameters=sum(tensor.elements for tensor in tensors),
        tensor_bytes=sum(tensor.size for tensor in tensors),
        quantisation=_quantisation(keys, tensors),
        layers=layers,
        context_length=keys.own("context_length"),
        embedding_length=embedding,
        vocabulary=_vocabulary(keys, tensors),
        heads=heads,
        kv_heads=_without_recurrent(keys, keys.per_layer("attention.head_count_kv", layers, heads_of)),
        key_length=keys.own("attention.key_length", default=per_head),
        value_length=keys.own("attention.value_length", default=per_head),
        sliding_window=keys.own("attention.sliding_window", default=0) or None,
        experts=keys.own("expert_count", default=0),
        recurrent_bytes=_recurrent_bytes(keys, layers),
        chat_template=_chat_template(keys),
        pooling=POOLINGS.get(keys.own("pooling_type", default=0)),
        licence=keys.text("general.license"),
    )


def _check_architecture(keys: _Keys) -> None:
    if not keys.architecture:
        raise ModelError(f"{keys.path} lacks the key general.architecture: not a model, or not its first part.")
    if keys.architecture == "clip":
        raise ModelError(
            f"{keys.path} is a projector (images or sound for another model), not a language model.",
            hint="Name the language model beside it; the projector is found by itself.",
        )


def _quantisation(keys: _Keys, tensors: Sequence[TensorInfo]) -> str:
    """The label of general.file_type; without one, the type that holds the most bytes."""
    label = FILE_TYPES.get(keys.number("general.file_type", default=-1))
    if label:
        return label
    held: Counter[str] = Counter()
    for tensor in tensors:
        held[tensor.type] += tensor.size
    return held.most_common(1)[0][0] if held else "unknown"


def _vocabulary(keys: _Keys, tensors: Sequence[TensorInfo]) -> int:
    tokens = keys.metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, Skipped):
        return tokens.count
    if isinstance(tokens, tuple):
        return len(tokens)
    embedding = next((t.shape for t in tensors if t.name == "token_embd.weight" and len(t.shape) == 2), (0, 0))
    return keys.own("vocab_size", default=embedding[1])


def _without_recurrent(keys: _Keys, kv_heads: tuple[int, ...]) -> tuple[int, ...]:
    """Hybrids with ``full_attention_interval`` N keep keys and values in every Nth layer only.

    Source: llama.cpp, ``recurrent_layer_arr[i] = (i + 1) % full_attn_interval != 0``.
    """
    interval = keys.own("full_attention_interval", default=0)
    if interval < 2 or not keys.own("ssm.state_size", default=0):
        return kv_heads
    return tuple(heads if (layer + 1) % interval == 0 else 0 for layer, heads in enumerate(kv_heads))


def _recurrent_bytes(keys: _Keys, layers: int) -> int:
    """State of one sequence, f32, as if every layer were recurrent (an upper bound for hybrids).

    Source: llama.cpp ``n_embd_r() = (d_conv - 1) * (d_inner + 2 * n_group * d_state)`` and
    ``n_embd_s() = d_state * d_inner``.
    """
    inner, state = keys.own("ssm.inner_size", default=0), keys.own("ssm.state_size", default=0)
    kernel, groups = keys.own("ssm.conv_kernel", default=1), keys.own("ssm.group_count", default=0)
    return 4 * layers * (max(kernel - 1, 0) * (inner + 2 * groups * state) + state * inner)


def _chat_template(keys: _Keys) -> str | None:
    """The default template; models with several name them in ``tokenizer.chat_templates``."""
    return keys.text("tokenizer.chat_template") or keys.text("tokenizer.chat_template.default")
