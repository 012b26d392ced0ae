"""Remotes: their addresses and keys, what is wrong with them, and that no mistake repeats a key."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.config.load import parse, show
from hostler.config.remotes import CONTEXT, SLOTS, Address, address_of, missing_keys
from hostler.errors import ConfigError

FILE = Path("hostler.toml")
KEY = "sk-secret-0123456789"


def remote(*lines: str, url: str = "https://api.example.com/v1", above: str = "") -> str:
    return "\n".join(
        [
            "[profiles.cloud]",
            'model = "big"',
            above,
            "[profiles.cloud.engine]",
            'kind = "remote"',
            f'url = "{url}"',
            *lines,
        ]
    )


def wrong(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, FILE)
    return str(caught.value)


def test_what_is_usual_of_a_remote() -> None:
    loaded = parse(remote('key_env = "KEY"'), FILE)
    profile = loaded.config.profiles["cloud"]
    assert (profile.task, profile.context, profile.slots) == ("chat", CONTEXT, SLOTS)
    assert profile.abilities == ("tools", "images", "reasoning")
    shown = {each.key: each for each in show(loaded)}
    assert (shown["profiles.cloud.slots"].value, shown["profiles.cloud.slots"].source) == (str(SLOTS), "default")


def test_what_is_written_wins() -> None:
    above = 'task = "embedding"\ncontext = 512\nslots = 1\nabilities = []'
    profile = parse(remote('key_env = "none"', above=above), FILE).config.profiles["cloud"]
    assert (profile.task, profile.context, profile.slots, profile.abilities) == ("embedding", 512, 1, ())


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://api.openai.com/v1", Address("api.openai.com", 443, True, "/v1")),
        ("https://api.anthropic.com", Address("api.anthropic.com", 443, True, "/v1")),
        ("https://openrouter.example/api/v1/", Address("openrouter.example", 443, True, "/api/v1")),
        ("http://box:8080", Address("box", 8080, False, "/v1")),
        ("http://[::1]:8080/", Address("::1", 8080, False, "/v1")),
        ("HTTPS://Example.COM:8443/a%20b", Address("example.com", 8443, True, "/a%20b")),
    ],
)
def test_addresses(url: str, address: Address) -> None:
    assert address_of(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "api.openai.com", "ftp://x/v1", "https://", "https://x:99999/v1", f"https://user:{KEY}@x/v1",
        f"https://x/v1?key={KEY}", f"https://x/v1#{KEY}", "https://bücher.example/v1", "https://x/a b", "https://a..b/v1",
        "https://[::1/v1", "https://x/v1\\r\\nHost: y",
    ],
)  # fmt: skip
def test_bad_addresses_are_told_without_what_they_hold(url: str) -> None:
    said = wrong(remote('key_env = "KEY"', url=url))
    assert "hostler.toml:6: profiles.cloud.engine.url: it" in said
    assert KEY not in said


@given(st.text(max_size=40))
def test_an_address_of_any_kind_is_read_or_refused(url: str) -> None:
    try:
        address = address_of(url)
    except ValueError:
        return
    assert address.base.startswith("/")
    assert (address.host + address.base).isascii()
    assert not any(character.isspace() for character in address.host + address.base)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((), "kind: no key is named; set `key_env`"),
        ((f'key_env = "{KEY}"',), "key_env: it is no name of a variable"),
        ((f'key_ring = "{KEY}/with=more"',), "key_ring: it is no name of an entry"),
        (('key_env = "KEY"', 'key_ring = "openai"'), "key_ring: `key_env` says already"),
        (('key_env = "KEY"', "forward_key = true"), "forward_key: `key_env` says already"),
        (('key_env = "KEY"', 'build = "native"'), "build: a `remote` does not take it"),
        (('key_env = "KEY"', 'argv = ["x"]'), "argv: a `remote` does not take it"),
        (('key_env = "KEY"', 'speaks = "gemini"'), "speaks:"),
    ],
)
def test_what_is_wrong_is_told_and_no_key_with_it(lines: tuple[str, ...], said: str) -> None:
    told = wrong(remote(*lines))
    assert f"profiles.cloud.engine.{said}" in told
    assert KEY not in told


def test_an_address_is_needed() -> None:
    assert "hostler.toml:3: profiles.a.engine.kind: `url` is missing" in wrong(
        '[profiles.a]\nmodel = "m"\nengine = {kind = "remote", key_env = "K"}'
    )


def test_as_many_tokens_as_fit_is_known_of_no_remote() -> None:
    assert "context: of a `remote` nobody knows" in wrong(remote('key_env = "K"', above='context = "max"'))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/v1", "http://10.0.0.5:8080", "http://box:8080", "http://a.local"])
def test_near_ones_need_no_key_and_no_tls(url: str) -> None:
    parse(remote(url=url), FILE)
    parse(remote('key_env = "KEY"', url=url), FILE)


def test_far_ones_do_unless_it_is_said_that_they_need_none() -> None:
    parse(remote('key_env = "none"'), FILE)
    parse(remote('key_env = "none"', url="http://open.example"), FILE)
    assert "url: its key would go over the net for all to read" in wrong(
        remote("forward_key = true", url="http://open.example")
    )


def test_what_only_remotes_have() -> None:
    for line in ('url = "https://x"', 'speaks = "anthropic"', 'key_env = "K"', 'key_ring = "k"', "forward_key = true"):
        said = wrong(f'[profiles.a]\nmodel = "m"\n[profiles.a.engine]\n{line}')
        assert 'only a profile with `kind = "remote"` has it' in said


def test_the_example_is_right() -> None:
    text = (Path(__file__).parents[3] / "examples" / "cloud.toml").read_text("utf-8")
    assert set(parse(text, FILE).config.profiles) == {"local", "claude", "gpt", "workstation"}


def test_a_variable_that_is_not_set_is_told() -> None:
    config = parse(remote('key_env = "CLOUD_KEY"'), FILE).config
    (line,) = missing_keys(config, {})
    assert "CLOUD_KEY is not set" in line
    assert missing_keys(config, {"CLOUD_KEY": KEY}) == []
