"""The part of llama-server's command line that the fake understands, and refusing the rest as it does."""

from __future__ import annotations

import os
from dataclasses import dataclass

# name(s), does it take a value, help. As in llama.cpp; a flag that is not here is an error there as well.
_TABLE: tuple[tuple[str, bool, str], ...] = (
    ("-m,--model", True, "model path to load"),
    ("-a,--alias", True, "set model name aliases, comma-separated"),
    ("--host", True, "ip address to listen (default: 127.0.0.1)"),
    ("--port", True, "port to listen (default: 8080; 0: any)"),
    ("--api-key", True, "API key to use for authentication"),
    ("--api-key-file", True, "path to file containing API keys"),
    ("-c,--ctx-size", True, "size of the prompt context"),
    ("-np,--parallel", True, "number of server slots (default: -1, -1 = auto)"),
    ("-kvu,--kv-unified", False, "use single unified KV buffer shared across all sequences"),
    ("-no-kvu,--no-kv-unified", False, "one KV buffer per sequence"),
    ("-b,--batch-size", True, "logical maximum batch size"),
    ("-ub,--ubatch-size", True, "physical maximum batch size"),
    ("-t,--threads", True, "number of CPU threads to use during generation"),
    ("-tb,--threads-batch", True, "number of threads to use during prompt processing"),
    ("--threads-http", True, "number of threads used to process HTTP requests"),
    ("-ctk,--cache-type-k", True, "KV cache data type for K"),
    ("-ctv,--cache-type-v", True, "KV cache data type for V"),
    ("-kvo,--kv-offload", False, "keep the KV cache on the device"),
    ("-nkvo,--no-kv-offload", False, "keep the KV cache in host memory"),
    ("-fa,--flash-attn", True, "set Flash Attention use (on|off|auto)"),
    ("-fit,--fit", True, "whether to adjust unset arguments to fit in device memory (on|off)"),
    ("-fitt,--fit-target", True, "target margin per device in MiB"),
    ("-fitc,--fit-ctx", True, "minimum context that fit may set"),
    ("-cram,--cache-ram", True, "set the maximum cache size in MiB"),
    ("--cache-reuse", True, "min chunk size to attempt reusing from the cache"),
    ("--cache-prompt", False, "enable prompt caching"),
    ("--no-cache-prompt", False, "disable prompt caching"),
    ("--cache-idle-slots", False, "save idle slots to the prompt cache"),
    ("--no-cache-idle-slots", False, "do not save idle slots"),
    ("-ctxcp,--ctx-checkpoints,--swa-checkpoints", True, "max number of context checkpoints per slot"),
    ("-cpent,--checkpoint-every-n-tokens", True, "distance of context checkpoints"),
    ("--swa-full", False, "use full-size SWA cache"),
    ("--context-shift", False, "use context shift on infinite text generation"),
    ("--no-context-shift", False, "do not shift the context"),
    ("-lm,--load-mode", True, "how to load the model (mmap|mlock|direct|none)"),
    ("--mlock", False, "force system to keep model in RAM"),
    ("--mmap", False, "memory-map model"),
    ("--no-mmap", False, "do not memory-map model"),
    ("--warmup", False, "warm up the model with an empty run"),
    ("--no-warmup", False, "skip warming up the model"),
    ("--slots", False, "expose slots monitoring endpoint"),
    ("--no-slots", False, "do not expose slots"),
    ("--metrics", False, "enable prometheus compatible metrics endpoint"),
    ("--props", False, "enable changing global properties via POST /props"),
    ("--ui,--webui", False, "serve the web UI"),
    ("--no-ui,--no-webui", False, "do not serve the web UI"),
    ("--slot-save-path", True, "path to save slot kv cache"),
    ("--embedding,--embeddings", False, "restrict to only support embedding use case"),
    ("--reranking,--rerank", False, "enable reranking endpoint on server"),
    ("--pooling", True, "pooling type for embeddings"),
    ("--embd-normalize", True, "normalisation for embeddings"),
    ("-ngl,--gpu-layers,--n-gpu-layers", True, "max. number of layers to store in VRAM"),
    ("-dev,--device", True, "devices to use for offloading"),
    ("--list-devices", False, "print list of available devices and exit"),
    ("-sm,--split-mode", True, "how to split the model across GPUs"),
    ("-ts,--tensor-split", True, "fraction of the model to offload to each GPU"),
    ("-mg,--main-gpu", True, "the GPU to use"),
    ("-ot,--override-tensor", True, "override tensor buffer type"),
    ("-cmoe,--cpu-moe", False, "keep all MoE weights in the CPU"),
    ("-ncmoe,--n-cpu-moe", True, "keep the MoE weights of the first N layers in the CPU"),
    ("-mm,--mmproj", True, "path to a multimodal projector file"),
    ("--no-mmproj", False, "disable multimodal projector"),
    ("--lora", True, "path to LoRA adapter"),
    ("--lora-scaled", True, "LoRA adapters with scales"),
    ("--lora-init-without-apply", False, "load LoRA adapters without applying them"),
    ("--jinja", False, "use jinja template engine for chat"),
    ("--no-jinja", False, "do not use jinja"),
    ("--chat-template", True, "set custom jinja chat template"),
    ("--chat-template-file", True, "set custom jinja chat template file"),
    ("--chat-template-kwargs", True, "additional params for the template parser"),
    ("--reasoning-format", True, "controls whether thought tags are extracted"),
    ("--reasoning-budget", True, "amount of thinking allowed"),
    ("-rea,--reasoning", True, "use reasoning in the chat (on|off|auto)"),
    ("-n,--predict,--n-predict", True, "number of tokens to predict"),
    ("-s,--seed", True, "RNG seed"),
    ("--temp,--temperature", True, "temperature"),
    ("--top-k", True, "top-k sampling"),
    ("--top-p", True, "top-p sampling"),
    ("--min-p", True, "min-p sampling"),
    ("--repeat-penalty", True, "penalize repeat sequence of tokens"),
    ("--presence-penalty", True, "repeat alpha presence penalty"),
    ("--frequency-penalty", True, "repeat alpha frequency penalty"),
    ("--rope-scaling", True, "RoPE frequency scaling method"),
    ("--rope-scale", True, "RoPE context scaling factor"),
    ("--rope-freq-base", True, "RoPE base frequency"),
    ("--rope-freq-scale", True, "RoPE frequency scaling factor"),
    ("--override-kv", True, "override model metadata by key"),
    ("-cb,--cont-batching", False, "enable continuous batching"),
    ("-nocb,--no-cont-batching", False, "disable continuous batching"),
    ("--prio", True, "set process priority"),
    ("--numa", True, "attempt NUMA optimisations"),
    ("-to,--timeout", True, "server read/write timeout in seconds"),
    ("--sleep-idle-seconds", True, "seconds of idleness after which the server sleeps"),
    ("-sps,--slot-prompt-similarity", True, "how much a prompt must match a slot's"),
    ("-md,--model-draft", True, "draft model for speculative decoding"),
    ("-ngld,--gpu-layers-draft", True, "layers of the draft model in VRAM"),
    ("--draft-max,--draft", True, "number of tokens to draft"),
    ("--draft-min", True, "minimum number of draft tokens"),
    ("-lv,--verbosity,--log-verbosity", True, "set the verbosity threshold"),
    ("-v,--verbose", False, "log everything"),
    ("--log-file", True, "log to file"),
    ("--log-disable", False, "disable logging"),
    ("--log-colors", True, "colored logging"),
    ("--log-prefix", False, "prefix in log messages"),
    ("--log-timestamps", False, "timestamps in log messages"),
    ("--offline", False, "use the cache only"),
    ("--rpc", True, "comma-separated list of RPC servers"),
)
_KNOWN = {alias: (names.rpartition(",")[2], value) for names, value, _ in _TABLE for alias in names.split(",")}


