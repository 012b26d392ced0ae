"""The whole product as its users start it: one `hostler up` per test or module, ended and checked afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from gateway_process import Home, RunningGateway

StartGateway = Callable[..., RunningGateway]


@pytest.fixture
def place(tmp_path: Path) -> Home:
    """A home for one test."""
    return Home(tmp_path)


@pytest.fixture
def gateway(place: Home) -> Iterator[StartGateway]:
    """Start it: ``gateway(place.fake("a"), top="[limits]...")``; checks after the test that nothing is left.

    Without sections the configuration stays as it is. Words in ``up`` go to the command line.
    """
    with ExitStack() as stack:

        def start(
            *sections: str, top: str = "", up: tuple[str, ...] = (), largest_file: int | None = None
        ) -> RunningGateway:
            if sections or top:
                place.write(*sections, top=top)
            running = RunningGateway(place, *up, largest_file=largest_file)
            stack.callback(running.close)
            return running.wait_ready()

        yield start
