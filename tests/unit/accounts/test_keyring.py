"""Keys are kept as hashes in a file that only the owner reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostler.accounts.keys import LOCAL, Keyring, Principal
from hostler.errors import Conflict, HomeError, Unauthorized


def test_without_keys_everybody_is_local(tmp_path: Path) -> None:
    keys = Keyring.load(tmp_path / "keys.json")
    assert keys.empty
    assert keys.authenticate({}) == LOCAL


def test_a_key_works_now_and_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "state" / "keys.json"
    keys = Keyring.load(path)
    key = keys.add("laptop", "inference")
    for ring in (keys, Keyring.load(path)):
        for headers in ({b"authorization": f"bearer {key}".encode()}, {b"x-api-key": key.encode()}):
            assert ring.authenticate(headers) == Principal("laptop", "inference")
        for wrong in ({}, {b"authorization": b"Bearer no"}, {b"authorization": b"Basic " + key.encode()}):
            with pytest.raises(Unauthorized):
                ring.authenticate(wrong)
    assert path.stat().st_mode & 0o777 == 0o600
    assert key not in path.read_text()


def test_names_are_unique(tmp_path: Path) -> None:
    keys = Keyring.load(tmp_path / "keys.json")
    keys.add("a")
    with pytest.raises(Conflict):
        keys.add("a")


@pytest.mark.parametrize("text", ["{", '{"keys":[{"name":"a","scope":"admin","sha256":"zz"}]}', '{"keys":1}'])
def test_a_damaged_file_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(HomeError, match=r"keys\.json"):
        Keyring.load(path)