class BadFlag(ValueError):
    """As llama-server says it."""


@dataclass(frozen=True)
class Options:
    """What the fake does with the command line; every other known flag is accepted and ignored."""

    model: str
    alias: str
    host: str
    port: int
    keys: frozenset[bytes]
    context: int
    slots: int
    unified: bool
    embeddings: bool
    reranking: bool
    metrics: bool
    props: bool
    show_slots: bool
    slot_save_path: str
    ubatch: int

    @property
    def slot_context(self) -> int:
        """Tokens that one slot can hold."""
        return self.context if self.unified else self.context // self.slots


def _read(argv: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    words = iter(argv)
    for word in words:
        if word not in _KNOWN:
            raise BadFlag(f"error: invalid argument: {word}")
        name, takes_value = _KNOWN[word]
        value = next(words, None) if takes_value else ""
        if value is None:
            raise BadFlag(f'error while handling argument "{word}": expected value for argument')
        found[name] = value
    return found


def _keys(found: dict[str, str]) -> frozenset[bytes]:
    text = found.get("--api-key") or os.environ.get("LLAMA_API_KEY", "")
    keys = text.split(",")
    if "--api-key-file" in found:
        with open(found["--api-key-file"], encoding="utf-8") as file:
            keys += file.read().splitlines()
    return frozenset(key.encode() for key in keys if key)


def parse(argv: list[str]) -> Options:
    """Options of a command line; raises BadFlag in llama-server's words."""
    found = _read(argv)
    model = found.get("--model", "")
    slots = int(found.get("--parallel", "-1"))
    save_path = found.get("--slot-save-path", "")
    if save_path and not os.path.isdir(save_path):
        raise BadFlag(f'error while handling argument "--slot-save-path": not a directory: {save_path}')
    return Options(
        model=model,
        alias=found.get("--alias", "").partition(",")[0] or os.path.basename(model) or "fake",
        host=found.get("--host", "127.0.0.1"),
        port=int(found.get("--port", "8080")),
        keys=_keys(found),
        context=int(found.get("--ctx-size", "0")) or 8192,
        slots=4 if slots < 1 else slots,
        unified=slots < 1 or "--kv-unified" in found,
        embeddings="--embeddings" in found or "--embedding" in found or "--rerank" in found,
        reranking="--rerank" in found or found.get("--pooling") == "rank",
        metrics="--metrics" in found,
        props="--props" in found,
        show_slots="--no-slots" not in found,
        slot_save_path=save_path,
        ubatch=int(found.get("--ubatch-size", "512")),
    )


def describe() -> str:
    """The flags as ``llama-server --help`` prints them."""
    lines = ["----- common params -----", ""]
    for names, takes_value, text in _TABLE:
        flags = ",".join(f"{name:<7}" if len(name) < 6 else f" {name}" for name in names.split(","))
        lines.append(f"{flags.replace(',  ', ', ') + (' N' if takes_value else ''):<40} {text}")
    return "\n".join(lines)
