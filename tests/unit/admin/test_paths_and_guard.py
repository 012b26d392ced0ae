"""Profile names in paths, and which names and origins may manage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.errors import Forbidden
from hostler.gateway.admin.paths import LAST, PREFIX, named, routed
from hostler.gateway.door.guard import check_host, check_origin, is_local_name

NAMES = st.text(min_size=1).filter(lambda name: name.strip("/"))


@given(NAMES)
def test_any_name_becomes_one_segment_and_comes_back(name: str) -> None:
    segment = routed("GET", f"{PREFIX}{name}").removeprefix(PREFIX)
    assert "/" not in segment
    assert named(segment) == name


@given(NAMES, st.sampled_from(LAST["POST"]))
def test_the_action_stays_a_segment_of_its_own(name: str, action: str) -> None:
    segment, last = routed("POST", f"{PREFIX}{name}/{action}").removeprefix(PREFIX).split("/")
    assert (named(segment), last) == (name, action)


@given(NAMES)
def test_a_plan_is_a_segment_of_its_own(name: str) -> None:
    segment, last = routed("GET", f"{PREFIX}{name}/plan").removeprefix(PREFIX).split("/")
    assert (named(segment), last) == (name, "plan")


def test_other_paths_are_left_alone() -> None:
    assert routed("GET", "/api/profiles") == "/api/profiles"
    assert routed("POST", "/api/requests/a/cancel") == "/api/requests/a/cancel"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "192.168.1.7", "localhost", "box", "box.local", "a.localhost"])
def test_local_names(host: str) -> None:
    assert is_local_name(host)
    check_host({b"host": f"{host}:4785".encode()})


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.nip.io", "localhost.evil.example"])
def test_foreign_names(host: str) -> None:
    with pytest.raises(Forbidden):
        check_host({b"host": host.encode()})


@pytest.mark.parametrize("origin", ["http://box:4785", "https://box:4785", "http://BOX:4785"])
def test_the_same_origin_passes(origin: str) -> None:
    check_origin({b"host": b"box:4785", b"origin": origin.encode()})


@pytest.mark.parametrize("origin", ["http://box", "http://box:1", "https://evil.example", "null", "file://"])
def test_other_origins_do_not(origin: str) -> None:
    with pytest.raises(Forbidden):
        check_origin({b"host": b"box:4785", b"origin": origin.encode()})
