"""A key may end, and may be held to some profiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostler.accounts.keys import Bounds, Keyring, Principal
from hostler.errors import InvalidRequest, Unauthorized


def test_a_key_ends_at_its_time(tmp_path: Path) -> None:
    times = [1000.0]
    keys = Keyring(tmp_path / "keys.json", now=lambda: times[0])
    key = {b"x-api-key": keys.add("guest", "inference", Bounds(expires=1060.0)).encode()}
    assert keys.authenticate(key).name == "guest"
    times[0] = 1060.0
    with pytest.raises(Unauthorized, match="expired"):
        keys.authenticate(key)
    with pytest.raises(Unauthorized):
        keys.authenticate({})


def test_bounds_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    bounds = Bounds(profiles=("a", "qwen-*"), expires=2e9, rate=60)
    key = Keyring.load(path).add("guest", "inference", bounds)
    assert Keyring.load(path).authenticate({b"x-api-key": key.encode()}) == Principal(
        "guest", "inference", ("a", "qwen-*"), 2e9, 60
    )


@pytest.mark.parametrize(
    ("patterns", "allowed", "refused"),
    [
        ((), ("a", "b"), ()),
        (("a",), ("a",), ("b", "ab", "A", "")),
        (("qwen-*", "a"), ("qwen-3", "qwen-", "a"), ("qwen", "b")),
    ],
)
def test_patterns_say_which_profiles(
    patterns: tuple[str, ...], allowed: tuple[str, ...], refused: tuple[str, ...]
) -> None:
    principal = Principal("guest", "inference", patterns)
    assert all(principal.may_use(name) for name in allowed)
    assert not any(principal.may_use(name) for name in refused)


def test_an_admin_is_not_held_to_profiles(tmp_path: Path) -> None:
    keys = Keyring(tmp_path / "keys.json")
    with pytest.raises(InvalidRequest, match="admin"):
        keys.add("me", "admin", Bounds(profiles=("a",)))
    with pytest.raises(InvalidRequest, match="empty"):
        keys.add("guest", "inference", Bounds(profiles=("",)))
    assert keys.empty
