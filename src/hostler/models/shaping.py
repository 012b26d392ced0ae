"""From the headers of a model to what placement needs of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hostler.models.header import Header, TensorInfo
from hostler.models.keys import Keys
from hostler.models.labels import checked_layers, quantisation, vocabulary
from hostler.models.memory import Memories, memories, prediction_layers
from hostler.models.shape import Layer, ModelShape
from hostler.models.tensorclasses import Class, part_of


class _Tally(NamedTuple):
    """Bytes and elements by class: ``layers`` one Counter for each layer, ``rest`` what belongs to none."""

    layers: tuple[Counter[Class], ...]
    rest: Counter[Class]
    elements: Counter[Class]
    prediction_elements: int
    names: tuple[frozenset[str], ...]
    table: TensorInfo | None
    largest_expert: int


def shape_of(headers: Sequence[Header], path: Path | str) -> ModelShape:
    """The shape of the model whose parts have these ``headers``, in order; ``path`` names it in errors.

    Bytes are exact for any architecture: every tensor is in one class. Pure, a few milliseconds for a model with
    a thousand tensors. ModelError when keys are missing or impossible.
    """
    keys = Keys(path, headers[0].metadata)
    count = checked_layers(keys)
    tally = _tally([tensor for header in headers for tensor in header.tensors], count, prediction_layers(keys, count))
    return _shape(keys, tally, memories(keys, count, tally.names), quantisation(keys, headers))


def _shape(keys: Keys, tally: _Tally, found: Memories, label: str) -> ModelShape:
    tied = "output" not in tally.rest
    table = tally.table.size if tally.table else 0
    return ModelShape(
        architecture=keys.architecture,
        parameters=sum(tally.elements.values()) + tally.prediction_elements,
        active_parameters=_active(keys, tally, tied),
        layers=_layers(keys, tally, found),
        input=tally.rest["input"],
        output=table if tied else tally.rest["output"],
        tied=tied,
        other=tally.rest["other"],
        experts=keys.own("expert_count", default=0),
        active=keys.own("expert_used_count", default=0),
        window=found.window,
        embedding=keys.own("embedding_length"),
        feed_forward_width=keys.most("feed_forward_length") or keys.most("expert_feed_forward_length"),
        heads=keys.most("attention.head_count"),
        vocabulary=vocabulary(keys, tally.table.shape if tally.table else ()),
        context=keys.own("context_length"),
        quantisation=label,
        # Qwen's files do not count them: there is one.
        shared=keys.own("expert_shared_count", default=1 if tally.elements["shared_experts"] else 0),
        expert_width=keys.most("expert_feed_forward_length"),
        expert_tensor=tally.largest_expert,
        guesses=found.guesses,
    )


def _layers(keys: Keys, tally: _Tally, found: Memories) -> tuple[Layer, ...]:
    run = len(tally.layers) - prediction_layers(keys, len(tally.layers))
    heads = keys.per_layer("attention.head_count", len(tally.layers), (0,) * len(tally.layers))
    per_head = keys.own("embedding_length") // max(heads) if max(heads) else 0
    sizes = sum(keys.own(f"attention.{each}_length", default=per_head) for each in ("key", "value"))
    return tuple(
        Layer(
            index=index,
            memory=remembering.memory,
            attention=held["attention"],
            feed_forward=held["feed_forward"],
            experts=held["experts"],
            shared_experts=held["shared_experts"],
            recurrent=held["recurrent"],
            other=held["other"],
            key_width=remembering.key_width,
            value_width=remembering.value_width,
            query_width=heads[index] * sizes if remembering.memory not in ("recurrent", "none") else 0,
            state_bytes=remembering.state_bytes,
            recurrent_width=remembering.recurrent_width,
            prediction=index >= run,
        )
        for index, (held, remembering) in enumerate(zip(tally.layers, found.layers, strict=True))
    )


def _tally(tensors: Sequence[TensorInfo], count: int, prediction: int) -> _Tally:
    layers: tuple[Counter[Class], ...] = tuple(Counter() for _ in range(count))
    names: tuple[set[str], ...] = tuple(set() for _ in range(count))
    rest: Counter[Class] = Counter()
    elements: Counter[Class] = Counter()
    predicting, table, largest = 0, None, 0
    for tensor in tensors:
        layer, kind, short = part_of(tensor.name)
        if layer is not None and layer < count:
            layers[layer][kind] += tensor.size
            names[layer].add(short)
        else:
            rest[kind if layer is None else "other"] += tensor.size
        if layer is not None and count - prediction <= layer < count:
            predicting += tensor.elements
        else:
            elements[kind] += tensor.elements
        if kind == "experts":
            largest = max(largest, tensor.size)
        if tensor.name == "token_embd.weight":
            table = tensor
    return _Tally(layers, rest, elements, predicting, tuple(map(frozenset, names)), table, largest)


def _active(keys: Keys, tally: _Tally, tied: bool) -> int:
    """Weights read per token: the routed share of the experts, and of the embedding only what is the output too."""
    total, used = keys.own("expert_count", default=0), keys.own("expert_used_count", default=0)
    routed = tally.elements["experts"] * min(used, total) // total if total else tally.elements["experts"]
    table = tally.table.elements if tied and tally.table else 0
    unrouted = sum(count for kind, count in tally.elements.items() if kind not in ("experts", "input"))
    return unrouted + routed + table
