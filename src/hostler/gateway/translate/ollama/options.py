"""Ollama's `options`, `format` and `keep_alive`, in the words of the engine's API and of ours."""

from __future__ import annotations

import math
import re
from typing import Final

import msgspec
from msgspec import Raw

from hostler.errors import InvalidRequest
from hostler.gateway.translate.ollama import shapes as o

#: How a model is loaded: what a request says of it changes nothing, and the client is told so.
LOADING: Final = (
    "num_batch", "num_gpu", "main_gpu", "num_thread", "use_mmap", "use_mlock", "low_vram", "numa", "num_gqa", "f16_kv",
    "logits_all", "vocab_only", "embedding_only", "rope_frequency_base", "rope_frequency_scale",
)  # fmt: skip
#: Nobody means more: counts of tokens, seconds and the like.
LARGEST: Final = 2**31

_AS_THEY_ARE: Final = (
    "temperature", "top_p", "min_p", "typical_p", "repeat_penalty", "presence_penalty", "frequency_penalty",
    "mirostat_tau", "mirostat_eta",
)  # fmt: skip
_COUNTS: Final = {"top_k": "top_k", "repeat_last_n": "repeat_last_n", "mirostat": "mirostat", "num_keep": "n_keep"}
_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"[+-]?(?:\d{1,12}(?:\.\d{1,9})?(?:ns|us|µs|μs|ms|s|m|h))+")
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|μs|ms|s|m|h)")
_duration = msgspec.json.Decoder(float | str)
_ANY_OBJECT: Final = Raw(b'{"type":"object"}')

Fields = dict[str, object]


def sampling(options: o.Options | None, longest: str) -> Fields:
    """The fields of the engine's request; ``longest`` is what it calls `num_predict`. Raises InvalidRequest."""
    if options is None:
        return {}
    fields: Fields = {name: value for name in _AS_THEY_ARE if (value := getattr(options, name)) is not None}
    for name, theirs in _COUNTS.items():
        if (count := _whole(options, name)) is not None:
            fields[theirs] = count
    if (longest_answer := _whole(options, "num_predict")) is not None and longest_answer > 0:
        fields[longest] = longest_answer  # anything else is as long as it gets
    if options.seed is not None and options.seed >= 0:
        fields["seed"] = int(options.seed) % 2**32
    if options.stop:
        fields["stop"] = [options.stop] if isinstance(options.stop, str) else options.stop
    return fields


def context_wanted(options: o.Options | None) -> int:
    """Tokens of `num_ctx`; 0 where it is not said. Raises InvalidRequest."""
    return 0 if options is None else _whole(options, "num_ctx") or 0


def left_out(options: o.Options | None) -> tuple[str, ...]:
    """The options that say how to load the model."""
    return () if options is None else tuple(name for name in LOADING if _is_said(getattr(options, name)))


def _is_said(value: o.Absent) -> bool:
    return isinstance(value, Raw) and bytes(value) != b"null"


def _whole(options: o.Options, name: str) -> int | None:
    value: o.Number = getattr(options, name)
    if value is None:
        return None
    if abs(value) >= LARGEST:
        raise InvalidRequest(f'The option "{name}" is out of range.')
    return int(value)


# --- format -------------------------------------------------------------------------------------------


def schema_of(form: o.Absent) -> Raw | None:
    """The JSON Schema that `format` asks for, of any object for `json`; None for no format. Raises InvalidRequest."""
    text = bytes(form).strip() if isinstance(form, Raw) else b""
    if text in (b"", b"null", b'""'):
        return None
    if text == b'"json"':
        return _ANY_OBJECT
    if not text.startswith(b"{"):
        shown = text[:40].decode("utf-8", "replace")
        raise InvalidRequest(f'The format is {shown}; it has to be "json" or a JSON Schema.')
    return Raw(text)


def response_format(schema: Raw | None) -> Fields:
    """The same for chats."""
    if schema is None:
        return {}
    if schema is _ANY_OBJECT:
        return {"response_format": {"type": "json_object"}}
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}}


# --- keep_alive ---------------------------------------------------------------------------------------


def stay_of(keep_alive: o.Absent) -> float | None:
    """How many seconds an idle model shall stay, infinity for ever; None where that is not said.

    A number is seconds, text a duration as Go writes it (`5m`, `1h30m`); less than nothing is for ever, and so is more
    than a lifetime. Raises InvalidRequest.
    """
    text = bytes(keep_alive) if isinstance(keep_alive, Raw) else b""
    if text in (b"", b"null", b'""'):
        return None
    try:
        said = _duration.decode(text)
    except msgspec.MsgspecError:
        raise _no_duration(keep_alive) from None
    seconds = _seconds(said) if isinstance(said, str) else said
    if seconds is None:
        raise _no_duration(keep_alive)
    return seconds if 0 <= seconds < LARGEST else math.inf


def _seconds(text: str) -> float | None:
    if re.fullmatch(r"[+-]?\d{1,12}", text):
        return float(text)
    if _DURATION.fullmatch(text) is None:
        return None
    total = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    return -total if text.startswith("-") else total


def _no_duration(said: o.Absent) -> InvalidRequest:
    shown = bytes(said)[:40].decode("utf-8", "replace") if isinstance(said, Raw) else ""
    return InvalidRequest(f"keep_alive is {shown}.", hint='Send seconds, or a duration such as "5m".')
