"""Fixtures for all tests: asyncio only, a home of one's own, nothing from the user's environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from hostler.models.starters import STARTERS, fetch

# How long a machine takes to think of an example says nothing about the code.
settings.register_profile("any machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty HOSTLER_HOME and HOME; the caches of other tools are not looked at."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in ("HF_HOME", "HF_HUB_CACHE", "LLAMA_CACHE", "OLLAMA_MODELS", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HOSTLER_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def models_folder() -> Path:
    """Where real models are kept between runs: HOSTLER_TEST_MODELS, or .make/models in the repository."""
    default = Path(__file__).parents[1] / ".make" / "models"
    return Path(os.environ.get("HOSTLER_TEST_MODELS") or default)


@pytest.fixture(scope="session")
def smollm2(models_folder: Path) -> Path:
    """A small chat model, fetched when it is not there yet."""
    return fetch(STARTERS["smollm2"], models_folder, lambda _: None)


@pytest.fixture(scope="session")
def gemma(models_folder: Path) -> Path:
    """A small base model without a chat template, fetched when it is not there yet."""
    return fetch(STARTERS["gemma3-270m"], models_folder, lambda _: None)
