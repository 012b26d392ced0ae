"""`auto` names that mean nothing, two things, or themselves are told with their line."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostler.config.load import parse
from hostler.config.profiles import unknown_references
from hostler.errors import ConfigError

FILE = Path("hostler.toml")
TWO = '[profiles.a]\nmodel = "m"\naliases = ["alpha"]\n[profiles.b]\nmodel = "m"\n'


def wrong(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(TWO + text, FILE)
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "[auto.x]",
            "hostler.toml:6: auto.x.profiles: it is empty; an `auto` name needs the profiles that it may mean",
        ),
        (
            "[auto.x]\nprofiles = []",
            "hostler.toml:7: auto.x.profiles: it is empty; an `auto` name needs the profiles that it may mean",
        ),
        ('[auto.a]\nprofiles = ["b"]', 'hostler.toml:7: auto.a.profiles: "a" is the name of a profile already'),
        ('[auto.a]\nprofiles = ["a"]', 'hostler.toml:7: auto.a.profiles: "a" is the name of a profile already'),
        (
            '[auto.alpha]\nprofiles = ["b"]',
            'hostler.toml:7: auto.alpha.profiles: "alpha" is an alias of profile "a" already',
        ),
        ('[auto."x y"]\nprofiles = ["b"]', 'hostler.toml:7: auto."x y".profiles: "x y" is no name'),
        ('[auto.x]\nprofiles = ["x"]', "hostler.toml:7: auto.x.profiles: it comes back to itself: x -> x"),
        (
            '[auto.x]\nprofiles = ["a"]\nfallback = ["y"]\n[auto.y]\nprofiles = ["b", "z"]\n[auto.z]\nprofiles = ["x"]',
            "hostler.toml:8: auto.x.fallback: it comes back to itself: x -> y -> z -> x",
        ),
        ('[auto.x]\nprofiles = ["a"]\nrules = ["fastest"]', "hostler.toml:8: auto.x.rules:"),
    ],
)
def test_what_is_wrong_is_told(text: str, line: str) -> None:
    told = wrong(text)
    assert len(told) == 1
    assert told[0].startswith(line)


def test_the_name_auto_itself_may_be_one() -> None:
    config = parse(f'{TWO}[auto.auto]\nprofiles = ["b", "alpha"]\n[auto.x]\nprofiles = ["auto"]', FILE).config
    assert config.auto["auto"].rules == ("ability", "context", "loaded")
    assert unknown_references(config, []) == []


def test_names_that_nothing_has_are_found_when_models_are_known() -> None:
    config = parse(f'{TWO}[auto.x]\nprofiles = ["a", "found"]\nfallback = ["bb"]', FILE).config
    assert [(each.key, each.name) for each in unknown_references(config, ["found"])] == [("auto.x.fallback", "bb")]
