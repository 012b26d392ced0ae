"""A keyring that is in use takes changes of its file."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from hostler.accounts.keys import LOCAL, Keyring
from hostler.errors import Unauthorized

pytestmark = pytest.mark.anyio
INTERVAL_S = 0.005
BOUND_S = 10


@asynccontextmanager
async def following(keys: Keyring) -> AsyncIterator[None]:
    async with anyio.create_task_group() as group:
        group.start_soon(keys.follow, INTERVAL_S)
        yield
        group.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(BOUND_S):
        while not condition():
            await anyio.sleep(INTERVAL_S)


async def test_keys_made_and_removed_elsewhere_count_here(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys, elsewhere = Keyring.load(path), Keyring.load(path)
    async with following(keys):
        assert keys.authenticate({}) is LOCAL
        key = elsewhere.add("laptop", "inference")
        await until(lambda: keys.names == ("laptop",))
        with pytest.raises(Unauthorized):
            keys.authenticate({})
        assert keys.authenticate({b"x-api-key": key.encode()}).scope == "inference"
        elsewhere.add("other")
        elsewhere.remove("laptop")
        await until(lambda: keys.names == ("other",))
        with pytest.raises(Unauthorized):
            keys.authenticate({b"x-api-key": key.encode()})


async def test_a_change_between_reading_and_following_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = Keyring.load(path)
    Keyring.load(path).add("early")
    async with following(keys):
        await until(lambda: keys.names == ("early",))


async def test_a_broken_file_keeps_the_keys_and_warns_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "keys.json"
    key = Keyring.load(path).add("laptop")
    good = path.read_bytes()
    keys = Keyring.load(path)
    with caplog.at_level(logging.INFO, "hostler"):
        async with following(keys):
            path.write_text('{"keys": [')
            await until(lambda: "keys.rejected" in caplog.messages)
            assert keys.authenticate({b"x-api-key": key.encode()}).name == "laptop"
            fresh = path.with_suffix(".other")
            fresh.write_bytes(good)
            os.replace(fresh, path)
            Keyring.load(path).add("more")
            await until(lambda: keys.names == ("laptop", "more"))
    assert caplog.messages == ["keys.rejected", "keys.changed"]


async def test_a_file_that_is_gone_opens_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    Keyring.load(path).add("laptop")
    keys = Keyring.load(path)
    async with following(keys):
        path.unlink()

        def closed_until_renewed() -> bool:
            with pytest.raises(Unauthorized):
                keys.authenticate({})
            return keys.names == ("renewed",)

        assert not closed_until_renewed()
        Keyring(path).add("renewed")
        await until(closed_until_renewed)
