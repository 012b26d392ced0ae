"""A gateway for real clients, and the record of what each of them was shown to do."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Generator, Iterator
from pathlib import Path

import client_matrix as matrix
import pytest
from agent_runs import NOTE
from gateway_process import Home, RunningGateway, eventually

_shown: list[matrix.Shown] = []
_versions: dict[str, str] = {}
_failed: list[str] = []
#: What a report brings from the process that ran the test to the one that writes down what was shown.
SHOWN = "shown"
WRITE = "HOSTLER_CLIENTS_WRITE"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "shows(client, feature): what a passing test shows in the matrix of clients")


def pytest_itemcollected(item: pytest.Item) -> None:
    mark = item.get_closest_marker("shows")
    if mark is not None and (why := matrix.NOT_YET.get((mark.args[0], mark.args[1]))):
        item.add_marker(pytest.mark.xfail(reason=why, strict=True))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    mark = item.get_closest_marker("shows")
    if mark is not None and report.when == "call":
        client, feature = mark.args
        told = (client, feature, getattr(report, "wasxfail", ""), _versions.get(client))
        report.user_properties.append((SHOWN, told))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        _failed.append(report.nodeid)
    for name, told in report.user_properties:
        if name == SHOWN:
            client, feature, why, _versions[client] = told
            _shown.append(matrix.Shown(client=client, feature=feature, outcome="not yet" if why else "works", why=why))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the run down when that was asked for and nothing failed; clients that did not run stay as they were."""
    is_worker = hasattr(session.config, "workerinput")
    if os.environ.get(WRITE) and not _failed and not is_worker:
        matrix.write(matrix.Run(versions=_versions, shown=tuple(_shown)))


@pytest.fixture(scope="session")
def version() -> Callable[[str, str], None]:
    """Tell the version of a client: ``version("codex", "0.1")``."""
    return _versions.__setitem__


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home for the gateway of one client."""
    return Home(tmp_path_factory.mktemp("clients"))


@pytest.fixture(scope="module")
def folder(place: Home) -> Path:
    """Where a tool works: with `notes.txt` in it."""
    made = place.base / "work"
    made.mkdir()
    (made / "notes.txt").write_text(f"{NOTE}\n")
    return made


@pytest.fixture(scope="module")
def tool() -> str:
    """The call that `caller` makes once in a conversation, NAME:ARGUMENTS; empty: of the first tool, every time."""
    return ""


@pytest.fixture(scope="module")
def running(place: Home, tool: str, smollm2: Path) -> Iterator[RunningGateway]:
    """One gateway for the tests of a client.

    `smollm2` is real. The others are scripted: `steady` answers, `caller` calls a tool, `shaper` the one that Claude
    Code has for answers in a form, `endless` goes on and on, and `narrow` has little room.
    """
    room = "context = 65536"
    place.write(
        place.profile("smollm2", smollm2, "context = 4096\nembeddings = true"),
        place.fake("steady", room),
        place.fake("caller", room, tool=tool, tool_calls=not tool),
        place.fake("endless", room, tokens=20_000, rate=10),
        place.fake("narrow", "context = 512"),
        place.fake("shaper", room, tool=f"StructuredOutput:{json.dumps({'city': 'Oslo'})}"),
        top='default = "smollm2"',
    )
    gateway = RunningGateway(place)
    try:
        yield gateway.wait_ready()
    finally:
        gateway.close()


@pytest.fixture
def was_cancelled(running: RunningGateway) -> Callable[[], Awaitable[bool]]:
    """Wait until the newest request has ended, by a client that left, and nothing runs any more."""

    async def cancelled() -> bool:
        recent = (await running.api("/api/requests"))["recent"]
        return bool(recent) and recent[0]["cancelled"] and await running.idle()

    return lambda: eventually(cancelled, "the newest request is cancelled")
