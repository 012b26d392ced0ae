"""What an operator lets `keep_alive` do."""

from __future__ import annotations

import math

import pytest

from hostler.config.settings import KeepAlive
from hostler.gateway.ollama.staying import obey


class Fleet:
    def __init__(self) -> None:
        self.said: list[tuple[str, object]] = []

    def stay(self, profile: str, seconds: float | None) -> None:
        self.said.append(("stay", seconds))

    def pin(self, profile: str, pin: bool) -> None:
        self.said.append(("pin", pin))


@pytest.mark.parametrize(
    ("rule", "seconds", "said"),
    [
        ("shorten", 60.0, [("stay", 60.0)]),
        ("shorten", math.inf, [("stay", None)]),
        ("pin", math.inf, [("pin", True), ("stay", None)]),
        ("pin", 0.0, [("stay", 0.0)]),
        ("ignore", 0.0, []),
    ],
)
def test_rules(rule: KeepAlive, seconds: float, said: list[object]) -> None:
    fleet = Fleet()
    obey(fleet, rule, "a", seconds)
    assert fleet.said == said
