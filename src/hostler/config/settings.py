"""The settings tree: one frozen declaration from which everything else is generated.

`hostler.toml`, the environment (``HOSTLER_GATEWAY__PORT=...``), flags, the JSON Schema, the commented example
and the reference page all come from these structs. Each field's ``description`` is the sentence that the
reference shows. Values are parsed once, at the edge, into the types the code works with: sizes are bytes,
durations are seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from hostler.config.base import Positive, Tokens
from hostler.config.base import Settings as Settings
from hostler.config.limits import LimitSettings as LimitSettings  # a part of this tree
from hostler.config.quantities import Bytes, Seconds
from hostler.config.sampling import Effort, Family, PresetSettings, RequestSettings
from hostler.config.sampling import SamplingSettings as SamplingSettings

Origin = Annotated[str, Meta(pattern=r"^(\*|null|[A-Za-z][A-Za-z0-9+.-]*://[^/\s]+)$")]
Task = Literal["chat", "completion", "embedding", "rerank", "transcription", "speech", "image"]
CacheType = Literal["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"]

KvType = Literal["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1", "auto"]
Placement = Literal["auto", "engine", "manual"]
Speaks = Literal["openai", "anthropic"]
Ability = Literal["tools", "images", "reasoning"]
Rule = Literal["ability", "context", "loaded"]
Rung = Literal["ubatch", "kv", "host", "context", "evict"]
LoadMode = Literal["mmap", "read", "direct"]
Priority = Literal["interactive", "batch"]
KeepAlive = Literal["shorten", "pin", "ignore"]
Port = Annotated[int, Meta(ge=1, le=65535)]


class GatewaySettings(Settings, frozen=True, kw_only=True):
    """Where the gateway listens and what it does at start."""

    host: Annotated[str, Meta(description="Address to listen on. Anything but loopback needs a key.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")] = 4785
    default: Annotated[
        str | None, Meta(description="Profile for requests that name none; else the most recently used one.")
    ] = None
    preload: Annotated[tuple[str, ...], Meta(description="Profiles loaded at start.")] = ()
    cors: Annotated[
        tuple[Origin, ...],
        Meta(
            description="Origins whose web pages may use this gateway, such as `https://chat.example` or "
            "`http://localhost:*`; `*` lets all pages use models. Default: none."
        ),
    ] = ()
    send_loading_state: Annotated[
        bool,
        Meta(description="Chat streams that wait hear where they stand in their reasoning field, for people to read."),
    ] = False
    remote_images: Annotated[
        bool,
        Meta(description="Fetch pictures that requests give as addresses: from the internet, never from here around."),
    ] = False
    ollama_port: Annotated[
        Port | None, Meta(description="Also listen here for Ollama's clients, which expect 11434; default: not.")
    ] = None
    keep_alive: Annotated[
        KeepAlive,
        Meta(
            description="What `keep_alive` of Ollama's clients may do: have a model leave sooner than its `ttl` "
            "(`shorten`), also pin it when it is negative (`pin`), nothing (`ignore`)."
        ),
    ] = "shorten"


class MemorySettings(Settings, frozen=True, kw_only=True):
    """How much of each device engines may hold."""

    budget: Annotated[
        dict[str, Bytes],
        Meta(description="Bytes per device (`host`, `gpu0`); default: what is free, less the reserve."),
    ] = field(default_factory=dict)
    reserve: Annotated[
        Bytes | None, Meta(description="Left free on the host; default: the larger of 1 GiB and 8%.")
    ] = None
    margin: Annotated[
        dict[str, Bytes],
        Meta(description="Left free per GPU; default: 128 MiB, or 1 GiB on one that drives a display."),
    ] = field(default_factory=dict)


class LibrarySettings(Settings, frozen=True, kw_only=True):
    """Where models are looked for."""

    roots: Annotated[tuple[str, ...], Meta(description="Folders searched besides the library and known caches.")] = ()
    caches: Annotated[
        bool, Meta(description="Also read the caches of Hugging Face, llama.cpp, Ollama and LM Studio.")
    ] = True


class KvSettings(Settings, frozen=True, kw_only=True):
    """Prompts that survive their engine: what it computed is saved when it is stopped, and restored."""

    persist: Annotated[bool, Meta(description="Save and restore; when false, what was saved is removed.")] = True
    budget: Annotated[
        Bytes | None,
        Meta(description="Disk space for saved prompts; default: 30 GiB, at most a quarter of what is free."),
    ] = None
    age: Annotated[Seconds, Meta(description="Saved prompts that were not used for this long are removed.")] = Seconds(
        604800
    )


class LedgerSettings(Settings, frozen=True, kw_only=True):
    """How long every request is kept. What older ones add up to, by day, profile, key and API, is kept for good."""

    keep: Annotated[
        Seconds | None, Meta(description="Requests that ended this long ago count in the sums of their day alone.")
    ] = Seconds(34560000)
    rows: Annotated[int, Meta(ge=1, description="So many requests are kept, at most; the oldest go first.")] = 2_000_000


class LogSettings(Settings, frozen=True, kw_only=True):
    """Hostler's own log."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Least level that is logged.")] = (
        "info"
    )
    format: Annotated[Literal["console", "json"], Meta(description="Readable lines, or one JSON object a line.")] = (
        "console"
    )
    max_size: Annotated[Bytes, Meta(description="A log file is rotated at this size.")] = Bytes(10 * 2**20)
    keep: Annotated[int, Meta(ge=0, description="Rotated log files kept.")] = 3


