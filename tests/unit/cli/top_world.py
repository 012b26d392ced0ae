"""A gateway's answers for tests of the window: one of each, and changes to them."""

from __future__ import annotations

from typing import Any

import msgspec

from hostler.cli.top.board import Board, Snapshot, happened, of_snapshot
from hostler.events import AnyEvent
from hostler.wire.hardware import DeviceMetrics, History, Metrics, Reading
from hostler.wire.management import (
    DeviceMemory,
    GatewayStatus,
    Instance,
    ProfileInfo,
    RequestInFlight,
    RequestRecord,
    Requests,
)

GIB, MIB = 2**30, 2**20
NOW = 1_700_000_600.0
URL = "http://127.0.0.1:4785"


def status(**changes: Any) -> GatewayStatus:
    usual = GatewayStatus(
        version="0.1.0", pid=4711, url=URL, home="/home", config_file="/home/hostler.toml", config_error="",
        started_at=NOW - 600, draining=False, default="smollm2", running=1, queued=0, last_event=2, ledger_dropped=0,
        memory=(DeviceMemory(device="host", total=24 * GIB, free=20 * GIB, budget=18 * GIB, used=2 * GIB),),
    )  # fmt: skip
    return msgspec.structs.replace(usual, **changes)


def profile(name: str, **changes: Any) -> ProfileInfo:
    usual = ProfileInfo(
        name=name, description="", task="chat", aliases=(), model=f"{name}.gguf", size=98 * MIB, context=8192, slots=1,
        ttl_s=None, pin=False, group="", hidden=False, origin="config", default=False, state="unloaded", reason="",
        waiting=0, load_s=None, tokens_per_s=None, need={"host": 338 * MIB},
    )  # fmt: skip
    return msgspec.structs.replace(usual, **changes)


def instance(name: str, **changes: Any) -> Instance:
    usual = Instance(
        id=f"{name}-1", profile=name, state="ready", pid=4242, model=f"{name}.gguf", context=8192, slots=2,
        bytes={"host": 311 * MIB}, predicted_bytes={"host": 338 * MIB}, leases=1, served=7, tokens_per_s=85.4,
        idle_s=None, ttl_s=600.0, pinned=False, load_s=1.2, started_at=NOW - 300,
    )  # fmt: skip
    return msgspec.structs.replace(usual, **changes)


def asked(name: str, **changes: Any) -> RequestInFlight:
    usual = RequestInFlight(
        id=name, profile="smollm2", instance="smollm2-1", api="chat", state="running", age_s=1.25, principal="local"
    )
    return msgspec.structs.replace(usual, **changes)


def record(name: str, **changes: Any) -> RequestRecord:
    usual = RequestRecord(
        id=name, at=NOW - 100, principal="local", profile="smollm2", api="chat", status=200, tokens_in=12,
        tokens_cached=0, tokens_out=60, queue_ms=200, load_ms=1200.0, first_byte_ms=1300.0, total_ms=2400.0,
        cancelled=False,
    )  # fmt: skip
    return msgspec.structs.replace(usual, **changes)


def device(which: str, now: Reading | None, **changes: Any) -> DeviceMetrics:
    usual = DeviceMetrics(
        device=which, kind="host" if which == "host" else "nvidia", name=f"The {which}", total=24 * GIB, present=True,
        now=now, history=History(utilisation=(0.0, 50.0, 100.0)),
    )  # fmt: skip
    return msgspec.structs.replace(usual, **changes)


def metrics(*devices: DeviceMetrics) -> Metrics:
    return Metrics(interval_s=1.0, kept_s=900.0, devices=devices)


def snapshot(**changes: Any) -> Snapshot:
    usual = Snapshot(
        at=NOW,
        status=status(),
        profiles=(profile("smollm2", state="ready", default=True), profile("gemma3-270m")),
        instances=(instance("smollm2"),),
        requests=Requests(in_flight=(asked("req-9"),), recent=(record("req-8"),)),
        metrics=metrics(device("host", Reading(at=NOW, utilisation=42.0, used=4 * GIB, temperature_c=61.0))),
    )
    return msgspec.structs.replace(usual, **changes)


def board(*events: AnyEvent, **changes: Any) -> Board:
    return happened(of_snapshot(snapshot(**changes), URL), events)
