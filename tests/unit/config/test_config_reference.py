"""What is generated agrees with the loader: schema, example, page."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import jsonschema_rs
import pytest

from hostler.config import reference
from hostler.config.load import parse, show
from hostler.config.profiles import unknown_references
from hostler.config.schema import json_schema
from hostler.errors import ConfigError

ROOT = Path(__file__).parents[3]
FILE = Path("hostler.toml")
VALID = jsonschema_rs.Draft202012Validator(json_schema())


def live(text: str) -> str:
    """The example with every commented key made live."""
    return re.sub(r"^# (?=[a-z_]+ = )", "", text, flags=re.MULTILINE)


def test_the_schema_is_a_schema() -> None:
    jsonschema_rs.meta.validate(json_schema())


def test_the_example_is_accepted_by_loader_and_schema() -> None:
    loaded = parse(reference.example(), FILE)
    assert VALID.is_valid(tomllib.loads(reference.example()))
    assert unknown_references(loaded.config, []) == []
    assert loaded.config.profiles["smollm2-bench"].model == loaded.config.profiles["smollm2"].model


def test_the_example_shows_every_key_and_each_is_right() -> None:
    text = live(reference.example()).replace('extends = "another-profile"', "")
    loaded = parse(text, FILE)
    assert VALID.is_valid(tomllib.loads(text))
    unset = {line.key for line in show(loaded) if line.source == "default" and ".smollm2-bench." not in line.key}
    assert unset == set()
    assert "# extends = " in reference.example()


@pytest.mark.parametrize(
    "text",
    [
        "[gateway]\nport = 0",
        "[limits]\nbody = 5\nhead = '1.5 MiB'\nload_s = 0.5\nidle_stream_s = 'never'\ndrain_s = '1h 30m'",
        "[profiles.'a/b:c']\nmodel = 'x'",
        "[profiles.a]\nmodel = 'x'\n[profiles.b]\nextends = 'a'",
        "[memory]\nbudget = { host = '1 GiB' }",
    ],
)
def test_what_the_loader_takes_the_schema_takes(text: str) -> None:
    parse(text, FILE)
    assert VALID.is_valid(tomllib.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        "zonk = 1",
        "[gateway]\nprot = 1",
        "[gateway]\nport = 65536",
        "[gateway]\nport = '1'",
        "[limits]\nbody = '12 XB'",
        "[limits]\nbody = -1",
        "[limits]\nload_s = 'never'",
        "[limits]\nload_s = '10x'",
        "[log]\nlevel = 'loud'",
        "[profiles.a]\nslots = 1",
        "[profiles.a]\nmodel = ''",
        "[profiles.'a b']\nmodel = 'x'",
        "[profiles.a]\nmodel = 'x'\nengine.env = { A = 1 }",
    ],
)
def test_what_the_schema_refuses_the_loader_refuses(text: str) -> None:
    assert not VALID.is_valid(tomllib.loads(text))
    with pytest.raises(ConfigError):
        parse(text, FILE)


def test_the_page_has_a_heading_and_a_variable_for_every_key() -> None:
    page = reference.page()
    text = live(reference.example()).replace('extends = "another-profile"', "")
    for line in show(parse(text, FILE)):
        if ".smollm2-bench." in line.key:
            continue
        key = (
            line.key.replace("profiles.smollm2.", "profiles.NAME.")
            .replace("profiles.NAME.presets.coding.", "profiles.NAME.presets.NAME.")
            .replace("groups.bench.", "groups.NAME.")
            .replace("auto.any.", "auto.NAME.")
        )
        key = re.sub(
            r"^(memory\.budget|memory\.margin|profiles\.NAME\.(?:engine\.env|engine\.memory|request\.set))\..*",
            r"\1",
            key,
        )
        assert f"### `{key}`" in page
    assert "### `profiles.NAME.extends`" in page
    assert "`HOSTLER_PROFILES__NAME__ENGINE__CACHE_RAM`" in page


def test_every_key_is_described() -> None:
    assert not re.search(r"^### .*\n\n\n", reference.page(), flags=re.MULTILINE)


def test_the_files_in_the_repository_are_up_to_date() -> None:
    for name, text in reference.generated().items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, f"{name}: run `{reference.COMMAND}`"


def test_check_names_what_is_out_of_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main(["--root", str(tmp_path), "--check"]) == 1
    assert "hostler.example.toml is out of date; run `python -m hostler.config.reference`" in capsys.readouterr().err
    assert reference.main(["--root", str(tmp_path)]) == 0
    assert reference.main(["--root", str(tmp_path), "--check"]) == 0
