"""JSON bodies in the real server's shape and order of keys."""

from __future__ import annotations

import itertools
import json
import random
import string
import time
from collections.abc import Sequence

from hostler.testing.fake_engine.flags import Options
from hostler.testing.fake_engine.slots import Slot, Slots

Json = dict[str, object]
FINGERPRINT = "b0-unknown"
TEMPLATE = "{% for message in messages %}{{ message['role'] + ': ' + message['content'] }}{% endfor %}"
_SETTINGS: Json = {
    "seed": 4294967295,
    "temperature": 0.800000011920929,
    "dynatemp_range": 0.0,
    "dynatemp_exponent": 1.0,
    "top_k": 40,
    "top_p": 0.949999988079071,
    "min_p": 0.05000000074505806,
    "top_n_sigma": -1.0,
    "xtc_probability": 0.0,
    "xtc_threshold": 0.10000000149011612,
    "typical_p": 1.0,
    "repeat_last_n": 64,
    "repeat_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "dry_multiplier": 0.0,
    "dry_base": 1.75,
    "dry_allowed_length": 2,
    "dry_penalty_last_n": 64,
    "mirostat": 0,
    "mirostat_tau": 5.0,
    "mirostat_eta": 0.10000000149011612,
    "adaptive_target": -1.0,
    "adaptive_decay": 0.8999999761581421,
    "max_tokens": -1,
    "n_predict": -1,
    "n_keep": 0,
    "n_discard": 0,
    "ignore_eos": False,
    "stream": False,
    "n_probs": 0,
    "min_keep": 0,
    "chat_format": "Content-only",
    "reasoning_format": "none",
    "reasoning_in_content": False,
    "generation_prompt": "",
    "samplers": ["penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"],
    "speculative.types": "none",
    "timings_per_token": False,
    "post_sampling_probs": False,
    "backend_sampling": False,
    "lora": [],
}
_run = "".join(random.choices(string.ascii_letters + string.digits, k=20))
_numbers = itertools.count()
# Made once: json.dumps makes a new encoder at each call with these arguments.
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def dump(value: object) -> bytes:
    """Compact JSON, as the real one writes it."""
    return _encode(value).encode()


def new_id(prefix: str) -> str:
    """An id of the real length."""
    return f"{prefix}{_run}{next(_numbers):012d}"


def now() -> int:
    """Seconds since the epoch."""
    return int(time.time())


def error(code: int, message: str, kind: str, **more: object) -> bytes:
    """The error envelope of handlers."""
    return dump({"error": {"code": code, "message": message, "type": kind, **more}})


def invalid(message: str) -> bytes:
    """A client's mistake; its status is 400."""
    return error(400, message, "invalid_request_error")


def unsupported(what: str, flag: str) -> bytes:
    """Something that a flag would switch on; its status is 501."""
    return error(501, f"This server does not support {what}. Start it with `{flag}`", "not_supported_error")


# The middleware's envelopes have another order of keys.
NOT_FOUND = b'{"error":{"message":"File Not Found","type":"not_found_error","code":404}}'
UNAUTHORIZED = b'{"error":{"message":"Invalid API Key","type":"authentication_error","code":401}}'
LOADING = b'{"error":{"message":"Loading model","type":"unavailable_error","code":503}}'
HEALTHY = b'{"status":"ok"}'


def timings(slot: Slot, prompt_ms: float, predicted_ms: float) -> Json:
    """What the last chunk carries. The rates of prediction count from the first token, so one less."""
    prompt, predicted = slot.processed_n, slot.decoded_n
    steps = max(predicted - 1, 0)
    return {
        "cache_n": slot.cache_n,
        "prompt_n": prompt,
        "prompt_ms": round(prompt_ms, 3),
        "prompt_per_token_ms": prompt_ms / prompt if prompt else 0.0,
        "prompt_per_second": prompt / prompt_ms * 1e3 if prompt_ms else 0.0,
        "predicted_n": predicted,
        "predicted_ms": round(predicted_ms, 3),
        "predicted_per_token_ms": predicted_ms / steps if steps else 0.0,
        "predicted_per_second": steps / predicted_ms * 1e3 if predicted_ms else 0.0,
    }


def usage(slot: Slot) -> Json:
    """OpenAI's count of tokens."""
    return {
        "completion_tokens": slot.decoded_n,
        "prompt_tokens": slot.prompt_n,
        "total_tokens": slot.prompt_n + slot.decoded_n,
        "prompt_tokens_details": {"cached_tokens": slot.cache_n},
    }


def models(options: Options, size: int) -> Json:
    """``/v1/models``."""
    ollama: Json = {
        "name": options.alias,
        "model": options.alias,
        "modified_at": "",
        "size": "",
        "digest": "",
        "type": "model",
        "description": "",
        "tags": [""],
        "capabilities": ["completion"],
        "parameters": "",
        "details": {
            "parent_model": "",
            "format": "gguf",
            "family": "",
            "families": [""],
            "parameter_size": "",
            "quantization_level": "",
        },
    }
    meta: Json = {
        "vocab_type": 2,
        "n_vocab": 49152,
        "n_ctx": options.slot_context,
        "n_ctx_train": 8192,
        "n_embd": 576,
        "n_params": 134515008,
        "size": size,
        "ftype": "Q4_1",
    }
    openai: Json = {
        "id": options.alias,
        "aliases": [options.alias],
        "tags": [],
        "object": "model",
        "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
        "created": now(),
        "owned_by": "llamacpp",
        "meta": meta,
    }
    return {"models": [ollama], "object": "list", "data": [openai]}


