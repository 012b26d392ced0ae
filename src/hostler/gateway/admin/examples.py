"""Answers as they look, for the OpenAPI document; made of the real structs, so they cannot grow stale."""

from __future__ import annotations

import msgspec

from hostler.hardware.facts import Absence, Cpu, Device, Figure, Machine, PcieLink
from hostler.wire.caching import CacheCleared, CacheSettings, CacheStatus, SavedPrompt
from hostler.wire.hardware import DeviceMetrics, History, Metrics, Reading
from hostler.wire.keys import LentKey
from hostler.wire.loading import ChosenMode, LoadComparison, LoadModeStatus, ModeFigures, ModeLoad
from hostler.wire.management import (
    Cancelled,
    ConfigValue,
    DeviceMemory,
    GatewayStatus,
    HoldInfo,
    Instance,
    Pinned,
    ProfileInfo,
    Reloaded,
    RequestInFlight,
    RequestRecord,
    Requests,
    Switched,
)
from hostler.wire.plan import (
    Interval,
    PlannedAlternative,
    PlannedBytes,
    PlannedDevice,
    PlannedFlag,
    PlannedLayout,
    PlannedMachine,
    PlannedModel,
    PlannedRun,
    PlannedSpeed,
    PlanReport,
    Span,
)
from hostler.wire.usage import Usage, Use
from hostler.wire.warming import LoadFigures, WarmBenchmark, WarmUp

_USE = Use(
    name="smollm2",
    requests=2310,
    failed=3,
    cancelled=12,
    tokens_in=1_204_311,
    tokens_cached=901_220,
    tokens_out=250_118,
    wait_ms=41.5,
    first_byte_ms=130.2,
    prompt_tokens_per_s=1410.0,
    generated_tokens_per_s=83.9,
    last_at=1_767_225_600.0,
)
_COMPARISON = LoadComparison(
    profile="smollm2",
    state="done",
    at=1_767_225_600.0,
    bytes=98_362_432,
    disk="ext4 /dev/nvme0n1p2",
    build="xllamacpp 2026.10.11549",
    size_class="under 1 GiB",
    modes=(
        ModeFigures(
            mode="mmap",
            cold=ModeLoad(load_s=0.52, gb_per_s=0.19, held={"host": 338_000_000}),
            warm=ModeLoad(load_s=0.31, gb_per_s=0.32, held={"host": 338_000_000}),
        ),
    ),
    chosen="mmap",
    why="no other mode is worth memory that cannot be taken back",
)

_PROFILE = ProfileInfo(
    name="smollm2",
    description="Small and quick; good for trying things out",
    task="chat",
    aliases=("tiny",),
    model="SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_000_000,
    context=8192,
    slots=1,
    ttl_s=None,
    pin=False,
    group="",
    hidden=False,
    origin="config",
    default=True,
    state="ready",
    reason="",
    waiting=0,
    load_s=0.8,
    tokens_per_s=96.5,
    need={"host": 338_000_000},
)
_INSTANCE = Instance(
    id="smollm2-1",
    profile="smollm2",
    state="ready",
    pid=4711,
    model="SmolLM2-135M-Instruct.Q4_1.gguf",
    context=8192,
    slots=1,
    bytes={"host": 338_000_000},
    predicted_bytes={"host": 350_000_000},
    leases=1,
    served=12,
    tokens_per_s=96.5,
    idle_s=None,
    ttl_s=None,
    pinned=False,
    load_s=0.8,
    started_at=1_767_225_600.0,
)
_REQUESTS = Requests(
    in_flight=(
        RequestInFlight(
            id="req-2",
            profile="smollm2",
            instance="smollm2-1",
            api="openai.chat",
            state="running",
            age_s=1.5,
            principal="local",
        ),
    ),
    recent=(
        RequestRecord(
            id="req-1",
            at=1_767_225_600.0,
            principal="local",
            profile="smollm2",
            api="openai.chat",
            status=200,
            tokens_in=38,
            tokens_cached=0,
            tokens_out=60,
            queue_ms=0.1,
            load_ms=810.0,
            first_byte_ms=840.0,
            total_ms=1460.0,
            cancelled=False,
        ),
    ),
)
_GATEWAY = GatewayStatus(
    version="0.1.0",
    pid=4700,
    url="http://127.0.0.1:4785",
    home="/home/you/.local/state/hostler",
    config_file="/home/you/.config/hostler/hostler.toml",
    config_error="",
    started_at=1_767_225_500.0,
    draining=False,
    default="smollm2",
    running=1,
    queued=0,
    last_event=42,
    ledger_dropped=0,
    memory=(
        DeviceMemory(
            device="host",
            total=16 * 2**30,
            free=9 * 2**30,
            budget=8 * 2**30,
            used=338_000_000,
        ),
    ),
)

