"""`/metrics`: what is counted, how it is written (read back by Prometheus' own parser), and what names it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from hostler.events import AnyEvent, Bus, InstanceChanged, LoadMeasured, Swap
from hostler.gateway.admin.examples import EXAMPLES
from hostler.gateway.metrics.counting import OTHER, TRACKS, Counting
from hostler.gateway.metrics.exposition import FAMILIES, Exposition, Sources
from hostler.gateway.metrics.families import Family, Histogram
from hostler.wire.hardware import DeviceMetrics, Reading
from hostler.wire.management import Instance, RequestRecord

ROOT = Path(__file__).parents[3]
ROW = RequestRecord(
    id="req-1", at=1_000.0, principal="local", profile="coder", api="chat", status=200, tokens_in=12, tokens_cached=4,
    tokens_out=3, queue_ms=10.0, load_ms=0.0, first_byte_ms=50.0, prompt_ms=16.0, generated_ms=100.0, total_ms=150.0,
    cancelled=False,
)  # fmt: skip
GPU = DeviceMetrics(
    device="gpu0", kind="nvidia", name='A "big" \\ GPU', total=100, present=True,
    now=Reading(at=1.0, utilisation=42.0, used=60, temperature_c=None, power_w=35.5, throttling=("heat",)),
)  # fmt: skip
LOST = msgspec.structs.replace(GPU, device="gpu1", present=False, reason="gone")


def page(counting: Counting, instances: tuple[Instance, ...] = (), devices: tuple[DeviceMetrics, ...] = ()) -> bytes:
    sources = Sources(counts=lambda: (2, 1), instances=lambda: instances, devices=lambda: devices, dropped=lambda: 7)
    return Exposition(counting, sources).page()


def read(text: bytes) -> dict[str, Metric]:
    return {metric.name: metric for metric in text_string_to_metric_families(text.decode())}


def samples(text: bytes, name: str) -> dict[tuple[str, ...], float]:
    """The samples of that name, by the values of their labels."""
    every = [sample for metric in read(text).values() for sample in metric.samples if sample.name == name]
    return {tuple(sample.labels.values()): sample.value for sample in every}


def test_a_request_is_counted_once_in_everything() -> None:
    counting = Counting()
    counting.take(ROW)
    told = page(counting)
    assert samples(told, "hostler_requests_total") == {("coder", "chat", "ok"): 1}
    tokens = {("coder", "chat", "prompt"): 12, ("coder", "chat", "cached"): 4, ("coder", "chat", "generated"): 3}
    assert samples(told, "hostler_tokens_total") == tokens
    for name, seconds in (("first_token", 0.05), ("inter_token", 0.05), ("request", 0.15), ("queue", 0.01)):
        assert samples(told, f"hostler_{name}_seconds_count") == {("coder", "chat"): 1}
        assert samples(told, f"hostler_{name}_seconds_sum")["coder", "chat"] == pytest.approx(seconds)
    assert samples(told, "hostler_load_wait_seconds_count") == {("coder", "chat"): 0}


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"status": 404}, "client_error"),
        ({"status": 502}, "server_error"),
        ({"status": 499, "cancelled": True}, "cancelled"),
    ],
)
def test_outcomes(changes: dict[str, object], outcome: str) -> None:
    counting = Counting()
    counting.take(msgspec.structs.replace(ROW, **changes))
    assert samples(page(counting), "hostler_requests_total") == {("coder", "chat", outcome): 1}


@pytest.mark.parametrize("first_byte_ms", [2.0, 149.0], ids=["begun before the prompt was read", "whole"])
def test_the_first_token_is_not_the_first_byte(first_byte_ms: float) -> None:
    counting = Counting()
    counting.take(msgspec.structs.replace(ROW, first_byte_ms=first_byte_ms))
    assert samples(page(counting), "hostler_first_token_seconds_sum")["coder", "chat"] == pytest.approx(0.05)


def test_what_was_not_told_is_not_counted() -> None:
    counting = Counting()
    counting.take(msgspec.structs.replace(ROW, tokens_in=None, tokens_out=None, generated_ms=None, first_byte_ms=None))
    told = page(counting)
    assert samples(told, "hostler_inter_token_seconds_count") == {("coder", "chat"): 0}
    assert samples(told, "hostler_first_token_seconds_count") == {("coder", "chat"): 0}
    assert samples(told, "hostler_tokens_total")["coder", "chat", "prompt"] == 0


def test_buckets_add_up_and_their_ends_belong_to_them() -> None:
    histogram = Histogram(Family("x", "histogram", ""), (1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)
    assert histogram.lines().splitlines() == [
        'x_bucket{le="1"} 2', 'x_bucket{le="2"} 3', 'x_bucket{le="+Inf"} 4', "x_sum 12", "x_count 4",
    ]  # fmt: skip


def test_labels_are_bounded_however_many_profiles_there_are() -> None:
    counting = Counting()
    for number in range(3 * TRACKS):
        counting.take(msgspec.structs.replace(ROW, profile=f"p{number}"))
        counting.hear(LoadMeasured(instance="i", profile=f"p{number}", seconds=1.0, bytes=1, gb_per_s=1.0))
        counting.hear(InstanceChanged(instance="i", profile=f"p{number}", state="failed", cause="hang"))
    told = page(counting)
    requests = samples(told, "hostler_requests_total")
    assert len(requests) == TRACKS + 1
    assert requests[OTHER, "chat", "ok"] == 2 * TRACKS
    assert sum(samples(told, "hostler_load_seconds_count").values()) == 3 * TRACKS
    assert (
        len(samples(told, "hostler_load_seconds_count")) == len(samples(told, "hostler_failures_total")) == TRACKS + 1
    )


def test_loads_swaps_and_failures_come_from_events() -> None:
    counting, bus = Counting(), Bus()
    swap = bus.publish(Swap(profile="coder", evicted=("other",), reason="room"))
    ready = msgspec.structs.replace(
        bus.publish(InstanceChanged(instance="coder-1", profile="coder", state="ready")), at=swap.at + 2.5
    )
    events: tuple[AnyEvent, ...] = (
        swap,
        ready,
        ready,  # nothing was swapped for this one
        LoadMeasured(instance="coder-1", profile="coder", seconds=2.0, bytes=1, gb_per_s=1.0),
        InstanceChanged(instance="coder-1", profile="coder", state="failed", cause="out_of_memory"),
    )
    for event in events:
        counting.hear(event)
    told = page(counting)
    assert samples(told, "hostler_swap_seconds_sum") == {("coder",): 2.5}
    assert samples(told, "hostler_swap_seconds_count") == {("coder",): 1}
    assert samples(told, "hostler_load_seconds_sum") == {("coder",): 2.0}
    assert samples(told, "hostler_failures_total") == {("coder", "out_of_memory"): 1}


def test_devices_and_instances_as_they_are_now() -> None:
    one = msgspec.convert(msgspec.to_builtins(EXAMPLES["get", "/api/instances"])[0], Instance)
    two = msgspec.structs.replace(one, id="again", state="draining", bytes={"host": 5}, leases=2)
    told = page(Counting(), (msgspec.structs.replace(one, bytes={"host": 3}, leases=1), two), (GPU, LOST))
    assert samples(told, "hostler_instances") == {(one.profile, "ready"): 1, (one.profile, "draining"): 1}
    assert samples(told, "hostler_instance_memory_bytes") == {(one.profile, "host"): 8}
    assert samples(told, "hostler_instance_requests") == {(one.profile,): 3}
    big = ("gpu0", "nvidia", 'A "big" \\ GPU')
    assert samples(told, "hostler_device_present") == {big: 1, ("gpu1", *big[1:]): 0}
    assert samples(told, "hostler_device_utilisation_ratio") == {big: 0.42}
    assert samples(told, "hostler_device_power_watts") == {big: 35.5}
    assert samples(told, "hostler_device_temperature_celsius") == {}
    assert samples(told, "hostler_device_throttled") == {big: 1}
    assert samples(told, "hostler_requests_running") == {(): 2}
    assert samples(told, "hostler_ledger_dropped_total") == {(): 7}


def test_every_family_is_written_once_with_its_kind() -> None:
    heads = [line.split()[2:] for line in page(Counting()).decode().splitlines() if line.startswith("# TYPE")]
    assert sorted(map(tuple, heads)) == sorted((family.name, family.kind) for family in FAMILIES)


def named_in(text: str) -> set[str]:
    names = set(re.findall(r"\b(?:hostler|process)_[a-z_]+", text))
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}


def test_the_dashboard_asks_for_metrics_that_exist_and_shows_all_of_them() -> None:
    board = json.loads((ROOT / "deploy/grafana/hostler.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    asked += [each["query"]["query"] for each in board["templating"]["list"] if each["type"] == "query"]
    assert len(asked) > 20
    every = {family.name for family in FAMILIES}
    assert named_in(" ".join(asked)) == every - {"process_start_time_seconds"}
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_the_page_on_metrics_describes_every_one() -> None:
    described = (ROOT / "docs/metrics.md").read_text()
    assert named_in(described) == {family.name for family in FAMILIES}