class EngineSettings(Settings, frozen=True, kw_only=True):
    """Which engine runs the profile, and how."""

    kind: Annotated[
        Literal["llamacpp", "command", "remote"],
        Meta(
            description="llama.cpp's server (`llamacpp`), any program that `argv` starts (`command`), or a server "
            "elsewhere (`remote`)."
        ),
    ] = "llamacpp"
    build: Annotated[
        str | None,
        Meta(description="A build that `hostler engine ls` lists, or a `llama-server`; default: `default_build`."),
    ] = None
    threads: Annotated[Positive | None, Meta(description="CPU threads; default: the physical cores.")] = None
    batch: Annotated[
        Positive | None, Meta(description="Prompt tokens per batch; default: chosen so that one takes at most 2 s.")
    ] = None
    ubatch: Annotated[Positive | None, Meta(description="Prompt tokens per compute step.")] = None
    cache_type_k: Annotated[CacheType | None, Meta(description="Type of the cached keys; default: as `kv`.")] = None
    cache_type_v: Annotated[CacheType | None, Meta(description="Type of the cached values; default: as `kv`.")] = None
    cache_ram: Annotated[Bytes, Meta(description="Host memory for earlier prompts (llama.cpp's --cache-ram).")] = Bytes(
        0
    )
    load_mode: Annotated[
        Literal["auto", "mmap", "read", "direct"],
        Meta(
            description="How files are read: mapped (`mmap`), into memory (`read`), past the page cache (`direct`); "
            "`auto`: mapped, unless `hostler load-modes` measured another as quicker."
        ),
    ] = "auto"
    extra_args: Annotated[
        tuple[str, ...], Meta(description="Passed as they are; a conflict with what Hostler sets is an error.")
    ] = ()
    env: Annotated[dict[str, str], Meta(description="Added to the engine's environment.")] = field(default_factory=dict)
    argv: Annotated[
        tuple[str, ...],
        Meta(description="The program of a `command` and its arguments; `${PORT}` is where it has to listen."),
    ] = ()
    stop: Annotated[
        tuple[str, ...],
        Meta(description="Run before a `command` is ended, such as `docker stop`; default: it gets SIGTERM."),
    ] = ()
    health: Annotated[
        str, Meta(description="Path that a `command` answers with 2xx when it is ready; `none`: when it listens.")
    ] = "/health"
    model_name: Annotated[
        str,
        Meta(
            description="What a `command` calls its model: requests say it as `model`; default: what the client says."
        ),
    ] = ""
    memory: Annotated[
        dict[str, Bytes],
        Meta(description="What a `command` holds per device (`host`, `gpu0`); default: what it was seen to hold."),
    ] = field(default_factory=dict)
    url: Annotated[
        str, Meta(description="Where a `remote` is, as its clients are told it: `https://api.openai.com/v1`.")
    ] = ""
    speaks: Annotated[Speaks, Meta(description="The API of a `remote`: OpenAI's, or Anthropic's.")] = "openai"
    key_env: Annotated[
        str,
        Meta(description="Environment variable that has the key of a `remote`, never the key; `none`: it needs none."),
    ] = ""
    key_ring: Annotated[
        str, Meta(description="Name of the key of a `remote` in the system's keyring, under the service `hostler`.")
    ] = ""
    forward_key: Annotated[
        bool, Meta(description="A `remote` gets the key that the client sent; without it, no client's key leaves.")
    ] = False