_MACHINE = Machine(
    name="this",
    description="workstation",
    devices=(
        Device(
            id="gpu0",
            kind="nvidia",
            name="NVIDIA GeForce RTX 4090",
            total=24564 * 2**20,
            free=23800 * 2**20,
            foreign=764 * 2**20,
            bandwidth=Figure(1008e9, "NVIDIA Ada GPU architecture whitepaper"),
            rates={"f16": Figure(165.2e12, "NVIDIA Ada GPU architecture whitepaper")},
            target="sm_89",
            compute_capability=(8, 9),
            pcie=PcieLink(generation=4, width=16, max_generation=4, max_width=16),
            cores=16384,
            driver="580.95.05",
            sources={"total": "NVML"},
        ),
        Device(
            id="host",
            kind="host",
            name="A processor",
            total=64 * 2**30,
            free=58 * 2**30,
            foreign=6 * 2**30,
            bandwidth=Figure(44.1e9, "measured: 8 cores read 256 MiB, best of 5"),
        ),
    ),
    cpu=Cpu(model="A processor", cores=8, threads=16, flags=("avx2", "fma")),
    disk=Figure(5.1e9, "measured: 256 MiB of a model file, page cache dropped before"),
    absent=(Absence("amd", "no AMD GPU is visible under /sys/class/drm"),),
    fingerprint="c1e08e7ca327c9aa",
)
_READING = Reading(
    at=1_767_225_600.0,
    utilisation=87.0,
    used=21_000_000_000,
    temperature_c=64.0,
    power_w=311.5,
    clock_mhz=2520.0,
    memory_clock_mhz=10501.0,
    throttling=("power limit",),
)
_METRICS = Metrics(
    interval_s=1.0,
    kept_s=900.0,
    devices=(
        DeviceMetrics(
            device="gpu0",
            kind="nvidia",
            name="NVIDIA GeForce RTX 4090",
            total=24564 * 2**20,
            present=True,
            now=_READING,
            history=History(
                at=(1_767_225_600.0,),
                utilisation=(87.0,),
                used=(21_000_000_000,),
                temperature_c=(64.0,),
                power_w=(311.5,),
                clock_mhz=(2520.0,),
                memory_clock_mhz=(10501.0,),
                throttled=(True,),
            ),
        ),
    ),
)

