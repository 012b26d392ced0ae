"""The catalogue: profiles of the config, one for each model found, and what is asked of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from hostler.clock import SystemClock
from hostler.config.quantities import Bytes
from hostler.config.settings import Config, EngineSettings, GatewaySettings, Profile
from hostler.errors import ConfigError, FlagConflict, ModelError, UnknownProfile
from hostler.fleet.profiles.catalogue import ProfileCatalogue
from hostler.models.facts import GgufFacts, Model
from hostler.models.library import FactsCache, Library
from hostler.testing.gguf_files import write_tiny_gguf

pytestmark = pytest.mark.anyio


class Shelf:
    """A models folder, a catalogue over it, and who asked most recently."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder = folder
        self.used: str | None = None
        self.catalogue = ProfileCatalogue(config, self.library, SystemClock(), lambda: self.used)

    def library(self, config: Config) -> Library:
        return Library(self.folder, (), False, {})

    def put(self, name: str, without: Sequence[str] = ()) -> Path:
        return write_tiny_gguf(self.folder / name, without=without)


async def test_a_found_model_is_a_profile_without_a_word_of_toml(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, Config())
    shelf.put("Tiny.gguf")
    await shelf.catalogue.open()
    assert shelf.catalogue.resolve("tiny").name == "Tiny"
    assert [(entry.name, entry.origin) for entry in shelf.catalogue.entries()] == [("Tiny", "library")]


async def test_what_comes_later_is_found_by_looking_again(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, Config())
    await shelf.catalogue.open()
    with pytest.raises(UnknownProfile):
        shelf.catalogue.resolve("late")
    shelf.put("late.gguf")
    await shelf.catalogue.refresh()
    assert shelf.catalogue.resolve("late").name == "late"


async def test_a_model_that_a_profile_names_is_hidden_and_still_callable(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, Config(profiles={"mine": Profile(model="tiny.gguf", aliases=("claude-*",))}))
    shelf.put("tiny.gguf")
    await shelf.catalogue.open()
    assert {entry.name: entry.profile.hidden for entry in shelf.catalogue.entries()} == {"mine": False, "tiny": True}
    assert shelf.catalogue.resolve("claude-opus").name == "mine"
    assert shelf.catalogue.resolve("tiny").name == "tiny"


async def test_a_request_without_a_name_goes_to_the_default_then_to_the_recent_one(tmp_path: Path) -> None:
    profiles = {name: Profile(model="tiny.gguf") for name in ("a", "b")}
    shelf = Shelf(tmp_path, Config(profiles=profiles))
    shelf.put("tiny.gguf")
    await shelf.catalogue.open()
    with pytest.raises(UnknownProfile):
        shelf.catalogue.resolve(None)
    shelf.used = "b"
    assert shelf.catalogue.resolve(None).name == "b"
    await shelf.catalogue.configure(Config(profiles=profiles, gateway=GatewaySettings(default="a")))
    assert shelf.catalogue.resolve(None).name == "a"


async def test_why_a_profile_cannot_load_is_said_with_it(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, Config(profiles={"gone": Profile(model="gone.gguf"), "cut": Profile(model="cut.gguf")}))
    cut = shelf.put("cut.gguf")
    cut.write_bytes(cut.read_bytes()[:40])
    await shelf.catalogue.open()
    problems = {entry.name: entry.problem for entry in shelf.catalogue.entries() if entry.origin == "config"}
    assert "gone.gguf" in str(problems["gone"])
    assert str(cut) in str(problems["cut"])
    with pytest.raises(ModelError, match=r"cut\.gguf"):
        shelf.catalogue.spec("cut")


async def test_chat_without_a_template_is_refused_with_the_way_out(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, Config(profiles={"base": Profile(model="base.gguf", task="chat")}))
    shelf.put("base.gguf", without=["tokenizer.chat_template"])
    await shelf.catalogue.open()
    with pytest.raises(ConfigError) as refused:
        shelf.catalogue.spec("base")
    assert "completion" in refused.value.hint


async def test_headers_are_read_beside_the_loop(tmp_path: Path) -> None:
    """With fifty models the first list of profiles once held every stream up for a second."""
    shelf = Shelf(tmp_path, Config())
    for number in range(3):
        shelf.put(f"m{number}.gguf")
    readers: list[int] = []

    class Watched(FactsCache):
        def facts(self, model: Model) -> GgufFacts:
            readers.append(threading.get_ident())
            return super().facts(model)

    shelf.catalogue = ProfileCatalogue(Config(), shelf.library, SystemClock(), lambda: None, Watched())
    await shelf.catalogue.refresh()
    assert len(readers) == 3
    assert threading.get_ident() not in readers