class EnginesSettings(Settings, frozen=True, kw_only=True):
    """What holds for the engines of all profiles."""

    default_build: Annotated[
        str | None,
        Meta(description="Build of profiles that name none, as `hostler engine ls` calls it; default: the embedded."),
    ] = None


class WorkloadSettings(Settings, frozen=True, kw_only=True):
    """The usual request, for which placement makes the time shortest."""

    prompt: Annotated[int, Meta(ge=1, description="Prompt tokens that are not in the cache.")] = 1000
    answer: Annotated[int, Meta(ge=1, description="Answer tokens.")] = 500


class Profile(Settings, frozen=True, kw_only=True):
    """A named way to run a model."""

    model: Annotated[
        str, Meta(min_length=1, description="A path, or a name in the library; for a `remote` its own name for it.")
    ]
    description: Annotated[str, Meta(description="Shown in lists.")] = ""
    task: Annotated[
        Task | None,
        Meta(description="What the model does; default: read from its header (chat when it has a chat template)."),
    ] = None
    embeddings: Annotated[bool, Meta(description="Add /v1/embeddings to a chat profile.")] = False
    abilities: Annotated[
        tuple[Ability, ...] | None,
        Meta(description="What it can do besides its task, for `auto` names; default: read from its model."),
    ] = None
    aliases: Annotated[tuple[str, ...], Meta(description="Other names; patterns (`claude-*`) allowed.")] = ()
    context: Annotated[
        Tokens | Literal["max"] | None,
        Meta(
            description="Tokens for one request; `max`: as many as fit; default: what the model was trained for, at "
            "most 8192."
        ),
    ] = None
    kv: Annotated[
        KvType,
        Meta(description="Type of cached keys and values; `auto`: f16, or q8_0 where that makes room or speed."),
    ] = "f16"
    placement: Annotated[
        Placement,
        Meta(
            description="Who places the model: Hostler (`auto`), llama.cpp's --fit (`engine`), or the flags in "
            "`extra_args` (`manual`)."
        ),
    ] = "auto"
    devices: Annotated[
        tuple[str, ...], Meta(description="Only these GPUs (`gpu0`, as `hostler hardware` calls them); `host`: none.")
    ] = ()
    workload: WorkloadSettings = WorkloadSettings()
    rungs: Annotated[
        tuple[Rung, ...],
        Meta(description="After running out of memory, in this order: what a further try may change."),
    ] = ("ubatch", "host", "evict")
    slots: Annotated[
        int,
        Meta(ge=1, le=1024, description="Requests in parallel; the engine gets context x slots. 64 at a `remote`."),
    ] = 1
    ttl: Annotated[
        Seconds | None, Meta(description="Unload after this idle time; `never` keeps it until memory is needed.")
    ] = None
    pin: Annotated[bool, Meta(description="Never evicted.")] = False
    group: Annotated[
        str, Meta(description="Heading in lists; `[groups.NAME]` says what else holds for its profiles.")
    ] = ""
    priority: Annotated[
        Priority,
        Meta(
            description="`batch` requests let all others go first until they have waited for `starvation_s`; the "
            "header `X-Hostler-Priority` says otherwise for one request."
        ),
    ] = "interactive"
    hidden: Annotated[bool, Meta(description="Left out of lists; still callable.")] = False
    send_loading_state: Annotated[
        bool | None, Meta(description="As in `[gateway]`, for this profile; default: that.")
    ] = None
    steady_prompts: Annotated[
        bool,
        Meta(
            description="Leave out lines at the head of a system prompt that say something else each time "
            "(`x-anthropic-billing-header: ...`), so that prompt caches go on."
        ),
    ] = True
    remote_images: Annotated[bool | None, Meta(description="As in `[gateway]`, for this profile; default: that.")] = (
        None
    )
    capture: Annotated[
        bool, Meta(description="Keep what it is asked and answers in files, for `hostler captures`; bounded, redacted.")
    ] = False
    sampling: SamplingSettings = SamplingSettings()
    preset: Annotated[
        str, Meta(description="Preset taken by default: one of `presets`, or one shipped for the `family`.")
    ] = ""
    family: Annotated[
        Family | None, Meta(description="Whose shipped presets it has, as `hostler presets` lists them; default: none.")
    ] = None
    reasoning: Annotated[
        Effort | None,
        Meta(description="How much to reason when the client does not say; default: as its chat template has it."),
    ] = None
    presets: dict[str, PresetSettings] = field(default_factory=dict)
    request: RequestSettings = RequestSettings()
    engine: EngineSettings = EngineSettings()


