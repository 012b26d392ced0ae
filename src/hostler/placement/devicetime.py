"""Seconds that a device takes for a layer's work: its figures, or what stands in for those that nobody knows."""

from __future__ import annotations

from typing import Final

from hostler.hardware.facts import Device, Kind, Machine
from hostler.placement.efficiency import Efficiency
from hostler.placement.layout import HOST, Run
from hostler.placement.work import LayerWork, Output, Work

#: Tokens of a batch from which the first GPU computes what lies on the host (GGML_OP_OFFLOAD_MIN_BATCH).
OFFLOAD_TOKENS: Final = 32

# For a device of which nobody says more: slow ones of their kind, and a wider interval.
_BANDWIDTH: Final[dict[Kind, float]] = {"nvidia": 300e9, "amd": 250e9, "apple": 100e9, "host": 40e9}
_RATE: Final[dict[Kind, float]] = {"nvidia": 30e12, "amd": 20e12, "apple": 3e12, "host": 0.2e12}
_UNKNOWN: Final = 0.3
# Four lanes of the third generation, as second slots have.
_PCIE: Final = 3.9e9
# Of the link: from pinned memory, and from a mapped file, which the driver copies twice. Prefill with experts on the
# host is 1.4 to 1.5 times as fast without mapping (ggml-org/llama.cpp issue 27742).
_PINNED, _MAPPED = 0.85, 0.55
# A hand-over between devices in a step: launch, copy, wait.
_HANDOVER_S: Final = 20e-6
_ACTIVATION: Final = 4
# Products are computed in tiles of so many tokens at least; an expert with fewer costs as much.
_LEAST_CROWD: Final = 16.0
# Sampling: a fixed part, and passes over the logits on one core (llama.cpp makes a table of candidates for each token).
# Gemma 3 270M and its 262,144 logits: `llama-bench`, which does not sample, is 1.1 ms per token faster than the server.
_STEP_S: Final = 100e-6
_CYCLES_PER_LOGIT: Final = 11.0
_CLOCK: Final = 3e9


class DeviceTime:
    """How long one device takes for a run."""

    def __init__(self, device: Device, machine: Machine, efficiency: Efficiency, run: Run) -> None:
        threads = _share_of_threads(machine, run) if device.id == HOST else 1.0
        bandwidth, rate = _bandwidth(device, machine), matrix_rate(device)
        # Half of the cores can ask for all that the memory gives.
        self._read = (bandwidth or _BANDWIDTH[device.kind]) * min(1.0, 2 * threads)
        self._rate = (rate or _RATE[device.kind]) * threads
        self._efficiency = efficiency
        self._link = _link(device, machine) * (_MAPPED if run.mapped else _PINNED)
        self.error = efficiency.error + (0.0 if bandwidth else _UNKNOWN)
        self.prefill_error = efficiency.prefill_error + (0.0 if rate else _UNKNOWN)

    def dense(self, work: Work, layer: LayerWork) -> tuple[float, float]:
        """Seconds per token of all but the routed experts: decode, prefill."""
        if not layer.dense:
            return 0.0, 0.0
        mixed = max(layer.cache / self._cached, layer.mixing / (self._rate * self._efficiency.attend))
        decode = self._vector(layer.dense, layer.weights) + mixed + self._efficiency.launch
        prefill = self._batch(work, layer.dense, layer.weights) + self.attention(layer)
        return decode, prefill + self._efficiency.launch / work.tokens

    def experts(self, work: Work, layer: LayerWork) -> tuple[float, float]:
        """Seconds per token of the routed experts: decode, prefill."""
        if not layer.experts:
            return 0.0, 0.0
        return self._vector(layer.active, layer.chosen), self._crowd(work, layer)

    def output(self, output: Output) -> float:
        """Seconds per generated token; a prompt needs it once."""
        return self._vector(output.bytes, output.weights)

    def attention(self, layer: LayerWork) -> float:
        """Seconds per token of a prompt."""
        return layer.mixing / (self._rate * self._efficiency.attention)

    def lent_dense(self, work: Work, layer: LayerWork) -> float:
        """Prefill seconds per token when this GPU computes with weights that lie on the host, attention left out."""
        return layer.dense / self._link / work.tokens + self._batch(work, layer.dense, layer.weights)

    def lent_experts(self, work: Work, layer: LayerWork) -> float:
        """Prefill seconds per token when this GPU computes with experts that lie on the host."""
        return layer.experts * work.touched / self._link / work.tokens + self._crowd(work, layer)

    @property
    def _cached(self) -> float:
        return self._read * self._efficiency.cache

    def _vector(self, size: float, weights: float) -> float:
        return max(size / (self._read * self._efficiency.decode), 2 * weights / (self._rate * self._efficiency.vector))

    def _batch(self, work: Work, size: float, weights: float) -> float:
        reading = size / (self._read * self._efficiency.decode) / work.tokens
        return reading + 2 * weights / (self._rate * self._efficiency.prefill)

    def _crowd(self, work: Work, layer: LayerWork) -> float:
        slower = 1 + self._efficiency.crowd / max(work.per_expert, _LEAST_CROWD)
        return self._batch(work, layer.experts * work.touched, layer.chosen * slower)


def matrix_rate(device: Device) -> float | None:
    """Operations per second in products of matrices, for which the share ``prefill`` is meant; None if not known.

    f16 with f32 sums; of a card with fast integers no more than a quarter of their rate, which is how NVIDIA's
    ordinary cards are built and what quantised products reach.
    """
    half, integer = device.rates.get("f16"), device.rates.get("int8")
    if half and integer:
        return min(half.value, integer.value / 4)
    if integer:
        return integer.value / 4
    found = half or device.rates.get("f32")
    return found.value if found else None


def crossing(machine: Machine, embedding: int) -> tuple[float, float]:
    """One change of device, for one token in decode and for one of a batch: the activations over the slowest link."""
    slowest = min((_link(device, machine) for device in machine.gpus), default=_PCIE)
    moving = embedding * _ACTIVATION / slowest
    return _HANDOVER_S + moving, moving


def step(vocabulary: int, machine: Machine) -> float:
    """Seconds of a step that no device's figures tell: sampling on the host."""
    clock = machine.cpu.clock.value if machine.cpu.clock else _CLOCK
    return _STEP_S + vocabulary * _CYCLES_PER_LOGIT / clock


def _bandwidth(device: Device, machine: Machine) -> float | None:
    found = device.bandwidth or (machine.host.bandwidth if device.unified else None)
    return found.value if found else None


def _link(device: Device, machine: Machine) -> float:
    if device.unified:
        # A copy within one memory reads and writes.
        return (_bandwidth(device, machine) or _BANDWIDTH[device.kind]) / 2
    return (device.pcie.bandwidth if device.pcie else 0.0) or _PCIE


def _share_of_threads(machine: Machine, run: Run) -> float:
    return min(1.0, run.threads / max(1, machine.cpu.cores))
