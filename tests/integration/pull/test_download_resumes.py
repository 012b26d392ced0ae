"""Downloads over a server with bad days: nothing lost, nothing half-done, every byte hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from imitation_hub import Hub, serving

from hostler.errors import Conflict, DownloadFailed
from hostler.models.download import Fetched, Progress, Wanted, fetch, missing_bytes

DATA = b"GGUF" + bytes(range(256)) * 16_000


@pytest.fixture
def server() -> Iterator[Hub]:
    with serving({"x.gguf": DATA}) as running:
        yield running


def wanted(server: Hub, folder: Path, *, known: bool = True) -> Wanted:
    url = f"{server.url}/plain/x.gguf"
    if not known:
        return Wanted(url=url, path=folder / "x.gguf")
    return Wanted(url=url, path=folder / "x.gguf", size=len(DATA), sha256=hashlib.sha256(DATA).hexdigest())


def quietly(what: Wanted, pauses: list[float] | None = None) -> Fetched:
    return fetch(what, lambda _: None, (pauses if pauses is not None else []).append)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("known", [True, False])
def test_broken_connections_are_taken_up_where_they_broke(server: Hub, tmp_path: Path, known: bool) -> None:
    server.switches.break_after, server.switches.breaks = 2**20, 3
    pauses: list[float] = []
    heard: list[Progress] = []
    done = fetch(wanted(server, tmp_path, known=known), heard.append, pauses.append)
    assert (tmp_path / "x.gguf").read_bytes() == DATA
    assert done.sha256 == hashlib.sha256(DATA).hexdigest()
    begins = [0 if asked is None else int(asked.removeprefix("bytes=")[:-1]) for asked in server.ranges("x.gguf")]
    assert begins == sorted(set(begins))
    assert len(begins) == 4
    assert pauses == [1.0, 1.0, 1.0]
    assert heard[-1] == Progress("x.gguf", "download", len(DATA), len(DATA))
    assert names(tmp_path) == {"x.gguf", ".x.gguf.fetched"}


def test_nobody_who_ever_listened_is_not_waited_for(server: Hub, tmp_path: Path) -> None:
    pauses: list[float] = []
    with pytest.raises(DownloadFailed, match="nobody listens there"):
        quietly(Wanted(url="http://127.0.0.1:9/x.gguf", path=tmp_path / "x.gguf"), pauses)
    assert pauses == []


def test_a_server_without_ranges_starts_over(server: Hub, tmp_path: Path) -> None:
    server.switches.break_after, server.switches.breaks, server.switches.no_ranges = 2**20, 1, True
    quietly(wanted(server, tmp_path))
    assert (tmp_path / "x.gguf").read_bytes() == DATA


def test_what_another_version_left_is_not_mixed_in(server: Hub, tmp_path: Path) -> None:
    """The file is replaced at its address while the first try has brought a quarter of it."""
    server.switches.break_after, server.switches.breaks = 2**20, 1
    fresh = DATA[:-4] + b"new!"

    def replaced(_: float) -> None:
        server.files["x.gguf"] = fresh

    done = fetch(wanted(server, tmp_path, known=False), lambda _: None, replaced)
    assert done.path.read_bytes() == fresh
    assert server.ranges("x.gguf")[-1] is not None


def test_bytes_that_are_not_the_published_ones_are_thrown_away(server: Hub, tmp_path: Path) -> None:
    server.switches.changed_bytes = True
    with pytest.raises(DownloadFailed, match="instead of"):
        quietly(wanted(server, tmp_path))
    assert names(tmp_path) == set()
    server.switches.changed_bytes = False
    assert quietly(wanted(server, tmp_path)).new


def test_a_server_that_asks_for_time_gets_it(server: Hub, tmp_path: Path) -> None:
    server.switches.failures, server.switches.status, server.switches.retry_after = 2, 429, "7"
    pauses: list[float] = []
    quietly(wanted(server, tmp_path), pauses)
    assert pauses == [7.0, 7.0]


@pytest.mark.parametrize(("status", "tries"), [(500, 5), (503, 5), (429, 5), (401, 1), (403, 1), (404, 1), (418, 1)])
def test_failures_end_after_some_tries(server: Hub, tmp_path: Path, status: int, tries: int) -> None:
    server.switches.failures, server.switches.status = 99, status
    with pytest.raises(DownloadFailed, match=str(status)):
        quietly(wanted(server, tmp_path))
    assert len(server.asked) == tries
    assert names(tmp_path) == set()


def test_a_web_page_is_no_model(server: Hub, tmp_path: Path) -> None:
    server.switches.html = True
    with pytest.raises(DownloadFailed, match="web page"):
        quietly(wanted(server, tmp_path))
    server.switches.html = False
    server.files["x.gguf"] = b"<html>log in</html>" + DATA
    with pytest.raises(DownloadFailed, match="HTML page"):
        quietly(wanted(server, tmp_path, known=False))
    assert names(tmp_path) == set()


def test_a_file_of_the_users_own_is_never_replaced(server: Hub, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF of mine")
    for known in (True, False):
        with pytest.raises(Conflict, match="is there already"):
            quietly(wanted(server, tmp_path, known=known))
    assert (tmp_path / "x.gguf").read_bytes() == b"GGUF of mine"
    assert server.asked == []


def test_the_same_file_is_not_fetched_twice(server: Hub, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(DATA)
    assert not quietly(wanted(server, tmp_path)).new
    assert server.asked == []
    assert missing_bytes(wanted(server, tmp_path)) == 0


def test_two_at_once_do_not_write_into_one_file(server: Hub, tmp_path: Path) -> None:
    what = wanted(server, tmp_path)

    def meanwhile(_: Progress) -> None:
        with pytest.raises(Conflict, match="another process"):
            quietly(what)

    fetch(what, meanwhile)
    assert (tmp_path / "x.gguf").read_bytes() == DATA