async def test_as_many_tokens_as_fit_are_what_was_planned_or_what_is_loaded(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, Config(profiles={"wide": Profile(model="tiny.gguf", context="max")}))
    shelf.put("tiny.gguf")
    resident: list[int] = []
    shelf.catalogue = ProfileCatalogue(
        shelf.catalogue.config,
        shelf.library,
        SystemClock(),
        lambda: None,
        resident=lambda _: next(iter(resident), None),
    )
    await shelf.catalogue.open()
    planned = shelf.catalogue.resolve("wide").context
    (entry,) = [each for each in shelf.catalogue.entries() if each.name == "wide"]
    spec, want = shelf.catalogue.spec("wide")
    assert planned == entry.context == spec.context
    assert spec.bytes == want.need == spec.plan.need
    resident.append(1234)
    assert shelf.catalogue.resolve("wide").context == 1234
    assert [each.context for each in shelf.catalogue.entries() if each.name == "wide"] == [1234]


async def test_a_profile_that_runs_with_less_after_running_out_of_memory_says_so(tmp_path: Path) -> None:
    # Lists went on showing what is set, and clients sent prompts that the engine refused.
    shelf = Shelf(tmp_path, Config(profiles={"set": Profile(model="tiny.gguf", context=4096)}))
    shelf.put("tiny.gguf")
    resident: list[int] = []
    shelf.catalogue = ProfileCatalogue(
        shelf.catalogue.config,
        shelf.library,
        SystemClock(),
        lambda: None,
        resident=lambda _: next(iter(resident), None),
    )
    await shelf.catalogue.open()
    for real in (4096, 2048):
        assert shelf.catalogue.resolve("set").context == real
        assert [each.context for each in shelf.catalogue.entries() if each.name == "set"] == [real]
        resident.append(2048)


async def test_placing_flags_that_contradict_ours_are_told_at_the_load(tmp_path: Path) -> None:
    engine = EngineSettings(extra_args=("-ngl", "99"))
    shelf = Shelf(tmp_path, Config(profiles={"mine": Profile(model="tiny.gguf", engine=engine)}))
    shelf.put("tiny.gguf")
    await shelf.catalogue.open()
    (entry,) = [each for each in shelf.catalogue.entries() if each.name == "mine"]
    assert (entry.problem, entry.need) == (None, {})
    with pytest.raises(FlagConflict, match="placement"):
        shelf.catalogue.spec("mine")


async def test_the_plan_of_a_profile(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, Config(profiles={"mine": Profile(model="tiny.gguf"), "lost": Profile(model="none.gguf")}))
    shelf.put("tiny.gguf")
    await shelf.catalogue.open()
    told = shelf.catalogue.plan("mine")
    assert (told.profile, told.model.name) == ("mine", "tiny")
    assert told.flags
    with pytest.raises(ModelError):
        shelf.catalogue.plan("lost")
    with pytest.raises(UnknownProfile):
        shelf.catalogue.plan("nobody")


async def test_a_model_that_drafts_is_counted_and_must_be_there(tmp_path: Path) -> None:
    def drafting(draft: Path) -> Profile:
        return Profile(model="tiny.gguf", engine=EngineSettings(extra_args=("--spec-draft-model", str(draft))))

    lost, small = tmp_path / "lost.gguf", tmp_path / "small.gguf"
    shelf = Shelf(tmp_path, Config(profiles={"quick": drafting(small), "broken": drafting(lost)}))
    shelf.put("tiny.gguf")
    shelf.put("small.gguf")
    await shelf.catalogue.open()
    spec, _ = shelf.catalogue.spec("quick")
    assert spec.plan.bytes["host"].draft > 0
    with pytest.raises(ModelError, match=r"lost\.gguf"):
        shelf.catalogue.spec("broken")


def command(**engine: object) -> EngineSettings:
    return EngineSettings(kind="command", argv=("serve", "${PORT}"), **engine)  # type: ignore[arg-type]


async def test_of_a_program_no_header_is_needed(tmp_path: Path) -> None:
    """`model` is what the program takes it for: the name of something on a hub, or nothing at all."""
    shelf = Shelf(tmp_path, Config(profiles={"other": Profile(model="org/model", engine=command(), pin=True)}))
    await shelf.catalogue.refresh()
    entry = shelf.catalogue.entries()[0]
    assert (entry.problem, entry.need, entry.task, entry.context) == (None, {}, None, None)
    spec, want = shelf.catalogue.spec("other")
    assert str(spec.model.path) == "org/model"
    assert not spec.proves
    assert want.pin
    assert set(want.need.values()) == {0}  # on every device: what it is seen to hold counts from then on
    assert not shelf.catalogue.has_build("other")
    with pytest.raises(ModelError, match="nothing to plan"):
        shelf.catalogue.plan("other")


async def test_what_a_program_declares_is_what_it_needs(tmp_path: Path) -> None:
    engine = command(memory={"host": Bytes(2**30)})
    shelf = Shelf(tmp_path, Config(profiles={"other": Profile(model="tiny.gguf", engine=engine, task="chat")}))
    tiny = shelf.put("tiny.gguf")
    await shelf.catalogue.refresh()
    assert shelf.catalogue.entries()[0].need == {"host": 2**30}
    spec, want = shelf.catalogue.spec("other")
    assert (spec.bytes, want.need, spec.plan.need) == ({"host": 2**30},) * 3
    assert spec.model.path == tiny
    assert spec.proves
