"""Presets: own and shipped ones, what they come to, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from hostler.config.load import parse
from hostler.config.presets.choosing import chosen, listed, names
from hostler.config.presets.page import COMMAND, PAGE
from hostler.config.presets.page import page as written
from hostler.config.presets.published import families, family_of
from hostler.config.sampling import Family, SamplingSettings
from hostler.config.settings import Profile
from hostler.errors import ConfigError

FILE = Path("hostler.toml")


def profile(text: str) -> Profile:
    return parse(f"[profiles.p]\nmodel = 'x'\n{text}", FILE).config.profiles["p"]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("preset = 'coding'", 'preset: the profile has no preset "coding"; write one in `presets`, or set `family`'),
        ("preset = 'codign'\nfamily = 'qwen3-coder'", 'no preset "codign"; did you mean "coding"?'),
        ("family = 'quen3'", 'family: "quen3" is wrong: expected one of'),
        (
            "[profiles.p.presets.latest]\nseed = 1",
            'hostler.toml:4: profiles.p.presets.latest.seed: "latest" means no preset',
        ),
        ("[profiles.p.presets.latest]", 'hostler.toml:3: profiles.p.presets.latest: "latest" means no preset'),
        ("[profiles.p.presets.'a b']", "hostler.toml:3:"),
        ("[profiles.p.presets.'a b']\nseed = 1", '"a b" is no name of a preset'),
        ("[profiles.p.presets.a]\ntemperture = 1", 'unknown key; did you mean "temperature"?'),
        ("request.set.stream = true", "request.set.stream: `stream` is not a profile's to change"),
        ("request.set.'messages.role' = 1", "`messages` is not a profile's to change"),
        ("request.strip = ['model']", "request.strip: `model` is not a profile's to change"),
        ("request.set.'a..b' = 1", '"a..b" is no field'),
        ("request.set.since = 2020-01-01", "expected any value that JSON has"),
    ],
)
def test_what_cannot_be_meant_is_told(text: str, wrong: str) -> None:
    with pytest.raises(ConfigError) as raised:
        profile(text)
    assert wrong in raised.value.message


def test_a_preset_that_says_nothing_is_one_all_the_same() -> None:
    """It does what the profile does, and takes nothing from what it extends."""
    assert set(profile("[profiles.p.presets.plain]\n").presets) == {"plain"}
    extended = "[profiles.p.presets.x]\ntop_k = 7\n[profiles.q]\nextends = 'p'\n[profiles.q.presets.x]\n"
    both = parse(f"[profiles.p]\nmodel = 'x'\n{extended}", FILE).config.profiles
    assert both["p"].presets == both["q"].presets


def test_an_own_preset_changes_the_shipped_one_and_both_the_sampling() -> None:
    mine = profile(
        "family = 'qwen3'\nreasoning = 'high'\n[profiles.p.sampling]\nseed = 5\ntop_k = 99\n"
        "[profiles.p.presets.fast]\ntemperature = 0.1\n"
    )
    fast = chosen(mine, "fast", mine.family)
    assert fast.sampling == SamplingSettings(temperature=0.1, top_p=0.8, top_k=20, min_p=0.0, seed=5)
    assert fast.reasoning == "none"
    assert chosen(mine, "coding", mine.family).reasoning == "high"
    assert chosen(mine, "", mine.family).sampling == SamplingSettings(seed=5, top_k=99)


def test_what_is_listed_is_what_the_configuration_says() -> None:
    plain = profile("[profiles.p.presets.mine]\nseed = 1")
    assert listed(plain) == ("mine",)
    assert names(plain, "gpt-oss") == ("mine", "general", "coding", "tools")
    assert listed(profile("family = 'gpt-oss'\npreset = 'tools'")) == ("general", "coding", "tools")


def test_every_family_has_a_source_for_all_it_says() -> None:
    assert set(families()) == set(get_args(Family))
    for family, known in families().items():
        assert {"general", "coding", "tools"} <= set(known.names), family
        for preset in known.presets.values():
            assert preset.source.startswith("https://"), family
            assert bool(preset.quoted_by) == ("unsloth" in preset.source), family
            assert preset.temperature is not None, family


@pytest.mark.parametrize(
    ("architecture", "name", "family"),
    [
        ("qwen3", "Qwen3 8B", "qwen3"),
        ("qwen3", "Qwen3-0.6B", "qwen3"),
        ("qwen3moe", "Qwen3 30B A3B Instruct 2507", "qwen3-instruct"),
        ("qwen3moe", "Qwen3-30B-A3B-Thinking-2507", "qwen3-thinking"),
        ("qwen3moe", "Qwen3-Coder-30B-A3B-Instruct", "qwen3-coder"),
        ("qwen3next", "Qwen3-Coder-Next", None),
        ("qwen3", "Qwen3 Embedding 0.6B", None),
        ("qwen35", "Qwen3.5-27B", "qwen3.5"),
        ("gpt-oss", "whatever it says", "gpt-oss"),
        ("glm4moe", "GLM 4.5 Air", "glm-4.5"),
        ("glm4moe", "GLM 4.6V", None),
        ("gemma3", "Gemma 3 270m It", "gemma-3"),
        ("llama", "Meta Llama 3.1 8B Instruct", "llama-3"),
        ("llama", "SmolLM2 135M", None),
        ("qwen2", "DeepSeek R1 Distill Qwen 7B", "deepseek-r1"),
        ("llama", "Devstral Small 2507", "devstral"),
        ("mistral3", "Devstral Small 2 24B Instruct 2512", "devstral-2"),
        ("mistral3", "mistralai_Devstral-2-123B-Instruct-2512", "devstral-2"),
        ("llama", "Mistral-Small-3.2-24B-Instruct-2506", "mistral-small"),
        ("llama", "Mistral 7B Instruct v0.3", None),
    ],
)
def test_a_family_is_known_by_header_and_name(architecture: str, name: str, family: str | None) -> None:
    assert family_of(architecture, name) == family


def test_the_page_is_what_is_shipped() -> None:
    page = Path(__file__).parents[3] / PAGE
    assert page.read_text("utf-8") == written(), f"run `{COMMAND}`"