_GIB = 2**30
_PLAN = PlanReport(
    profile="coder",
    machine=PlannedMachine(name="this", description="workstation", described=False),
    model=PlannedModel(
        name="GLM-4.7-Flash-Q4_K_M", architecture="deepseek2", quantisation="Q4_K_M", parameters=29_943_390_976,
        active_parameters=3_611_000_000, size=18_130_000_000, context=202_752, layers=47, experts=64, active_experts=4,
    ),
    run=PlannedRun(
        context=131_072, slots=1, cache_k="q8_0", cache_v="q8_0", batch=2048, ubatch=512, flash_attention=True,
        threads=8, mapped=True, prompt_cache=0, checkpoints=4, projector=0,
    ),
    layout=PlannedLayout(
        gpus=("gpu0",), split="none", layers=(Span(first=0, last=46, device="gpu0"),),
        experts=(Span(first=0, last=46, device="gpu0"),), output="gpu0", projector="host",
    ),
    devices=(
        PlannedDevice(
            id="gpu0", kind="nvidia", name="NVIDIA GeForce RTX 4090", unified=False, total=24 * _GIB, foreign=0,
            margin=2**27, why="no display", residents={}, available=24 * _GIB - 2**27, free=3 * _GIB - 2**27,
            bytes=PlannedBytes(
                total=21 * _GIB, weights=_GIB, experts=15 * _GIB, mapped=0, kv=4 * _GIB, recurrent=0, compute=_GIB // 2,
                output=0, projector=0, draft=0, checkpoints=0, prompt_cache=0, runtime=_GIB // 2,
            ),
        ),
    ),
    speeds=(
        PlannedSpeed(
            depth=0, decode=Interval(low=149.0, value=198.0, high=248.0),
            prefill=Interval(low=3399.0, value=5664.0, high=7930.0), splits=2, bound="gpu0", shares={"gpu0": 0.82},
        ),
    ),
    placement="auto",
    flags=(PlannedFlag(argv=("--device", "CUDA0"), reason="RTX 4090; gpu1 stays free"),),
    env={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
    alternatives=(
        PlannedAlternative(
            change="context 202752", effect="fits too, all it was trained for", decode_ratio=1.0, prefill_ratio=1.0,
            frees={"gpu0": -2 * _GIB}, context=202_752, settings={"context": "202752"},
        ),
    ),
    notes=(),
    goes=(),
)  # fmt: skip

_CACHE = CacheStatus(
    persist=True,
    bytes=106_987_044,
    budget=30 * _GIB,
    prompts=(
        SavedPrompt(
            id="5f1c0a9be2d34c77", profile="smollm2", tenant="laptop", tokens=4640, bytes=106_987_044,
            saved_at=1_767_225_600.0, used_at=1_767_225_900.0, computing_s=28.6, hits=2, saved_s=54.9,
        ),
    ),
    saved=5,
    restored=3,
    used=2,
    saved_s=54.9,
    save_bytes_per_s=1.9e9,
    restore_bytes_per_s=3.1e9,
)  # fmt: skip

_WARM_UP = WarmUp(
    profile="smollm2", state="done", at=1_767_225_600.0, loaded=True, load_s=0.4, first_s=0.02, tokens_per_s=118.0
)

EXAMPLES: dict[tuple[str, str], object] = {
    ("get", "/api/gateway"): _GATEWAY,
    ("post", "/api/gateway/reload"): Reloaded(added=("coder",), changed=(), removed=()),
    ("get", "/api/config"): [ConfigValue(key="gateway.port", value=4785, source="default")],
    ("get", "/api/profiles"): [_PROFILE],
    ("get", "/api/profiles/{name}"): _PROFILE,
    ("get", "/api/profiles/{name}/plan"): _PLAN,
    ("post", "/api/load"): HoldInfo(profile="smollm2", state="ready", id="hold-1f2e3d4c", hold_s=1800.0),
    ("delete", "/api/load/{hold_id}"): HoldInfo(profile="smollm2", state="unloaded"),
    ("post", "/api/keys"): LentKey(
        name="run-aider-4711-9f2c", profiles=("coder",), expires=1_767_229_200.0, key="hostler-..."
    ),
    ("post", "/api/keys/{name}/prolong"): LentKey(name="run-aider-4711-9f2c", expires=1_767_231_000.0),
    ("delete", "/api/keys/{name}"): LentKey(name="run-aider-4711-9f2c"),
    ("post", "/api/profiles/{name}/load"): Switched(profile="smollm2", state="ready"),
    ("post", "/api/profiles/{name}/unload"): Switched(profile="smollm2", state="unloaded", unloaded=("smollm2",)),
    ("post", "/api/profiles/{name}/pin"): Pinned(profile="smollm2", state="ready", pinned=True),
    ("delete", "/api/profiles/{name}/pin"): Pinned(profile="smollm2", state="ready", pinned=False),
    ("post", "/api/profiles/{name}/switch"): Switched(profile="smollm2", state="ready", unloaded=("gemma3-270m",)),
    ("get", "/api/instances"): [_INSTANCE],
    ("get", "/api/instances/{instance_id}"): _INSTANCE,
    ("get", "/api/hardware"): _MACHINE,
    ("get", "/api/hardware/gpu/metrics"): _METRICS,
    ("get", "/api/models/cache/status"): _CACHE,
    ("get", "/api/models/cache/settings"): CacheSettings(
        persist=True,
        budget=30 * _GIB,
        age_s=604_800.0,
        least_tokens=256,
        folder="/home/me/.local/state/hostler/prompts",
    ),
    ("post", "/api/models/cache/clear"): CacheCleared(prompts=1, bytes=106_987_044),
    ("get", "/api/models/mmap/status"): LoadModeStatus(
        chosen=(
            ChosenMode(
                disk="ext4 /dev/nvme0n1p2",
                build="xllamacpp 2026.10.11549",
                size_class="under 1 GiB",
                mode="mmap",
                why="no other mode is worth memory that cannot be taken back",
                at=1_767_225_600.0,
            ),
        ),
        comparisons=(_COMPARISON,),
    ),
    ("post", "/api/models/mmap/benchmark"): _COMPARISON,
    ("get", "/api/models/warmup/status"): [_WARM_UP],
    ("post", "/api/models/warmup/{name}"): _WARM_UP,
    ("post", "/api/models/warmup/{name}/benchmark"): WarmBenchmark(
        profile="smollm2",
        bytes=98_362_432,
        dropped=True,
        cold=LoadFigures(load_s=0.61, first_s=0.02, tokens_per_s=117.0),
        warm=LoadFigures(load_s=0.38, first_s=0.02, tokens_per_s=118.0),
    ),
    ("get", "/api/requests"): _REQUESTS,
    ("get", "/api/usage"): Usage(
        by="profile", since=1_766_620_800.0, until=None, rows=(_USE,), total=msgspec.structs.replace(_USE, name="")
    ),
    ("post", "/api/requests/{request_id}/cancel"): Cancelled(request="req-2"),
}
