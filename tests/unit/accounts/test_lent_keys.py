"""Keys that are lent: for models alone, until a time, and never longer than the key that lent them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostler.accounts.keys import Bounds, Keyring
from hostler.errors import Conflict, NotFound, Unauthorized


class Ring:
    """A key ring with an admin, one lent key that ends at 1060, and a clock that stands at 1000."""

    def __init__(self, path: Path) -> None:
        self.now = 1000.0
        self.keys = Keyring(path, now=lambda: self.now)
        self.keys.add("me", "admin")
        self.lent = self.lend("run-aider-1")

    def lend(self, name: str, expires: float = 1060.0) -> str:
        return self.keys.add(name, "inference", Bounds(profiles=("coder",), expires=expires), "me")

    def lets_in(self, key: str) -> bool:
        try:
            return self.keys.authenticate({b"x-api-key": key.encode()}).scope == "inference"
        except Unauthorized:
            return False


@pytest.fixture
def ring(tmp_path: Path) -> Ring:
    return Ring(tmp_path / "keys.json")


def test_it_ends_at_its_time_or_when_it_is_given_back(ring: Ring) -> None:
    assert ring.lets_in(ring.lent)
    ring.keys.prolong("run-aider-1", 1120.0)
    ring.now = 1060.0
    assert ring.lets_in(ring.lent)
    ring.keys.take_back("run-aider-1")
    assert not ring.lets_in(ring.lent)
    assert ring.keys.names == ("me",)


def test_what_was_lent_and_is_over_is_forgotten(ring: Ring) -> None:
    ring.keys.add("guest", "inference", Bounds(expires=1060.0))
    ring.now = 1060.0
    ring.lend("run-aider-2", 2000.0)
    assert ring.keys.names == ("me", "guest", "run-aider-2")


def test_it_ends_with_the_key_that_lent_it(ring: Ring) -> None:
    """Or a key that was taken from somebody would live on in what they started with it."""
    ring.keys.remove("me")
    assert not ring.lets_in(ring.lent)
    assert ring.keys.empty


def test_it_lasts_no_longer_and_asks_no_more_often_than_the_key_that_lent_it(ring: Ring) -> None:
    """A key for a day lent one that could be prolonged for good, and without its own bound of requests a minute."""
    ring.keys.add("guest", "admin", Bounds(expires=1100.0, rate=10))
    lent = ring.keys.add("run-aider-2", "inference", Bounds(expires=2000.0), "guest")
    stored = ring.keys.stored[-1]
    assert (stored.expires, stored.rate) == (1100.0, 10)
    assert ring.keys.prolong("run-aider-2", 1090.0) == 1090.0
    assert ring.keys.prolong("run-aider-2", 3000.0) == 1100.0
    ring.now = 1100.0
    assert not ring.lets_in(lent)


def test_who_is_gone_lends_nothing(ring: Ring) -> None:
    """It was asked while the lender's key was removed, and would have lived without it."""
    with pytest.raises(Unauthorized):
        ring.keys.add("run-aider-2", "inference", Bounds(expires=1060.0), "gone")
    assert ring.keys.names == ("me", "run-aider-1")


def test_a_file_that_is_gone_opens_nothing(ring: Ring) -> None:
    """Nobody needed a key any more once one was prolonged that had been lent by a gateway whose file was removed."""
    ring.keys._path.unlink()
    ring.keys.prolong("run-aider-1", 1120.0)
    assert ring.keys.names == ("me", "run-aider-1")
    ring.keys._path.unlink()
    with pytest.raises(NotFound):
        ring.keys.take_back("nobody")
    assert not ring.keys.empty
    assert Keyring.load(ring.keys._path).empty


def test_prompts_of_what_is_lent_are_the_lenders(ring: Ring) -> None:
    ring.lend("run-aider-2")
    guest = ring.keys.add("guest", "inference")
    assert guest
    assert ring.keys.owner("run-aider-1") == ring.keys.owner("run-aider-2") == ring.keys.owner("me")
    assert ring.keys.owner("guest") != ring.keys.owner("me")


def test_other_keys_are_neither_prolonged_nor_taken_back(ring: Ring) -> None:
    for act in (lambda name: ring.keys.prolong(name, 9e9), ring.keys.take_back):
        for name in ("me", "nobody"):
            with pytest.raises(NotFound):
                act(name)
    with pytest.raises(Conflict):
        ring.lend("me")
    assert Keyring.load(ring.keys._path).stored == ring.keys.stored
