"""The one table of `llama-server` flags.

Each row says how a flag is written, what value it takes, which attribute of the embedded wheel it sets (with
the conversion by name, see :mod:`hostler.engines.processes.wheel`), and which setting of ours it comes from. The
launcher's argument parsing, the command building and the conflict checks are all driven by it. It imports
nothing but the standard library, because the launcher's start-up pays for it.

``owner`` decides about ``extra_args``:

1. ``ours``: Hostler sets it from ``setting``; naming it in ``extra_args`` is a conflict.
2. ``default``: Hostler passes a value, and ``extra_args`` may pass another instead.
3. ``free``: only passed when ``extra_args`` says so.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["int", "float", "text", "choice", "switch"]
Owner = Literal["ours", "default", "free"]


class Flag(NamedTuple):
    """One row. ``wheel`` is a dotted attribute of CommonParams, None when the wheel cannot take the flag.

    A ``switch`` takes no value: ``name`` and ``aliases`` turn it on, ``off`` names turn it off.
    """

    name: str
    aliases: tuple[str, ...]
    kind: Kind
    wheel: str | None
    convert: str = "plain"
    owner: Owner = "free"
    setting: str = ""
    off: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    def spellings(self) -> tuple[str, ...]:
        """Every way to write it."""
        return (self.name, *self.aliases, *self.off)


_CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
_PRIORITIES = ("-1", "0", "1", "2", "3")


def _ours(name: str, aliases: tuple[str, ...], kind: Kind, wheel: str | None, setting: str, **more: object) -> Flag:
    return Flag(name, aliases, kind, wheel, owner="ours", setting=setting, **more)  # type: ignore[arg-type]


def _switch(name: str, wheel: str | None, *aliases: str, off: tuple[str, ...] = (), convert: str = "plain") -> Flag:
    return Flag(name, aliases, "switch", wheel, convert, off=off)


_OURS = (
    _ours("--model", ("-m",), "text", "model.path", "profiles.NAME.model"),
    _ours("--alias", ("-a",), "text", "model_alias", "the profile's name", convert="names"),
    _ours("--mmproj", ("-mm",), "text", "mmproj.path", "profiles.NAME.model (its projector)"),
    _ours("--host", (), "text", "hostnames", "the address between gateway and engine", convert="listed"),
    _ours("--port", (), "int", "port", "the port between gateway and engine"),
    _ours("--api-key", (), "text", "api_keys", "the key between gateway and engine", convert="listed"),
    _ours("--api-key-file", (), "text", None, "the key between gateway and engine"),
    _ours("--ctx-size", ("-c",), "int", "n_ctx", "profiles.NAME.context"),
    _ours("--parallel", ("-np",), "int", "n_parallel", "profiles.NAME.slots"),
    _ours(
        "--kv-unified", ("-kvu",), "switch", "kv_unified", "profiles.NAME.context", off=("--no-kv-unified", "-no-kvu")
    ),
    _ours("--batch-size", ("-b",), "int", "n_batch", "profiles.NAME.engine.batch"),
    _ours("--ubatch-size", ("-ub",), "int", "n_ubatch", "profiles.NAME.engine.ubatch"),
    _ours("--threads", ("-t",), "int", "cpuparams.n_threads", "profiles.NAME.engine.threads"),
    _ours(
        "--cache-type-k",
        ("-ctk",),
        "choice",
        "cache_type_k",
        "profiles.NAME.engine.cache_type_k",
        convert="cache_type",
        choices=_CACHE_TYPES,
    ),
    _ours(
        "--cache-type-v",
        ("-ctv",),
        "choice",
        "cache_type_v",
        "profiles.NAME.engine.cache_type_v",
        convert="cache_type",
        choices=_CACHE_TYPES,
    ),
    _ours("--cache-ram", ("-cram",), "int", "cache_ram_mib", "profiles.NAME.engine.cache_ram"),
    _ours(
        "--fit", ("-fit",), "choice", "fit_params", "profiles.NAME.placement", convert="on_off", choices=("on", "off")
    ),
    _ours("--embeddings", ("--embedding",), "switch", "embedding", "profiles.NAME.task (or profiles.NAME.embeddings)"),
    _ours("--reranking", ("--rerank",), "switch", "embedding", "profiles.NAME.task", convert="reranking"),
    _ours("--slots", (), "switch", "endpoint_slots", "what the gateway watches", off=("--no-slots",)),
    _ours("--metrics", (), "switch", "endpoint_metrics", "what the gateway watches"),
    _ours("--props", (), "switch", "endpoint_props", "what the gateway watches"),
    _ours("--ui", ("--webui",), "switch", "ui", "the gateway's own page", off=("--no-ui", "--no-webui")),
    _ours("--slot-save-path", (), "text", "slot_save_path", "the state folder", convert="folder"),
    _ours(
        "--log-verbosity",
        ("-lv", "--verbosity"),
        "int",
        "verbosity",
        "the engine's log, which Hostler reads",
    ),
)

_DEFAULTS = (
    Flag("--threads-batch", ("-tb",), "int", "cpuparams_batch.n_threads", owner="default"),
    Flag(
        "--flash-attn",
        ("-fa",),
        "choice",
        "flash_attn_type",
        "flash_attn",
        owner="default",
        choices=("on", "off", "auto"),
    ),
    Flag("--ctx-checkpoints", ("-ctxcp", "--swa-checkpoints"), "int", "n_ctx_checkpoints", owner="default"),
    Flag(
        "--load-mode",
        ("-lm",),
        "choice",
        "load_mode",
        "load_mode",
        owner="default",
        choices=("auto", "none", "mmap", "mlock", "mmap+mlock", "dio"),
    ),
    Flag(
        "--pooling",
        (),
        "choice",
        "pooling_type",
        "pooling",
        owner="default",
        choices=("none", "mean", "cls", "last", "rank"),
    ),
    Flag("--jinja", (), "switch", "use_jinja", owner="default", off=("--no-jinja",)),
    Flag("--warmup", (), "switch", "warmup", owner="default", off=("--no-warmup",)),
)

_MEMORY = (
    Flag("--fit-target", ("-fitt",), "text", "fit_params_target", "mebibytes"),
    Flag("--fit-ctx", ("-fitc",), "int", "fit_params_min_ctx"),
    Flag("--n-gpu-layers", ("-ngl", "--gpu-layers"), "text", "n_gpu_layers", "layers"),
    Flag(
        "--split-mode",
        ("-sm",),
        "choice",
        "split_mode",
        "split_mode",
        choices=("none", "layer", "row", "tensor"),
    ),
    Flag("--tensor-split", ("-ts",), "text", "tensor_split", "shares"),
    Flag("--main-gpu", ("-mg",), "int", "main_gpu"),
    Flag("--device", ("-dev",), "text", None),
    Flag("--rpc", (), "text", None),
    Flag("--override-kv", (), "text", None),
    Flag("--override-tensor", ("-ot",), "text", "tensor_buft_overrides", "overrides"),
    Flag("--cpu-moe", ("-cmoe",), "switch", "tensor_buft_overrides", "cpu_moe"),
    Flag("--n-cpu-moe", ("-ncmoe",), "int", "tensor_buft_overrides", "n_cpu_moe"),
    Flag("--moe-cache-mib", (), "int", "moe_cache_size"),
    _switch("--kv-offload", "no_kv_offload", "-kvo", off=("--no-kv-offload", "-nkvo"), convert="inverted"),
    _switch("--op-offload", "no_op_offload", off=("--no-op-offload",), convert="inverted"),
    _switch("--repack", "no_extra_bufts", off=("--no-repack", "-nr"), convert="inverted"),
    _switch("--no-host", "no_host"),
    Flag("--mmap", (), "switch", "load_mode", "mmap", off=("--no-mmap",)),
    Flag("--mlock", (), "switch", "load_mode", "mlock"),
    Flag("--direct-io", ("-dio",), "switch", "load_mode", "direct_io", off=("--no-direct-io", "-ndio")),
    _switch("--swa-full", "swa_full"),
    _switch("--context-shift", "ctx_shift", off=("--no-context-shift",)),
    Flag("--keep", (), "int", "n_keep"),
    Flag("--checkpoint-min-step", ("-cms",), "int", "checkpoint_min_step"),
    Flag("--cache-reuse", (), "int", "n_cache_reuse"),
    _switch("--cache-prompt", "cache_prompt", off=("--no-cache-prompt",)),
    _switch("--cache-idle-slots", "cache_idle_slots", off=("--no-cache-idle-slots",)),
    Flag("--slot-prompt-similarity", ("-sps",), "float", "slot_prompt_similarity"),
    _switch("--cont-batching", "cont_batching", "-cb", off=("--no-cont-batching", "-nocb")),
    _switch("--check-tensors", "check_tensors"),
    Flag("--numa", (), "choice", "numa", "numa", choices=("distribute", "isolate", "numactl")),
    Flag("--prio", (), "choice", "cpuparams.priority", "priority", choices=_PRIORITIES),
    Flag("--prio-batch", (), "choice", "cpuparams_batch.priority", "priority", choices=_PRIORITIES),
    Flag("--poll", (), "int", "cpuparams.poll"),
    Flag("--poll-batch", (), "int", "cpuparams_batch.poll"),
    Flag("--cpu-mask", ("-C",), "text", None),
    Flag("--cpu-range", ("-Cr",), "text", None),
    Flag("--cpu-strict", (), "choice", "cpuparams.strict_cpu", "zero_one", choices=("0", "1")),
    Flag("--cpu-strict-batch", (), "choice", "cpuparams_batch.strict_cpu", "zero_one", choices=("0", "1")),
)

_ROPE = (
    Flag("--rope-scaling", (), "choice", "rope_scaling_type", "rope", choices=("none", "linear", "yarn")),
    Flag("--rope-scale", (), "float", "rope_freq_scale", "reciprocal"),
    Flag("--rope-freq-base", (), "float", "rope_freq_base"),
    Flag("--rope-freq-scale", (), "float", "rope_freq_scale"),
    Flag("--yarn-orig-ctx", (), "int", "yarn_orig_ctx"),
    Flag("--yarn-ext-factor", (), "float", "yarn_ext_factor"),
    Flag("--yarn-attn-factor", (), "float", "yarn_attn_factor"),
    Flag("--yarn-beta-slow", (), "float", "yarn_beta_slow"),
    Flag("--yarn-beta-fast", (), "float", "yarn_beta_fast"),
)

_MODEL = (
    Flag("--lora", (), "text", "lora_adapters", "loras"),
    Flag("--lora-scaled", (), "text", "lora_adapters", "loras_scaled"),
    _switch("--lora-init-without-apply", "lora_init_without_apply"),
    Flag("--control-vector", (), "text", None),
    _switch("--mmproj-offload", "mmproj_use_gpu", off=("--no-mmproj-offload",)),
    _switch("--no-mmproj", "no_mmproj", "--no-mmproj-auto"),
    Flag("--image-min-tokens", (), "int", "image_min_tokens"),
    Flag("--image-max-tokens", (), "int", "image_max_tokens"),
    Flag("--chat-template", (), "text", "chat_template"),
    Flag("--chat-template-file", (), "text", None),
    Flag("--chat-template-kwargs", (), "text", "default_template_kwargs", "template_kwargs"),
    _switch("--skip-chat-parsing", "force_pure_content_parser", off=("--no-skip-chat-parsing",)),
    _switch("--prefill-assistant", "prefill_assistant", off=("--no-prefill-assistant",)),
    Flag(
        "--reasoning-format",
        (),
        "choice",
        "reasoning_format",
        "reasoning_format",
        choices=("none", "auto", "deepseek", "deepseek-legacy"),
    ),
    Flag("--reasoning", ("-rea",), "choice", "enable_reasoning", "on_off_auto", choices=("on", "off", "auto")),
    Flag("--reasoning-budget", (), "int", "sampling.reasoning_budget_tokens"),
    Flag("--reasoning-budget-message", (), "text", "sampling.reasoning_budget_message"),
    Flag(
        "--attention",
        (),
        "choice",
        "attention_type",
        "attention",
        choices=("causal", "non-causal"),
    ),
    Flag("--embd-normalize", (), "int", "embd_normalize"),
    _switch("--special", "special", "-sp"),
    _switch("--offline", "offline"),
    Flag("--hf-repo", ("-hf", "-hfr"), "text", None),
    Flag("--model-url", ("-mu",), "text", None),
)

_SERVER = (
    Flag("--threads-http", (), "int", "n_threads_http"),
    Flag("--timeout", ("-to",), "int", "timeout_read", "timeout"),
    Flag("--api-prefix", (), "text", None),
    Flag("--path", (), "text", None),
    Flag("--media-path", (), "text", "media_path", "folder"),
    Flag("--tags", (), "text", "model_tags", "names"),
    Flag("--sleep-idle-seconds", (), "int", None),
    Flag("--ssl-key-file", (), "text", None),
    Flag("--ssl-cert-file", (), "text", None),
    Flag("--cors-origins", (), "text", "cors_origins"),
    Flag("--sse-ping-interval", (), "int", "sse_ping_interval"),
    _switch("--perf", "no_perf", off=("--no-perf",), convert="inverted"),
    _switch("--verbose-prompt", None),
    Flag("--log-file", (), "text", None),
    Flag("--log-colors", (), "text", None),
    Flag("--log-prompts-dir", (), "text", None),
    _switch("--log-disable", None),
    _switch("--log-prefix", None, off=("--no-log-prefix",)),
    _switch("--log-timestamps", None, off=("--no-log-timestamps",)),
    _switch("--verbose", None, "-v", "--log-verbose"),
)

_SPECULATIVE = (
    Flag("--spec-draft-model", ("-md", "--model-draft"), "text", "speculative.draft.mparams.path"),
    Flag("--spec-draft-n-max", ("--draft", "--draft-n", "--draft-max"), "int", "speculative.draft.n_max"),
    Flag("--spec-draft-n-min", ("--draft-min", "--draft-n-min"), "int", "speculative.draft.n_min"),
    Flag("--spec-draft-p-min", ("--draft-p-min",), "float", "speculative.draft.p_min"),
    Flag("--spec-draft-p-split", ("--draft-p-split",), "float", "speculative.draft.p_split"),
    Flag("--spec-draft-device", ("-devd", "--device-draft"), "text", None),
    Flag("--spec-draft-ngl", ("-ngld", "--gpu-layers-draft"), "text", "speculative.draft.n_gpu_layers", "layers"),
    Flag(
        "--spec-draft-type-k",
        ("-ctkd", "--cache-type-k-draft"),
        "choice",
        "speculative.draft.cache_type_k",
        "cache_type",
        choices=_CACHE_TYPES,
    ),
    Flag(
        "--spec-draft-type-v",
        ("-ctvd", "--cache-type-v-draft"),
        "choice",
        "speculative.draft.cache_type_v",
        "cache_type",
        choices=_CACHE_TYPES,
    ),
    Flag("--spec-type", (), "text", "speculative.types", "speculative_types"),
    Flag("--spec-ngram-mod-n-match", (), "int", "speculative.ngram_mod.n_match"),
    Flag("--spec-ngram-mod-n-min", (), "int", "speculative.ngram_mod.n_min"),
    Flag("--spec-ngram-mod-n-max", (), "int", "speculative.ngram_mod.n_max"),
)

_SAMPLING = (
    Flag("--samplers", (), "text", "sampling.samplers"),
    Flag("--seed", ("-s",), "int", "sampling.seed", "seed"),
    Flag("--temp", ("--temperature",), "float", "sampling.temp"),
    Flag("--top-k", (), "int", "sampling.top_k"),
    Flag("--top-p", (), "float", "sampling.top_p"),
    Flag("--min-p", (), "float", "sampling.min_p"),
    Flag("--xtc-probability", (), "float", "sampling.xtc_probability"),
    Flag("--xtc-threshold", (), "float", "sampling.xtc_threshold"),
    Flag("--typical-p", ("--typical",), "float", "sampling.typ_p"),
    Flag("--repeat-last-n", (), "int", "sampling.penalty_last_n"),
    Flag("--repeat-penalty", (), "float", "sampling.penalty_repeat"),
    Flag("--presence-penalty", (), "float", "sampling.penalty_present"),
    Flag("--frequency-penalty", (), "float", "sampling.penalty_freq"),
    Flag("--dry-multiplier", (), "float", "sampling.dry_multiplier"),
    Flag("--dry-base", (), "float", "sampling.dry_base"),
    Flag("--dry-allowed-length", (), "int", "sampling.dry_allowed_length"),
    Flag("--dry-penalty-last-n", (), "int", "sampling.dry_penalty_last_n"),
    Flag("--dynatemp-range", (), "float", "sampling.dynatemp_range"),
    Flag("--dynatemp-exp", (), "float", "sampling.dynatemp_exponent"),
    Flag("--mirostat", (), "int", "sampling.mirostat"),
    Flag("--mirostat-lr", (), "float", "sampling.mirostat_eta"),
    Flag("--mirostat-ent", (), "float", "sampling.mirostat_tau"),
    Flag("--adaptive-target", (), "float", "sampling.adaptive_target"),
    Flag("--adaptive-decay", (), "float", "sampling.adaptive_decay"),
    _switch("--ignore-eos", "sampling.ignore_eos"),
    Flag("--logit-bias", ("-l",), "text", None),
    Flag("--grammar", (), "text", "sampling.grammar", "grammar"),
    Flag("--grammar-file", (), "text", None),
    Flag("--json-schema", ("-j",), "text", None),
    _switch("--backend-sampling", "sampling.backend_sampling", "-bs"),
    Flag("--predict", ("-n", "--n-predict"), "int", "n_predict"),
)

FLAGS: tuple[Flag, ...] = _OURS + _DEFAULTS + _MEMORY + _ROPE + _MODEL + _SERVER + _SPECULATIVE + _SAMPLING

BY_SPELLING: dict[str, Flag] = {spelling: flag for flag in FLAGS for spelling in flag.spellings()}
