"""What `/metrics` costs at its bound of labels: a scrape, and a request that is counted.

python benchmarks/metrics_page.py
"""

from __future__ import annotations

import statistics
import time

import msgspec

from hostler.gateway.admin.examples import EXAMPLES
from hostler.gateway.metrics.counting import TRACKS, Counting
from hostler.gateway.metrics.exposition import Exposition, Sources
from hostler.wire.management import Instance, Requests

SCRAPES = 50
ROUNDS = 100


def main() -> None:
    (example,) = msgspec.convert(msgspec.to_builtins(EXAMPLES["get", "/api/requests"]), Requests).recent[:1]
    (instance,) = msgspec.convert(msgspec.to_builtins(EXAMPLES["get", "/api/instances"]), list[Instance])
    rows = [msgspec.structs.replace(example, profile=f"profile-{number}") for number in range(TRACKS)]
    counting = Counting()
    counted = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for row in rows:
            counting.take(row)
        counted.append((time.perf_counter() - began) / TRACKS * 1e6)
    sources = Sources(counts=lambda: (1, 2), instances=lambda: [instance] * 20, devices=lambda: (), dropped=lambda: 0)
    exposition = Exposition(counting, sources)
    took = []
    for _ in range(SCRAPES):
        began = time.perf_counter()
        page = exposition.page()
        took.append((time.perf_counter() - began) * 1e3)
    print(f"{TRACKS} pairs of profile and API: {page.count(10)} lines, {len(page) / 2**10:.0f} KiB")
    print(f"scrape  best {min(took):.1f} ms, median {statistics.median(took):.1f} ms (target: 10 ms)")
    print(f"request best {min(counted):.1f} us, median {statistics.median(counted):.1f} us")


if __name__ == "__main__":
    main()
