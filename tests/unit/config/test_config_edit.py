from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostler.config.edit import add_profile, remove_profile, set_value
from hostler.config.load import parse
from hostler.errors import ConfigError

TEXT = """\
# my machine
[gateway]
port = 1 # mine

# about a
[profiles.a]
model = "a.gguf" # small
[profiles.a.sampling]
temperature = 0.5

# about b
# in two lines
[profiles.b]
extends = "a"

[log] # last
level = "info"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "hostler.toml"
    file.write_text(TEXT, encoding="utf-8")
    file.chmod(0o640)
    return file


def test_a_profile_is_added_at_the_end_and_the_rest_stays_byte_for_byte(file: Path) -> None:
    fields = {"model": "c.gguf", "context": 4096, "task": None, "aliases": ("cc",), "engine": {"threads": 2}}
    add_profile(file, "Qwen3-0.6B", fields, comment="found in the library\nQ4_0")
    text = file.read_text(encoding="utf-8")
    assert text == TEXT + (
        "\n# found in the library\n# Q4_0\n"
        '[profiles."Qwen3-0.6B"]\nmodel = "c.gguf"\ncontext = 4096\naliases = ["cc"]\n'
        '\n[profiles."Qwen3-0.6B".engine]\nthreads = 2\n'
    )
    profile = parse(text, file).config.profiles["Qwen3-0.6B"]
    assert (profile.context, profile.aliases, profile.engine.threads) == (4096, ("cc",), 2)


def test_the_files_mode_stays_and_no_other_file_is_left(file: Path) -> None:
    add_profile(file, "c", {"model": "c.gguf"}, None)
    assert file.stat().st_mode & 0o777 == 0o640
    assert os.listdir(file.parent) == ["hostler.toml"] or set(os.listdir(file.parent)) == {"home", "hostler.toml"}


def test_a_missing_file_is_made_readable_by_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "new" / "hostler.toml"
    add_profile(file, "c", {"model": "c.gguf"})
    assert file.read_text(encoding="utf-8") == '[profiles.c]\nmodel = "c.gguf"\n'
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_link_to_the_file_stays_a_link(file: Path) -> None:
    link = file.with_name("link.toml")
    link.symlink_to(file)
    add_profile(link, "c", {"model": "c.gguf"})
    assert link.is_symlink()
    assert "profiles.c" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda file: add_profile(file, "a", {"model": "x"}), 'a profile named "a" exists already'),
        (lambda file: add_profile(file, "c", {"modle": "x"}), 'unknown key; did you mean "model"'),
        (lambda file: add_profile(file, "no spaces", {"model": "x"}), "a name begins with"),
        (lambda file: add_profile(file, "c", {"model": "x", "aliases": ["a"]}), "is the name of a profile already"),
        (lambda file: set_value(file, "gateway.prot", 1), 'did you mean "port"'),
        (lambda file: set_value(file, "gateway.port", -1), "-1 is wrong"),
        (lambda file: set_value(file, "gateway.port.x", 1), "is a value, not a table"),
        (lambda file: remove_profile(file, "a"), 'no profile is named "a"'),
        (lambda file: remove_profile(file, "bb"), 'no profile is named "bb"; did you mean "b"?'),
    ],
)
def test_a_wrong_edit_is_refused_and_changes_nothing(file: Path, edit: Callable[[Path], None], message: str) -> None:
    before = file.stat()
    with pytest.raises(ConfigError) as caught:
        edit(file)
    assert message in caught.value.message
    assert file.read_text(encoding="utf-8") == TEXT
    assert file.stat().st_ino == before.st_ino


def test_a_value_is_set_in_its_place_with_its_comment(file: Path) -> None:
    set_value(file, "gateway.port", 4785)
    assert file.read_text(encoding="utf-8") == TEXT.replace("port = 1 # mine", "port = 4785 # mine")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gateway.host", "0.0.0.0"),
        ("limits.body", "1 MiB"),
        ("memory.budget.host", "12 GiB"),
        ("profiles.a.aliases", ["x", "y"]),
        ("profiles.b.sampling.top_k", 3),
        ("profiles.a.engine.env.FOO", "1"),
        ("profiles.b.context", 2048),
    ],
)
def test_a_new_value_makes_its_tables(file: Path, key: str, value: object) -> None:
    set_value(file, key, value)
    text = file.read_text(encoding="utf-8")
    assert key in parse(text, file).explicit
    assert all(line in text for line in TEXT.splitlines())


def test_a_removed_profile_takes_its_tables_and_its_comment_along(file: Path) -> None:
    remove_profile(file, "b")
    expected = TEXT.replace('# about b\n# in two lines\n[profiles.b]\nextends = "a"\n\n', "")
    assert file.read_text(encoding="utf-8") == expected
    remove_profile(file, "a")
    assert (
        file.read_text(encoding="utf-8") == '# my machine\n[gateway]\nport = 1 # mine\n\n[log] # last\nlevel = "info"\n'
    )


def test_what_is_not_written_as_a_table_is_left_to_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "hostler.toml"
    text = 'profiles = { a = { model = "x" }, b = { model = "y" } }\n'
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be changed safely"):
        remove_profile(file, "a")
    with pytest.raises(ConfigError, match="not valid TOML"):
        add_profile(file, "c", {"model": "z"})
    assert file.read_text(encoding="utf-8") == text


def test_a_broken_file_is_not_edited(tmp_path: Path) -> None:
    file = tmp_path / "hostler.toml"
    file.write_text("[gateway\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"hostler\.toml:1: not valid TOML"):
        add_profile(file, "c", {"model": "z"})


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,8}", fullmatch=True).filter(lambda name: name != "auto")
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names, texts, texts, st.dictionaries(texts, texts, max_size=2))
def test_any_profile_added_reads_back_and_leaves_as_it_came(
    tmp_path: Path, name: str, model: str, comment: str, env: dict[str, str]
) -> None:
    file = tmp_path / "hostler.toml"
    text = '[gateway]\nport = 1\n\n# x\n[profiles."keep it"]\n'.replace('"keep it"', "kept-as-it-was") + 'model = "m"\n'
    file.write_text(text, encoding="utf-8")
    add_profile(file, name, {"model": model, "engine": {"env": env}}, comment)
    profile = parse(file.read_text(encoding="utf-8"), file).config.profiles[name]
    assert (profile.model, profile.engine.env) == (model, env)
    remove_profile(file, name)
    assert parse(file.read_text(encoding="utf-8"), file).config == parse(text, file).config
