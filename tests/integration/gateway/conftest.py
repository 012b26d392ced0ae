"""A running gateway between a scripted engine and raw clients."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gateway_fakes import Gateway, gateway_with

from hostler.accounts.keys import Keyring


@pytest.fixture
def keys(tmp_path: Path) -> Keyring:
    return Keyring.load(tmp_path / "keys.json")


@pytest.fixture
async def gateway(keys: Keyring) -> AsyncIterator[Gateway]:
    async with gateway_with(keys) as one:
        yield one