def settings(slot: Slot | None = None) -> Json:
    """Sampling settings, as ``/props`` and ``/slots`` tell them."""
    if slot is None:
        return dict(_SETTINGS)
    return _SETTINGS | {"max_tokens": slot.limit_n, "n_predict": slot.limit_n, "stream": slot.stream}


def props(options: Options) -> Json:
    """``GET /props``."""
    caps = ("object_arguments", "parallel_tool_calls", "preserve_reasoning", "reasoning_effort", "typed_content")
    good = ("string_content", "system_role", "tool_calls", "tools")
    return {
        "default_generation_settings": {"params": settings(), "n_ctx": options.slot_context},
        "total_slots": options.slots,
        "model_alias": options.alias,
        "model_ftype": "Q4_1",
        "model_path": options.model,
        "modalities": {"vision": False, "video": False, "audio": False},
        "media_marker": "<__media__>",
        "endpoint_slots": options.show_slots,
        "endpoint_props": options.props,
        "endpoint_metrics": options.metrics,
        "ui": False,
        "ui_settings": {},
        "chat_template": TEMPLATE,
        "chat_template_caps": {f"supports_{cap}": False for cap in caps} | {f"supports_{cap}": True for cap in good},
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "build_info": FINGERPRINT,
        "is_sleeping": False,
        "cors_proxy_enabled": False,
    }


def slot_state(slot: Slot, context: int) -> Json:
    """One entry of ``/slots``; a slot that was never used tells less."""
    state: Json = {"id": slot.id, "n_ctx": context, "speculative": False, "is_processing": slot.busy}
    if slot.task < 0:
        return state
    left = slot.limit_n - slot.decoded_n if slot.busy else -1
    return state | {
        "id_task": slot.task,
        "n_prompt_tokens": len(slot.cached),
        "n_prompt_tokens_processed": slot.processed_n if slot.busy else 0,
        "n_prompt_tokens_cache": slot.cache_n if slot.busy else 0,
        "params": settings(slot),
        "next_token": [
            {
                "has_next_token": slot.busy,
                "has_new_line": False,
                "n_remain": left,
                "n_decoded": slot.decoded_n if slot.busy else 0,
            }
        ],
    }


class Totals:
    """What ``/metrics`` counts."""

    def __init__(self) -> None:
        self.prompt = self.cached = self.predicted = self.decodes = self.longest = 0
        self.prompt_ms = self.predicted_ms = 0.0

    def add(self, slot: Slot, prompt_ms: float, predicted_ms: float) -> None:
        """Count one finished answer."""
        self.prompt += slot.processed_n
        self.cached += slot.cache_n
        self.predicted += slot.decoded_n
        self.decodes += slot.decoded_n
        self.longest = max(self.longest, slot.prompt_n + slot.decoded_n)
        self.prompt_ms += prompt_ms
        self.predicted_ms += predicted_ms

    def text(self, slots: Slots) -> bytes:
        """The Prometheus page."""
        rows: Sequence[tuple[str, str, str, float]] = (
            ("prompt_tokens_total", "counter", "Number of prompt tokens processed", self.prompt),
            ("prompt_tokens_cached_total", "counter", "Number of prompt tokens reused from the cache", self.cached),
            ("prompt_seconds_total", "counter", "Total time spent processing prompts", self.prompt_ms / 1e3),
            ("tokens_predicted_total", "counter", "Number of generation tokens processed", self.predicted),
            ("tokens_predicted_seconds_total", "counter", "Total time spent generating", self.predicted_ms / 1e3),
            ("n_decode_total", "counter", "Total number of llama_decode() calls", self.decodes),
            ("n_tokens_max", "counter", "Largest observed sequence length", self.longest),
            ("spec_decode_num_draft_tokens_total", "counter", "Speculative: draft tokens generated", 0),
            ("spec_decode_num_accepted_tokens_total", "counter", "Speculative: draft tokens accepted", 0),
            ("spec_decode_num_drafts_total", "counter", "Speculative: verification steps", 0),
            ("prompt_tokens_seconds", "gauge", "Average prompt throughput", _rate(self.prompt, self.prompt_ms)),
            (
                "predicted_tokens_seconds",
                "gauge",
                "Average generation throughput",
                _rate(self.predicted, self.predicted_ms),
            ),
            ("requests_processing", "gauge", "Number of requests processing", slots.busy),
            ("requests_deferred", "gauge", "Number of requests deferred", len(slots.waiting)),
            ("n_busy_slots_per_decode", "gauge", "Average number of busy slots per llama_decode() call", slots.busy),
        )
        page = "".join(
            f"# HELP llamacpp:{name} {text}\n# TYPE llamacpp:{name} {kind}\nllamacpp:{name} {value:g}\n"
            for name, kind, text, value in rows
        )
        return page.encode()


def _rate(count: int, ms: float) -> float:
    return count / ms * 1e3 if ms else 0.0


def load_object(text: str) -> Json:
    """A JSON object from text that we wrote ourselves."""
    value: Json = json.loads(text)
    return value
