"""Which profile an `auto` name means: rules one after the other, and what comes after it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.clock import SystemClock
from hostler.config.settings import AutoSettings, Config, EngineSettings, GatewaySettings, Profile, SamplingSettings
from hostler.errors import UnknownProfile
from hostler.fleet.profiles.auto import Auto
from hostler.fleet.profiles.catalogue import ProfileCatalogue
from hostler.fleet.protocol import Needs, Served
from hostler.models.library import Library
from hostler.testing.gguf_files import write_tiny_gguf


def served(name: str, context: int, *abilities: str, task: str = "chat") -> Served:
    fields = {"name": name, "task": task, "embeddings": False, "context": context, "abilities": abilities}
    return msgspec.structs.replace(
        msgspec.convert({**fields, "sampling": {}}, Served), sampling=SamplingSettings(), choose=None
    )


SHELF = {
    one.name: one
    for one in (
        served("small", 4096),
        served("handy", 8192, "tools"),
        served("big", 65536, "tools", "images", "reasoning"),
        served("vectors", 512, task="embedding"),
    )
}


def names(auto: Auto, needs: Needs, *loaded: str) -> list[str]:
    return [one.name for one in auto.chosen(needs, SHELF.__getitem__, lambda name: name in loaded)]


def auto(*profiles: str, rules: tuple[str, ...] = AutoSettings().rules, fallback: tuple[str, ...] = ()) -> Auto:
    settings = msgspec.convert({"profiles": profiles, "rules": rules, "fallback": fallback}, AutoSettings)
    return Auto(name="any", settings=settings, profiles=profiles, fallback=fallback)


ALL = ("small", "handy", "big")
PLAIN = Needs()


@pytest.mark.parametrize(
    ("needs", "loaded", "first"),
    [
        (Needs(), (), "small"),
        (Needs(), ("big",), "big"),
        (Needs(tokens=5000), (), "handy"),
        (Needs(tokens=5000), ("small",), "handy"),
        (Needs(tokens=5000), ("small", "big"), "big"),
        (Needs(abilities=frozenset({"images"})), ("small",), "big"),
        (Needs(abilities=frozenset({"tools"}), tokens=9000), ("handy",), "big"),
        (Needs(tokens=10**6), (), "small"),  # nobody can: the engine of the first says so
        (Needs(context=8192), (), "handy"),
        (Needs(context=8192), ("small",), "handy"),
        (Needs(context=10**6), ("handy",), "handy"),  # what is wished for and nobody has does not count
        (Needs(tokens=5000, context=10**6), ("small",), "handy"),
    ],
)
def test_the_rules_narrow_the_list(needs: Needs, loaded: tuple[str, ...], first: str) -> None:
    assert names(auto(*ALL), needs, *loaded) == [first]


def test_a_remote_is_not_preferred_because_the_model_before_it_has_to_be_loaded() -> None:
    """It is there at all times, so that by the letter of the rule nothing before it would ever be loaded again."""
    shelf = {**SHELF, "cloud": msgspec.structs.replace(SHELF["big"], name="cloud", speaks="openai")}

    def first(*profiles: str, loaded: tuple[str, ...] = (), needs: Needs = PLAIN) -> str:
        return auto(*profiles).chosen(needs, shelf.__getitem__, lambda name: name in ("cloud", *loaded))[0].name

    assert first("small", "cloud") == "small"
    assert first("small", "cloud", loaded=("small",)) == "small"
    assert first("small", "cloud", needs=Needs(tokens=5000)) == "cloud"
    assert first("small", "cloud", needs=Needs(abilities=frozenset({"reasoning"}))) == "cloud"
    assert first("small", "handy", "cloud", loaded=("handy",)) == "handy"
    assert first("cloud", "small", loaded=("small",)) == "cloud"


def test_only_the_rules_that_are_named_count() -> None:
    assert names(auto(*ALL, rules=()), Needs(tokens=5000), "big") == ["small"]
    assert names(auto(*ALL, rules=("loaded", "context")), Needs(tokens=5000), "small") == ["small"]


def test_what_the_api_wants_comes_first() -> None:
    wants = Needs(suits=lambda one: one.task == "embedding")
    assert names(auto(*ALL, "vectors", fallback=("small",)), wants, "small") == ["vectors"]


def test_what_it_falls_back_to_is_never_what_failed() -> None:
    assert names(auto("small", "big", fallback=("big", "handy")), Needs(), "big") == ["big", "handy"]


def test_without_any_profile_it_is_unknown() -> None:
    with pytest.raises(UnknownProfile, match="any"):
        names(auto(), Needs())


@given(
    st.lists(st.sampled_from(sorted(SHELF)), min_size=1, unique=True),
    st.lists(st.sampled_from(["ability", "context", "loaded"]), unique=True),
    st.integers(0, 100_000),
    st.sets(st.sampled_from(["tools", "images", "reasoning"])),
    st.sets(st.sampled_from(sorted(SHELF))),
)
def test_it_is_always_one_of_the_list(
    profiles: list[str], rules: list[str], tokens: int, abilities: set[str], loaded: set[str]
) -> None:
    needs = Needs(tokens=tokens, abilities=frozenset(abilities))  # type: ignore[arg-type]
    assert names(auto(*profiles, rules=tuple(rules)), needs, *loaded)[0] in profiles


@pytest.mark.anyio
async def test_a_catalogue_resolves_and_lists_them(tmp_path: Path) -> None:
    """A name in a list may be an alias, a model that was only found, or another `auto` name; others are left out."""
    write_tiny_gguf(tmp_path / "found.gguf")
    command = EngineSettings(kind="command", argv=("serve", "${PORT}"))
    config = Config(
        profiles={
            "small": Profile(model="found.gguf", aliases=("s",), context=64),
            "far": Profile(model="x", engine=command, context=4096, abilities=("tools",), task="chat"),
        },
        auto={
            "auto": AutoSettings(profiles=("gone", "s", "inner"), fallback=("found",), description="Whatever suits"),
            "inner": AutoSettings(profiles=("far",)),
            "empty": AutoSettings(profiles=("gone",)),
        },
        gateway=GatewaySettings(default="auto"),
    )
    loaded: dict[str, int] = {}
    catalogue = ProfileCatalogue(
        config, lambda _: Library(tmp_path, (), False, {}), SystemClock(), lambda: None, resident=loaded.get
    )
    await catalogue.refresh()
    meant = catalogue.resolve("auto")
    assert catalogue.resolve(None).name == meant.name == "small"
    assert meant.choose is not None
    assert [one.name for one in meant.choose(Needs())] == ["small", "found"]
    assert [one.name for one in meant.choose(Needs(tokens=100))] == ["far", "found"]
    assert meant.choose(Needs(abilities=frozenset({"tools"})))[0].name == "far"
    loaded["far"] = 4096
    assert catalogue.resolve("auto").name == "far"
    assert catalogue.resolve("far").choose is None
    with pytest.raises(UnknownProfile, match="empty"):
        catalogue.resolve("empty")

    listed = {entry.name: entry for entry in catalogue.entries() if entry.origin == "auto"}
    assert list(listed) == ["auto", "inner", "empty"]
    assert (listed["auto"].task, listed["auto"].context) == ("chat", 4096)
    said = "Whatever suits: ability then context then loaded of gone, s, inner"
    assert listed["auto"].profile.description == said
    assert listed["empty"].problem is not None
