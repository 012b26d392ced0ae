"""Keys are kept as hashes in a file that only the owner reads."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from hostler.accounts.keys import LOCAL, Keyring, Principal
from hostler.errors import Conflict, HomeError, InvalidRequest, NotFound, Unauthorized


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


def test_a_removed_key_is_refused_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = Keyring.load(path)
    gone, kept = keys.add("gone"), keys.add("kept")
    keys.remove("gone")
    for ring in (keys, Keyring.load(path)):
        assert ring.names == ("kept",)
        with pytest.raises(Unauthorized):
            ring.authenticate({b"x-api-key": gone.encode()})
        assert ring.authenticate({b"x-api-key": kept.encode()}).name == "kept"
    with pytest.raises(NotFound, match="kept"):
        keys.remove("gone")
    assert path.stat().st_mode & 0o777 == 0o600


def test_without_keys_nobody_comes_in_where_others_can_reach_us(tmp_path: Path) -> None:
    """The last key was removed while the gateway listened on the network: that must not open it."""
    keys = Keyring.load(tmp_path / "keys.json", loopback=False)
    key = keys.add("only")
    keys.remove("only")
    for headers in ({}, {b"x-api-key": key.encode()}):
        with pytest.raises(Unauthorized, match="hostler key new"):
            keys.authenticate(headers)
    again = keys.add("only")
    assert keys.authenticate({b"x-api-key": again.encode()}).name == "only"


def test_what_another_process_wrote_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    one, other = Keyring.load(path), Keyring.load(path)
    one.add("a")
    other.add("b")
    one.remove("a")
    assert Keyring.load(path).names == ("b",)


def test_many_at_once_lose_no_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    names = [f"key-{number}" for number in range(12)]
    threads = [threading.Thread(target=Keyring.load(path).add, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(Keyring.load(path).names) == sorted(names)


@pytest.mark.parametrize("name", ["", " a", "a ", "two\nlines", "x" * 65, "local"])
def test_impossible_names_are_refused(tmp_path: Path, name: str) -> None:
    keys = Keyring.load(tmp_path / "keys.json")
    with pytest.raises(InvalidRequest):
        keys.add(name)
    assert keys.empty


def test_a_file_without_times_is_read(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [{"name": "old", "scope": "admin", "sha256": "00" * 32}]}))
    keys = Keyring.load(path)
    assert keys.stored[0].created is None
    keys.add("new")
    assert keys.names == ("old", "new")


def test_a_damaged_file_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = Keyring.load(path)
    path.write_text("{")
    with pytest.raises(HomeError, match="damaged"):
        keys.add("a")
    assert path.read_text() == "{"


def test_a_leftover_of_a_broken_write_is_no_hindrance_and_shows_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    leftover = tmp_path / "keys.json.new"
    leftover.write_text("half")
    os.chmod(leftover, 0o644)
    Keyring.load(path).add("a")
    assert path.stat().st_mode & 0o777 == 0o600
    assert not leftover.exists()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError):
        Keyring(tmp_path / "file" / "keys.json").add("a")