class GroupSettings(Settings, frozen=True, kw_only=True):
    """What holds for the profiles that name this group in `group`."""

    exclusive: Annotated[bool, Meta(description="At most one of its profiles is loaded at a time.")] = False
    together: Annotated[
        bool, Meta(description="Its profiles are loaded together, where there is room, and leave together.")
    ] = False


class AutoSettings(Settings, frozen=True, kw_only=True):
    """A name that stands for several profiles: each request goes to the one that suits it."""

    profiles: Annotated[
        tuple[str, ...], Meta(description="Profiles, the preferred ones first; an `auto` name stands for its own.")
    ] = ()
    rules: Annotated[
        tuple[Rule, ...],
        Meta(
            description="Narrow the choice one after the other: able to do what is asked (`ability`), context enough "
            "for it (`context`), loaded (`loaded`). One that leaves none does not count; the first of those left is "
            "taken."
        ),
    ] = ("ability", "context", "loaded")
    fallback: Annotated[
        tuple[str, ...],
        Meta(description="Tried in this order when the chosen one fails before the first byte of its answer."),
    ] = ()
    description: Annotated[str, Meta(description="Shown in lists.")] = ""


class Config(Settings, frozen=True, kw_only=True):
    """The whole of `hostler.toml`, `extends` resolved."""

    gateway: GatewaySettings = GatewaySettings()
    memory: MemorySettings = MemorySettings()
    library: LibrarySettings = LibrarySettings()
    engines: EnginesSettings = EnginesSettings()
    limits: LimitSettings = LimitSettings()
    kv: KvSettings = KvSettings()
    ledger: LedgerSettings = LedgerSettings()
    log: LogSettings = LogSettings()
    groups: dict[str, GroupSettings] = field(default_factory=dict)
    profiles: dict[str, Profile] = field(default_factory=dict)
    auto: dict[str, AutoSettings] = field(default_factory=dict)


class Home(msgspec.Struct, frozen=True):
    """The folders in use. With HOSTLER_HOME set, all lie in it; else platformdirs decides."""

    config_file: Path
    models: Path
    state: Path
    cache: Path
    logs: Path
