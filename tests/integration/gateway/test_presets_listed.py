"""`/v1/models` and presets: listed where a profile says that it has them, found by whoever asks for one."""

from __future__ import annotations

from pathlib import Path

import pytest
from gateway_fakes import FakeFleet

from hostler.clock import SystemClock
from hostler.config.sampling import PresetSettings
from hostler.config.settings import Config, Profile
from hostler.engines.protocol import Endpoint
from hostler.errors import UnknownProfile
from hostler.fleet.profiles.catalogue import ProfileCatalogue
from hostler.gateway.openai import Models
from hostler.models.library import Library
from hostler.testing.gguf_files import write_tiny_gguf

pytestmark = pytest.mark.anyio


async def test_presets_are_listed_where_a_profile_says_that_it_has_them(tmp_path: Path) -> None:
    write_tiny_gguf(tmp_path / "Qwen3-8B.gguf", general__name="Qwen3 8B")
    own = Profile(
        model="Qwen3-8B", presets={"brief": PresetSettings(max_tokens=9)}, aliases=("gpt-4o",), preset="brief"
    )
    profiles = {"own": own, "taken": Profile(model="Qwen3-8B", family="qwen3"), "bare": Profile(model="Qwen3-8B")}
    catalogue = ProfileCatalogue(
        Config(profiles=profiles), lambda _: Library(tmp_path, (), False, {}), SystemClock(), lambda: None
    )
    models = Models(catalogue, FakeFleet(Endpoint("127.0.0.1", 1, "")))
    listed = [one.id for one in (await models.listed()).data]
    assert listed == [
        "own", "own:brief", "taken", "taken:general", "taken:fast", "taken:coding", "taken:tools", "bare",
    ]  # fmt: skip
    asked = ("own", "own:brief", "gpt-4o", "gpt-4o:brief", "bare:coding", "Qwen3-8B:fast", "own:latest")
    assert [(await models.one(name)).id for name in asked] == [
        "own", "own:brief", "own", "own:brief", "bare:coding", "Qwen3-8B:fast", "own",
    ]  # fmt: skip
    with pytest.raises(UnknownProfile, match="Did you mean bare:coding"):
        await models.one("bare:codign")
