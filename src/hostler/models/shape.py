"""What placement needs of a model: bytes per layer and class, and how each layer remembers.

Derived from a header alone, local or remote; nothing here opens a file.
"""

from __future__ import annotations

from typing import Literal

import msgspec

#: full: a KV cell per token. window: cells for the sliding window only. mla: one compressed row per token, no
#: values. recurrent: a state of fixed size per sequence (Mamba, DeltaNet and the like). none: remembers nothing.
Memory = Literal["full", "window", "mla", "recurrent", "none"]


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One block of the model. Bytes are on disk, as quantised.

    ``key_width`` and ``value_width`` are elements per token and layer over all heads (for mla the compressed row
    and 0). ``query_width`` is what each of its queries meets in every cell: heads times the sizes of key and value.
    ``state_bytes`` is the recurrent state of one sequence (f32); a layer may have it beside a cache of keys and values
    (Falcon-H1). ``recurrent_width`` is elements that such a layer computes with per token. ``prediction`` marks
    multi-token prediction blocks, which are neither loaded nor run nor given a cache in ordinary decoding.
    """

    index: int
    memory: Memory
    attention: int
    feed_forward: int
    experts: int
    shared_experts: int
    recurrent: int
    other: int
    key_width: int
    value_width: int
    query_width: int = 0
    state_bytes: int = 0
    recurrent_width: int = 0
    prediction: bool = False

    @property
    def weights(self) -> int:
        """All tensors of the layer."""
        return self.attention + self.feed_forward + self.experts + self.shared_experts + self.recurrent + self.other


class ModelShape(msgspec.Struct, frozen=True, kw_only=True):
    """A whole model.

    ``input`` is the token embedding (read a row per token, kept lazily mapped on the host), ``output`` the output
    matrix (equal to ``input`` when ``tied``, then loaded a second time by a device that needs it). ``active`` of
    ``experts`` experts are used per token, beside ``shared`` ones that always are. ``guesses`` says, in words, which
    parts are not known for this architecture and were taken from the general formula. ``feed_forward_width`` is that of
    dense layers, ``expert_width`` that of one expert; ``expert_tensor`` the bytes of the largest tensor of routed
    experts, which a GPU needs room for when it computes with experts that lie on the host.
    """

    architecture: str
    parameters: int
    active_parameters: int
    layers: tuple[Layer, ...]
    input: int
    output: int
    tied: bool
    other: int
    experts: int
    active: int
    window: int
    embedding: int
    feed_forward_width: int
    heads: int
    vocabulary: int
    context: int
    quantisation: str
    shared: int = 0
    expert_width: int = 0
    expert_tensor: int = 0
    guesses: tuple[str, ...] = ()

    @property
    def weights(self) -> int:
        """Every tensor in the file, each once."""
        output = 0 if self.tied else self.output
        return self.input + output + self.other + sum(layer.weights for layer in self.layers)
