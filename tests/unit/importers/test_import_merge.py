"""Imported profiles beside those that are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostler.config.edit import NewProfile, with_profiles
from hostler.config.load import parse
from hostler.config.settings import Config, Profile
from hostler.errors import ConfigError
from hostler.importers.merge import Merge, merge
from hostler.importers.protocol import Imported, ImportedProfile, Note

SOURCE = Path("source.ini")


def profile(name: str, *aliases: str, **fields: object) -> ImportedProfile:
    named: dict[str, object] = {"model": f"/{name}.gguf", **fields}
    return ImportedProfile(name=name, line=1, fields=named | ({"aliases": aliases} if aliases else {}))


def merged(*profiles: ImportedProfile, existing: Config | None = None, only: tuple[str, ...] = ()) -> Merge:
    return merge(Imported(profiles=profiles), existing or Config(), SOURCE, only)


def names(result: Merge) -> list[str]:
    return [each.name for each in result.profiles]


def test_a_name_that_is_taken_gets_a_number_and_nothing_is_overwritten() -> None:
    there = Config(profiles={"a": Profile(model="/other.gguf"), "b": Profile(model="/b.gguf", aliases=("c",))})
    result = merged(profile("a"), profile("c"), existing=there)
    assert names(result) == ["a-2", "c-2"]
    assert "`a` is taken" in str(result.notes[0])


def test_importing_twice_adds_nothing() -> None:
    source = [profile("a", "x", context=4096, ttl="10m"), profile("b c", "x", engine={"cache_ram": "2 GiB"})]
    text = ""
    for _ in range(3):
        result = merged(*source, existing=parse(text, Path("f")).config)
        new = [NewProfile(name=each.name, fields=each.fields) for each in result.profiles]
        text = with_profiles(text, Path("f"), new)
    assert result.present == ("a", "b c")
    assert text.count("[profiles.") == 3


def test_one_that_got_a_number_is_known_again() -> None:
    there = Config(profiles={"a": Profile(model="/other.gguf"), "a-2": Profile(model="/a.gguf")})
    assert merged(profile("a"), existing=there).present == ("a",)


def test_names_and_aliases_that_cannot_be_are_changed_or_left_out() -> None:
    result = merged(profile("my model!", "auto", "two words", "fine"), profile("fine", "my-model"), profile("auto"))
    assert names(result) == ["my-model", "fine", "auto-2"]
    assert [each.fields.get("aliases") for each in result.profiles] == [None, None, None]
    assert len(result.notes) == 7


def test_a_name_that_changed_stays_callable_if_it_can() -> None:
    (only,) = merged(profile("größe")).profiles
    assert only.name == "gr-e"
    assert only.fields["aliases"] == ("größe",)


def test_only_takes_what_is_named_and_suggests() -> None:
    notes = tuple(Note(file="f", line=n, what="w", why="y", profile=name) for n, name in enumerate(("a", "b", None)))
    source = Imported(profiles=(profile("a"), profile("b")), notes=notes)
    result = merge(source, Config(), SOURCE, ["b"])
    assert names(result) == ["b"]
    assert [note.profile for note in result.notes] == ["b", None]
    with pytest.raises(ConfigError, match=r'source.ini: no profile is named "ab"; did you mean|"ab"'):
        merge(source, Config(), SOURCE, ["ab"])
