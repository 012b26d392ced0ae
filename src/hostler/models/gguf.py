"""What a GGUF model's headers say, all split files together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hostler.errors import ModelError
from hostler.models.facts import GgufFacts
from hostler.models.header import Header, Skipped, TensorInfo, Value, read_header
from hostler.models.keys import Keys
from hostler.models.labels import checked_layers, quantisation, vocabulary
from hostler.models.shape import ModelShape
from hostler.models.shaping import shape_of
from hostler.models.tensortypes import POOLINGS

__all__ = [
    "Header",
    "Skipped",
    "TensorInfo",
    "Value",
    "facts_of",
    "read_facts",
    "read_header",
    "read_model",
    "read_shape",
]


#: What a GGUF file can be besides a model (``GGUFType``), and what to do with it.
_KINDS = {
    "mmproj": ("a projector", "Put it beside its model, with `mmproj` in its file name; the model then takes images."),
    "imatrix": ("an importance matrix", "It is for quantising a model; name the model itself."),
    "vocab": ("a vocabulary", "Name a file with weights."),
}


def read_facts(files: Sequence[Path]) -> GgufFacts:
    """Read the headers of all parts of a model (one file, or all of a split one in order).

    Blocking, a few milliseconds a file. Raises ModelError with path and offset or key of what is wrong:
    unreadable, truncated or corrupt files, parts that are missing or do not belong together, missing keys.
    """
    return facts_of(_read(files), files[0])


def read_shape(files: Sequence[Path]) -> ModelShape:
    """What placement needs of the model; as :func:`read_facts` otherwise."""
    return shape_of(_read(files), files[0])


def read_model(files: Sequence[Path]) -> tuple[GgufFacts, ModelShape]:
    """Both, from one reading."""
    headers = _read(files)
    return facts_of(headers, files[0]), shape_of(headers, files[0])


def _read(files: Sequence[Path]) -> list[Header]:
    headers = [read_header(path) for path in files]
    check_parts(files, headers)
    return headers


def check_parts(files: Sequence[Path | str], headers: Sequence[Header]) -> None:
    """ModelError unless ``headers`` are all parts of one model, in order; ``files`` name them."""
    first = Keys(files[0], headers[0].metadata)
    _check_kind(first)
    count = first.number("split.count", default=0)
    if count <= 1 and len(files) == 1:
        return
    if count != len(files):
        raise ModelError(
            f"{files[0]} says that it is one of {max(count, 1)} parts; {len(files)} were found.",
            hint="Put all parts (-00001-of-0000N.gguf and so on) into one folder.",
        )
    for number, (path, header) in enumerate(zip(files, headers, strict=True)):
        keys = Keys(path, header.metadata)
        if keys.number("split.no", default=-1) != number or keys.number("split.count", default=0) != count:
            raise ModelError(f"{path} is not part {number + 1} of {count} of the model in {files[0]} (key split.no).")
    _check_tensors(files, headers, first.number("split.tensors.count", default=0))


def _check_kind(keys: Keys) -> None:
    """ModelError for a file that says it is something else: an adapter has a model's keys, but is none."""
    kind = keys.text("general.type") or "model"
    if kind == "adapter":
        form = "a LoRA adapter" if keys.text("adapter.type") in (None, "lora") else "an adapter"
        raise ModelError(
            f"{keys.path} is {form} for {keys.architecture or 'another'} models, not a model.",
            hint=f'Name its base model in a profile, with `extra_args = ["--lora", "{keys.path}"]` in `engine`.',
        )
    if kind != "model" and (what := _KINDS.get(kind)) is not None:
        raise ModelError(f"{keys.path} is {what[0]}, not a model.", hint=what[1])


def _check_tensors(files: Sequence[Path | str], headers: Sequence[Header], expected: int) -> None:
    found = sum(len(header.tensors) for header in headers)
    if expected and expected != found:
        raise ModelError(f"{files[0]} and its parts hold {found} tensors instead of {expected}: parts do not match.")
    seen: set[str] = set()
    for path, header in zip(files, headers, strict=True):
        for tensor in header.tensors:
            if tensor.name in seen:
                raise ModelError(
                    f"{path} holds the tensor {tensor.name!r} of an earlier part again: parts do not match."
                )
            seen.add(tensor.name)


def facts_of(headers: Sequence[Header], path: Path | str) -> GgufFacts:
    """The facts in the headers of a model's parts; ``path`` names it in errors."""
    keys = Keys(path, headers[0].metadata)
    layers = checked_layers(keys)
    tensors = [tensor for header in headers for tensor in header.tensors]
    table = next((tensor.shape for tensor in tensors if tensor.name == "token_embd.weight"), ())
    embedding = keys.own("embedding_length")
    heads_of = keys.per_layer("attention.head_count", layers, (0,) * layers)
    heads = max(heads_of)
    per_head = embedding // heads if heads else 0
    return GgufFacts(
        architecture=keys.architecture,
        name=keys.text("general.name") or Path(path).stem,
        parameters=sum(tensor.elements for tensor in tensors),
        tensor_bytes=sum(tensor.size for tensor in tensors),
        quantisation=quantisation(keys, headers),
        layers=layers,
        context_length=keys.own("context_length"),
        embedding_length=embedding,
        vocabulary=vocabulary(keys, table),
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


def _without_recurrent(keys: Keys, kv_heads: tuple[int, ...]) -> tuple[int, ...]:
    """Hybrids with ``full_attention_interval`` N keep keys and values in every Nth layer only.

    Source: llama.cpp, ``recurrent_layer_arr[i] = (i + 1) % full_attn_interval != 0``.
    """
    interval = keys.own("full_attention_interval", default=0)
    if interval < 2 or not keys.own("ssm.state_size", default=0):
        return kv_heads
    return tuple(heads if (layer + 1) % interval == 0 else 0 for layer, heads in enumerate(kv_heads))


def _recurrent_bytes(keys: Keys, layers: int) -> int:
    """State of one sequence, f32, as if every layer were recurrent (an upper bound for hybrids).

    Source: llama.cpp ``n_embd_r() = (d_conv - 1) * (d_inner + 2 * n_group * d_state)`` and
    ``n_embd_s() = d_state * d_inner``.
    """
    inner, state = keys.own("ssm.inner_size", default=0), keys.own("ssm.state_size", default=0)
    kernel, groups = keys.own("ssm.conv_kernel", default=1), keys.own("ssm.group_count", default=0)
    return 4 * layers * (max(kernel - 1, 0) * (inner + 2 * groups * state) + state * inner)


def _chat_template(keys: Keys) -> str | None:
    """The default template; models with several name them in ``tokenizer.chat_templates``."""
    return keys.text("tokenizer.chat_template") or keys.text("tokenizer.chat_template.default")
