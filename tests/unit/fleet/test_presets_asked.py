"""`PROFILE:PRESET` as a model name, and what such a request is served as."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostler.clock import SystemClock
from hostler.config.names import Names
from hostler.config.sampling import PresetSettings, RequestSettings, SamplingSettings
from hostler.config.settings import AutoSettings, Config, EngineSettings, Profile
from hostler.errors import UnknownProfile
from hostler.fleet.profiles.catalogue import ProfileCatalogue
from hostler.fleet.profiles.presets import Meanings, Meant
from hostler.models.library import Library
from hostler.models.reasoning import Thinking
from hostler.testing.gguf_files import write_tiny_gguf

PRESETS = {"coder": ("coding", "fast"), "plain": (), "coder:real": ("odd",), "any": ("fast",)}
MEANINGS = Meanings(
    Names([("coder", ("gpt-4o", "claude-*")), ("plain", ()), ("coder:real", ()), ("any", ())]), PRESETS.__getitem__
)


@pytest.mark.parametrize(
    ("name", "profile", "preset"),
    [
        ("coder", "coder", ""),
        ("coder:latest", "coder", ""),
        ("coder:coding", "coder", "coding"),
        ("Coder:fast", "coder", "fast"),
        ("gpt-4o:fast", "coder", "fast"),
        ("claude-sonnet:coding", "coder", "coding"),
        ("claude-sonnet:20b", "coder", ""),  # the pattern takes the whole of it
        ("coder:real", "coder:real", ""),
        ("coder:real:odd", "coder:real", "odd"),
        ("any:fast", "any", "fast"),
    ],
)
def test_a_name_with_a_preset(name: str, profile: str, preset: str) -> None:
    assert MEANINGS.of(name) == Meant(profile, preset)
    assert MEANINGS.of(name) is MEANINGS.of(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("coder:codign", '"coder" has no preset "codign". Did you mean coder:coding?'),
        ("coder:8b", '"coder" has no preset "8b". Did you mean coder:coding, coder:fast?'),
        ("plain:coding", '"plain" has no preset "coding". It has none.'),
        ("codr:coding", 'No profile is named "codr:coding".'),
        (":coding", 'No profile is named ":coding".'),
    ],
)
def test_an_unknown_one_is_told_with_the_nearest(name: str, said: str) -> None:
    with pytest.raises(UnknownProfile) as refused:
        MEANINGS.of(name)
    assert refused.value.message.startswith(said)


def model(folder: Path, name: str, template: str = "{{ messages }}") -> Path:
    return write_tiny_gguf(folder / f"{name}.gguf", general__name=name, tokenizer__chat_template=template)


async def opened(folder: Path, config: Config) -> ProfileCatalogue:
    catalogue = ProfileCatalogue(config, lambda _: Library(folder, (), False, {}), SystemClock(), lambda: None)
    await catalogue.open()
    return catalogue


@pytest.mark.anyio
async def test_a_preset_changes_what_is_left_out_and_not_the_profile(tmp_path: Path) -> None:
    """Shipped ones are there for who names them; a profile takes one always only when it says so."""
    model(tmp_path, "Qwen3-8B", "{% if enable_thinking is defined %}</think>{% endif %}")
    mine = Profile(
        model="Qwen3-8B",
        sampling=SamplingSettings(seed=1),
        presets={"mine": PresetSettings(top_k=5), "general": PresetSettings(top_k=6)},
        preset="mine",
        request=RequestSettings(strip=("user",)),
    )
    catalogue = await opened(tmp_path, Config(profiles={"p": mine, "q": Profile(model="Qwen3-8B")}))
    usual, fast, found = map(catalogue.resolve, ("p", "p:fast", "qwen3-8b:general"))
    assert (usual.name, usual.preset, usual.sampling) == ("p", "mine", SamplingSettings(seed=1, top_k=5))
    assert (fast.name, fast.preset, fast.reasoning, fast.sampling.seed) == ("p", "fast", "none", 1)
    assert (found.name, found.sampling.temperature) == ("Qwen3-8B", 0.6)
    assert catalogue.resolve("p:general").sampling == SamplingSettings(seed=1, top_k=6)  # nothing is mixed in
    assert catalogue.resolve("q").sampling == SamplingSettings()
    assert catalogue.resolve("p:fast") is fast
    assert usual.thinking == Thinking(switch="enable_thinking", bounded=True)
    assert usual.request is not None
    assert found.request is None


@pytest.mark.anyio
async def test_an_auto_name_gives_the_preset_to_those_who_have_it(tmp_path: Path) -> None:
    model(tmp_path, "a")
    own = Profile(model="a", presets={"coding": PresetSettings(top_k=5)})
    config = Config(
        profiles={"has": own, "not": Profile(model="a")}, auto={"any": AutoSettings(profiles=("not", "has"))}
    )
    catalogue = await opened(tmp_path, config)
    served = catalogue.resolve("any:coding")
    assert (served.name, served.preset) == ("not", "")
    only = Config(profiles={"has": own}, auto={"any": AutoSettings(profiles=("has",))})
    await catalogue.configure(only)
    assert (catalogue.resolve("any:coding").name, catalogue.resolve("any:coding").preset) == ("has", "coding")
    with pytest.raises(UnknownProfile, match="no preset"):
        catalogue.resolve("any:none")


@pytest.mark.anyio
async def test_the_template_that_the_engine_uses_says_how_it_reasons(tmp_path: Path) -> None:
    model(tmp_path, "a", "{% if enable_thinking %}")
    file = tmp_path / "other.jinja"
    file.write_text("Reasoning: {{ reasoning_effort }}")
    by_file, gone, by_text = (
        Profile(model="a", engine=EngineSettings(extra_args=arguments))
        for arguments in (
            ("--chat-template-file", str(file)),
            ("--chat-template-file", str(tmp_path / "gone")),
            ("--chat-template", "{% if thinking %}"),
        )
    )
    catalogue = await opened(tmp_path, Config(profiles={"file": by_file, "gone": gone, "text": by_text}))
    assert catalogue.resolve("a").thinking == Thinking(switch="enable_thinking")
    assert catalogue.resolve("file").thinking == Thinking(levels=("low", "medium", "high"))
    assert catalogue.resolve("gone").thinking == Thinking()
    assert catalogue.resolve("text").thinking == Thinking(switch="thinking")
