"""Flags to the attributes of the wheel's CommonParams.

The only module that knows the wheel's types. ``apply`` is used by the launcher; nothing imports the wheel
until it is called.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable

from hostler.engines.commands.arguments import Given, Value
from hostler.errors import FlagUnsupported

# llama.cpp, common/arg.cpp: which tensors --cpu-moe and --n-cpu-moe keep in host memory.
_EXPERTS = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"

Convert = Callable[[object, Value], object]


def apply(params: object, given: Iterable[Given], build: str) -> None:
    """Set every given flag on ``params`` (a CommonParams).

    Raises FlagUnsupported, naming flag and build, for a flag without an attribute and a refused value.
    """
    for each in given:
        if each.flag.wheel is None:
            raise FlagUnsupported(f"`{each.spelling}` cannot be passed to {build}.")
        try:
            _set(params, each)
        except (ValueError, TypeError, AssertionError, OverflowError) as error:
            message = f"{build} refuses `{each.spelling} {each.value}`: {error}."
            raise FlagUnsupported(message, hint="Correct the value.") from None


def _set(params: object, given: Given) -> None:
    *owners, name = (given.flag.wheel or "").split(".")
    target = params
    for owner in owners:
        target = getattr(target, owner)
    before = getattr(target, name)
    setattr(target, name, CONVERSIONS[given.flag.convert](before, given.value))
    if given.flag.convert == "timeout":
        setattr(params, "timeout_write", given.value)  # noqa: B010 - one flag, two attributes
    if given.flag.convert == "reranking":
        _pool_by_rank(params)


def _pool_by_rank(params: object) -> None:
    setattr(params, "pooling_type", _member("llama_pooling_type", "LLAMA_POOLING_TYPE_RANK"))  # noqa: B010


def _member(enum: str, name: str) -> object:
    import xllamacpp

    return getattr(getattr(xllamacpp, enum), name)


def _enum(enum: str, prefix: str, names: dict[str, str] | None = None) -> Convert:
    def convert(_before: object, value: Value) -> object:
        text = str(value)
        name = (names or {}).get(text, text.upper().replace("-", "_"))
        return _member(enum, prefix + name)

    return convert


def _when(enum: str, on: str, off: str) -> Convert:
    return lambda _before, value: _member(enum, on if value else off)


def _shares(before: object, value: Value) -> list[float]:
    # The wheel wants a number for each of its device places.
    numbers = [float(part) for part in str(value).replace("/", ",").split(",")]
    assert isinstance(before, list)
    return numbers + [0.0] * (len(before) - len(numbers))


def _mebibytes(before: object, value: Value) -> list[int]:
    # One number stands for all devices, as in llama-server.
    numbers = [int(part) * 2**20 for part in str(value).split(",")]
    assert isinstance(before, list)
    return numbers + [numbers[-1]] * (len(before) - len(numbers))


def _layers(_before: object, value: Value) -> int:
    return {"auto": -1, "all": -2}.get(str(value)) or int(value)


def _add_overrides(before: object, value: str) -> str:
    return f"{before},{value}" if before else value


def _n_cpu_moe(before: object, value: Value) -> str:
    each = ",".join(f"blk\\.{layer}{_EXPERTS}=CPU" for layer in range(int(value)))
    return _add_overrides(before, each) if each else str(before)


def _loras(before: object, value: Value) -> list[object]:
    return [*_listed(before), *(_lora(path, 1.0) for path in str(value).split(","))]


def _loras_scaled(before: object, value: Value) -> list[object]:
    pairs = (part.rpartition(":") for part in str(value).split(","))
    return [*_listed(before), *(_lora(path, float(scale)) for path, _, scale in pairs)]


def _listed(before: object) -> list[object]:
    assert isinstance(before, list)
    return before


def _lora(path: str, scale: float) -> object:
    import xllamacpp

    return xllamacpp.CommonAdapterLoraInfo(path, scale)


def _template_kwargs(_before: object, value: Value) -> dict[str, str]:
    # The wheel keeps each value as JSON text, as llama.cpp does.
    parsed = json.loads(str(value))
    if not isinstance(parsed, dict):
        raise ValueError("expected a JSON object")
    return {key: json.dumps(each) for key, each in parsed.items()}


def _grammar(_before: object, value: Value) -> object:
    import xllamacpp

    return xllamacpp.CommonGrammar(xllamacpp.common_grammar_type.COMMON_GRAMMAR_TYPE_USER, str(value))


def _speculative_types(_before: object, value: Value) -> list[object]:
    names = (part.strip().upper().replace("-", "_") for part in str(value).split(","))
    try:
        return [_member("common_speculative_type", f"COMMON_SPECULATIVE_TYPE_{name}") for name in names]
    except AttributeError:
        raise ValueError("no such type of speculation") from None


CONVERSIONS: dict[str, Convert] = {
    "plain": lambda _before, value: value,
    "timeout": lambda _before, value: value,
    "reranking": lambda _before, value: value,
    "inverted": lambda _before, value: not value,
    "on_off": lambda _before, value: value == "on",
    "on_off_auto": lambda _before, value: {"on": 1, "off": 0, "auto": -1}[str(value)],
    "zero_one": lambda _before, value: value == "1",
    "reciprocal": lambda _before, value: 1 / float(value),
    "seed": lambda _before, value: int(value) % 2**32,
    "listed": lambda _before, value: [str(value)],
    "names": lambda _before, value: set(str(value).split(",")),
    "folder": lambda _before, value: str(value).rstrip(os.sep) + os.sep,
    "layers": _layers,
    "shares": _shares,
    "mebibytes": _mebibytes,
    "overrides": lambda before, value: _add_overrides(before, str(value)),
    "cpu_moe": lambda before, _value: _add_overrides(before, f"{_EXPERTS}=CPU"),
    "n_cpu_moe": _n_cpu_moe,
    "loras": _loras,
    "loras_scaled": _loras_scaled,
    "template_kwargs": _template_kwargs,
    "grammar": _grammar,
    "speculative_types": _speculative_types,
    "cache_type": _enum("ggml_type", "GGML_TYPE_"),
    "flash_attn": _enum("llama_flash_attn_type", "LLAMA_FLASH_ATTN_TYPE_", {"on": "ENABLED", "off": "DISABLED"}),
    "load_mode": _enum("llama_load_mode", "LLAMA_LOAD_MODE_", {"mmap+mlock": "MMAP_MLOCK", "dio": "DIRECT_IO"}),
    "mmap": _when("llama_load_mode", "LLAMA_LOAD_MODE_MMAP", "LLAMA_LOAD_MODE_NONE"),
    "mlock": _when("llama_load_mode", "LLAMA_LOAD_MODE_MMAP_MLOCK", "LLAMA_LOAD_MODE_MMAP"),
    "direct_io": _when("llama_load_mode", "LLAMA_LOAD_MODE_DIRECT_IO", "LLAMA_LOAD_MODE_MMAP"),
    "pooling": _enum("llama_pooling_type", "LLAMA_POOLING_TYPE_"),
    "attention": _enum("llama_attention_type", "LLAMA_ATTENTION_TYPE_"),
    "split_mode": _enum("llama_split_mode", "LLAMA_SPLIT_MODE_"),
    "numa": _enum("ggml_numa_strategy", "GGML_NUMA_STRATEGY_"),
    "rope": _enum("llama_rope_scaling_type", "LLAMA_ROPE_SCALING_TYPE_"),
    "reasoning_format": _enum("common_reasoning_format", "COMMON_REASONING_FORMAT_"),
    "priority": _enum(
        "ggml_sched_priority",
        "GGML_SCHED_PRIO_",
        {"-1": "LOW", "0": "NORMAL", "1": "MEDIUM", "2": "HIGH", "3": "REALTIME"},
    ),
}
