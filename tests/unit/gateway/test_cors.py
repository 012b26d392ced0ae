"""Which pages are named in an answer, and which preflights are answered."""

from __future__ import annotations

import pytest

from hostler.errors import Forbidden
from hostler.gateway.door.cors import Origins
from hostler.gateway.door.guard import check_origin, check_page

PAGE = b"https://chat.example"


def test_by_default_nothing_is_said() -> None:
    origins = Origins()
    assert not origins
    assert origins.lines({b"origin": PAGE}) == []
    assert origins.text({b"origin": PAGE}) == b""
    assert origins.preflight({b"origin": PAGE, b"access-control-request-method": b"POST"}, ["POST"]) is None


@pytest.mark.parametrize(
    ("allowed", "origin", "yes"),
    [
        ("https://chat.example", PAGE, True),
        ("https://CHAT.example", PAGE, True),
        ("https://chat.example", b"https://chat.example.evil", False),
        ("https://chat.example", b"http://chat.example", False),
        ("http://localhost:*", b"http://localhost:5173", True),
        ("http://localhost:*", b"http://localhost", False),
        ("null", b"null", True),
        ("*", PAGE, True),
    ],
)
def test_patterns_of_origins(allowed: str, origin: bytes, yes: bool) -> None:
    origins = Origins([allowed])
    assert origins.allow(origin) is yes
    assert origins.allow(origin, named=True) is (yes and allowed != "*")
    assert ((b"access-control-allow-origin", origin) in origins.lines({b"origin": origin})) is yes
    assert (b"vary", b"Origin") in origins.lines({b"origin": origin})


def test_a_preflight_hears_what_it_asked_for() -> None:
    asked = {
        b"origin": PAGE,
        b"access-control-request-method": b"POST",
        b"access-control-request-headers": b"authorization,content-type",
        b"access-control-request-private-network": b"true",
    }
    told = dict(Origins([PAGE.decode()]).preflight(asked, ["POST"]) or [])
    assert told[b"access-control-allow-origin"] == PAGE
    assert told[b"access-control-allow-methods"] == b"POST"
    assert told[b"access-control-allow-headers"] == b"authorization,content-type"
    assert told[b"access-control-allow-private-network"] == b"true"
    assert b"access-control-allow-credentials" not in told
    assert Origins(["https://other.example"]).preflight(asked, ["POST"]) is None


@pytest.mark.parametrize("origin", [b"https://evil.example", b"null", b"HTTP://evil.example"])
def test_a_foreign_page_uses_nothing_without_a_key(origin: bytes) -> None:
    headers = {b"host": b"127.0.0.1:4785", b"origin": origin}
    with pytest.raises(Forbidden, match="cors"):
        check_page(headers, Origins())
    check_page(headers, Origins(["*"]))
    check_page({b"host": b"127.0.0.1:4785", b"origin": b"http://127.0.0.1:4785"}, Origins())
    check_page({b"host": b"127.0.0.1:4785", b"origin": b"vscode-webview://abc"}, Origins())


def test_an_origin_that_cannot_be_read_is_a_foreign_one() -> None:
    headers = {b"host": b"127.0.0.1:4785", b"origin": b"http://["}
    for check in (check_page, check_origin):
        with pytest.raises(Forbidden):
            check(headers, Origins())


def test_management_takes_pages_that_are_named_alone() -> None:
    headers = {b"host": b"box:4785", b"origin": PAGE, b"sec-fetch-site": b"cross-site"}
    check_origin(headers, Origins([PAGE.decode()]))
    for origins in (Origins(["*"]), Origins(["https://other.example"])):
        with pytest.raises(Forbidden):
            check_origin(headers, origins)


def test_others_are_let_in_from_now_on() -> None:
    origins = Origins()
    origins.configure(("*",))
    assert origins
    assert origins.allow(PAGE)
    origins.configure(())
    assert not origins
    assert not origins.allow(PAGE)
