"""Warm-ups and comparisons of load modes for the management application: done at once."""

from __future__ import annotations

import msgspec

from hostler.gateway.admin.examples import EXAMPLES
from hostler.wire.loading import LoadComparison, LoadModeStatus
from hostler.wire.warming import WarmBenchmark, WarmUp


class FakeWarming:
    """Keeps what it was asked."""

    def __init__(self) -> None:
        self.known: dict[str, WarmUp] = {}

    def status(self) -> tuple[WarmUp, ...]:
        return tuple(self.known.values())

    def begin(self, profile: str) -> WarmUp:
        self.known[profile] = WarmUp(profile=profile, state="running", at=1.0)
        return self.known[profile]

    async def warm(self, profile: str) -> WarmUp:
        self.known[profile] = WarmUp(profile=profile, state="done", at=1.0, loaded=True, load_s=0.5)
        return self.known[profile]

    async def benchmark(self, profile: str) -> WarmBenchmark:
        example = EXAMPLES["post", "/api/models/warmup/{name}/benchmark"]
        assert isinstance(example, WarmBenchmark)
        return msgspec.structs.replace(example, profile=profile)


class FakeLoadModes:
    """Keeps what it was asked."""

    def __init__(self) -> None:
        self.known: dict[str, LoadComparison] = {}

    def status(self) -> LoadModeStatus:
        return LoadModeStatus(chosen=(), comparisons=tuple(self.known.values()))

    def begin(self, profile: str) -> LoadComparison:
        self.known[profile] = LoadComparison(profile=profile, state="running", at=1.0)
        return self.known[profile]

    async def compare(self, profile: str) -> LoadComparison:
        example = EXAMPLES["post", "/api/models/mmap/benchmark"]
        assert isinstance(example, LoadComparison)
        self.known[profile] = msgspec.structs.replace(example, profile=profile)
        return self.known[profile]
