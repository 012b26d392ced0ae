"""Every mistake is named with its place, its key, what is wrong, and what was probably meant."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.config.load import load, parse
from hostler.config.settings import Home
from hostler.errors import ConfigError

FILE = Path("hostler.toml")
COMMAND = '[profiles.a]\nmodel = "m"\n[profiles.a.engine]\nkind = "command"\n'


def problems(text: str, environ: dict[str, str] | None = None, flags: dict[str, object] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, FILE, environ, flags)
    assert all(line in caught.value.message for line in caught.value.problems)
    assert "hostler config check" in caught.value.hint
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[gateway]\nprot = 1", 'hostler.toml:2: gateway.prot: unknown key; did you mean "port"?'),
        ("[gatway]\nport = 1", 'hostler.toml:1: gatway: unknown key; did you mean "gateway"?'),
        (
            "[gateway]\nqqq = 1",
            "hostler.toml:2: gateway.qqq: unknown key; known here: host, port, default, preload, cors, "
            "send_loading_state, remote_images, ollama_port, keep_alive",
        ),
        (
            '[profiles.a]\nmodel = "m"\ngroup = "bench"\n[groups.bnch]\nexclusive = true',
            'hostler.toml:5: groups.bnch.exclusive: no profile has `group = "bnch"`; did you mean "bench"?',
        ),
        (
            '[profiles.a]\nmodel = "m"\ngroup = "g"\n[groups.g]\nexclusive = true\ntogether = true',
            "hostler.toml:6: groups.g.together: a group cannot be `exclusive` and `together`",
        ),
        (
            '[groups.g]\nexclusive = true\n[profiles.a]\nmodel = "m"\ngroup = "g"\npin = true\n'
            '[profiles.b]\nmodel = "m"\ngroup = "g"\npin = true',
            'hostler.toml:10: profiles.b.pin: "a" and "b" are pinned, but at most one of group "g" may be loaded',
        ),
        ("[gateway]\nport = 'x'", 'hostler.toml:2: gateway.port: "x" is wrong: expected an integer from 0 to 65535'),
        (
            "[gateway]\nport = 99999",
            "hostler.toml:2: gateway.port: 99999 is wrong: expected an integer from 0 to 65535",
        ),
        ("[gateway]\nport = true", "hostler.toml:2: gateway.port: true is wrong: expected an integer from 0 to 65535"),
        (
            "[gateway]\npreload = 'a'",
            'hostler.toml:2: gateway.preload: "a" is wrong: expected a list of texts',
        ),
        ("gateway = 3", "hostler.toml:1: gateway: 3 is wrong: expected a table"),
        (
            "[limits]\n\nbody = '12 XB'",
            'hostler.toml:3: limits.body: "12 XB" is wrong: expected a size: bytes, or text such as "12 GiB"',
        ),
        (
            "[limits]\nload_s = 'never'",
            'hostler.toml:2: limits.load_s: "never" is wrong: expected a duration: seconds, or text such as "10m"',
        ),
        (
            COMMAND,
            "default: profiles.a.engine.argv: it is empty; a `command` needs a program and its arguments, such as "
            '["vllm", "--port", "${PORT}"]',
        ),
        (
            COMMAND + 'argv = ["serve", "--port", "80"]',
            "hostler.toml:5: profiles.a.engine.argv: ${PORT} is in none of its arguments, nor in `env`: the program "
            "cannot know where to listen",
        ),
        (
            COMMAND + 'argv = ["serve", "${PORT}"]\nhealth = "up"',
            'hostler.toml:6: profiles.a.engine.health: "up" is wrong: expected a path such as "/health", or "none"',
        ),
        (
            COMMAND + 'argv = ["serve", "${PORT}"]\nthreads = 4',
            "hostler.toml:6: profiles.a.engine.threads: a `command` does not take it: write it into `argv` as its "
            "program wants it",
        ),
        (
            '[profiles.a]\nmodel = "m"\nengine.argv = ["serve", "${PORT}"]',
            'hostler.toml:3: profiles.a.engine.argv: only a profile with `kind = "command"` has it',
        ),
        (
            '[profiles.a]\nmodel = "m"\ntask = "speech"',
            'hostler.toml:3: profiles.a.task: "speech" is done by a program of yours: write `kind = "command"` in '
            "`engine`",
        ),
        (
            '[profiles.a]\nmodel = "m"\nengine.model_name = "b"',
            'hostler.toml:3: profiles.a.engine.model_name: only a profile with `kind = "command"` has it',
        ),
        ("[limits]\nload_s = 0", "hostler.toml:2: limits.load_s: 0 would refuse everything; it must be above 0"),
        (
            "[limits]\nqueue_timeout_s = -1",
            "hostler.toml:2: limits.queue_timeout_s: -1 is wrong: "
            'expected a duration: seconds, or text such as "10m", or "never"',
        ),
        (
            "[log]\nlevel = 'debgu'",
            'hostler.toml:2: log.level: "debgu" is wrong: '
            'expected one of "debug", "info", "warning", "error"; did you mean "debug"?',
        ),
        (
            "[memory.budget]\nhost = []",
            'hostler.toml:2: memory.budget.host: [] is wrong: expected a size: bytes, or text such as "12 GiB"',
        ),
        ("[profiles.a]\nslots = 1", "hostler.toml:1: profiles.a: `model` is missing; every profile needs it"),
        ("[profiles.a]\nmodle = 'x'", 'hostler.toml:2: profiles.a.modle: unknown key; did you mean "model"?'),
        ("[profiles.a]\nmodel = ''", 'hostler.toml:2: profiles.a.model: "" is wrong: expected text that is not empty'),
        (
            "profiles.a = { model = 'x',  context = -5 }",
            'hostler.toml:1: profiles.a.context: -5 is wrong: expected an integer of at least 16, or "max"',
        ),
        (
            "[profiles.a]\nmodel = 'x'\n[profiles.a.sampling]\ntemperature = nan",
            "hostler.toml:4: profiles.a.sampling.temperature: nan is wrong: expected a number of at least 0",
        ),
        (
            "[profiles.a]\nmodel = 'x'\nengine.batch = 4\nengine.ubatch = 8",
            "hostler.toml:4: profiles.a.engine.ubatch: 8 is wrong: expected at most `batch`, 4",
        ),
        (
            "[profiles.a]\nmodel = 'x'\ntask = 'rerank'\nembeddings = true",
            'hostler.toml:4: profiles.a.embeddings: a profile with task = "rerank" gives no embeddings',
        ),
        (
            "[profiles.'a b']\nmodel = 'x'",
            'hostler.toml:1: profiles."a b": a name begins with a letter or digit, '
            "has letters, digits and . _ : / - and at most 128",
        ),
        ("[profiles.auto]\nmodel = 'x'", "hostler.toml:1: profiles.auto: the name is reserved"),
        (
            "[profiles.a]\nmodel = 'x'\naliases = ['b']\n[profiles.b]\nmodel = 'x'",
            'hostler.toml:3: profiles.a.aliases: "b" is the name of a profile already',
        ),
        (
            "[profiles.a]\nmodel = 'x'\naliases = ['t']\n[profiles.b]\nmodel = 'x'\naliases = ['t']",
            'hostler.toml:6: profiles.b.aliases: "t" is an alias of profile "a" already',
        ),
        (
            "[profiles.a]\nmodel = 'x'\naliases = ['']",
            'hostler.toml:3: profiles.a.aliases: "" is no name: it needs 1 to 128 characters without spaces',
        ),
        (
            "[profiles.a]\nmodel = 'x'\naliases = ['auto']",
            'hostler.toml:3: profiles.a.aliases: the name "auto" is reserved',
        ),
        (
            "[profiles.small]\nmodel = 'x'\n[profiles.b]\nextends = 'smal'",
            'hostler.toml:4: profiles.b.extends: no profile is named "smal"; did you mean "small"?',
        ),
    ],
)
def test_a_mistake_is_named(text: str, line: str) -> None:
    assert line in problems(text)


def test_all_mistakes_come_at_once_in_the_order_of_the_file() -> None:
    text = "[gateway]\nport = -1\nhots = 1\n[log]\nkeep = -1\n[profiles.a]\nslots = 0\n"
    lines = problems(text, {"HOSTLER_GATEWAY__HOST__X": "1"}, {"log.level": 1})
    assert [line.split(": ")[0] for line in lines] == [
        "hostler.toml:2",
        "hostler.toml:3",
        "hostler.toml:5",
        "hostler.toml:6",
        "hostler.toml:7",
        "env:HOSTLER_GATEWAY__HOST__X",
        "flag:--log-level",
    ]


def test_a_misspelt_required_key_is_one_mistake() -> None:
    assert len(problems("[profiles.a]\nmodle = 'x'\n")) == 1
    assert len(problems("[profiles.a]\nmodel = 3\n")) == 1


def test_a_cycle_is_drawn_once() -> None:
    text = "[profiles.c]\nmodel = 'x'\nextends = 'a'\n[profiles.a]\nextends = 'b'\n[profiles.b]\nextends = 'a'\n"
    assert [line for line in problems(text) if "itself" in line] == [
        "hostler.toml:5: profiles.a.extends: the profile extends itself: a -> b -> a"
    ]


def test_a_profile_that_extends_itself() -> None:
    assert problems("[profiles.a]\nmodel = 'x'\nextends = 'a'\n") == [
        "hostler.toml:3: profiles.a.extends: the profile extends itself: a -> a"
    ]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        (
            "HOSTLER_GATEWAY__PROT",
            "1",
            'env:HOSTLER_GATEWAY__PROT: gateway.prot: unknown key; did you mean "HOSTLER_GATEWAY__PORT"?',
        ),
        (
            "HOSTLER_GATEWAY__PORT",
            "99999",
            "env:HOSTLER_GATEWAY__PORT: gateway.port: 99999 is wrong: expected an integer from 0 to 65535",
        ),
        (
            "HOSTLER_GATEWAY",
            "__",
            "",
        ),
        (
            "HOSTLER_PROFILES__NEW__SLOTS",
            "2",
            "env:HOSTLER_PROFILES__NEW__SLOTS: profiles.new: `model` is missing; every profile needs it",
        ),
        (
            "HOSTLER_GATEWAY__PORT__X",
            "1",
            "env:HOSTLER_GATEWAY__PORT__X: gateway.port: it is a value, not a table, so `X` cannot follow",
        ),
    ],
)
def test_a_mistake_in_a_variable_names_the_variable(name: str, text: str, line: str) -> None:
    if line:
        assert problems("", {name: text}) == [line]
    else:
        assert parse("", FILE, {name: text}).explicit == frozenset()


def test_a_variable_that_may_mean_two_profiles_is_refused() -> None:
    text = "[profiles.a-b]\nmodel = 'x'\n[profiles.'a.b']\nmodel = 'x'\n"
    assert problems(text, {"HOSTLER_PROFILES__A_B__SLOTS": "2"}) == [
        'env:HOSTLER_PROFILES__A_B__SLOTS: profiles.A_B: it may mean "a-b" or "a.b"'
    ]


def test_the_whole_message_reads_as_sentences() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("[gateway]\nprot = 1", FILE)
    assert str(caught.value) == (
        'hostler.toml:2: gateway.prot: unknown key; did you mean "port"? Correct it, then run `hostler config check`.'
    )
    with pytest.raises(ConfigError) as caught:
        parse("[gateway]\nport = -1\nhost = 1", FILE)
    assert caught.value.message == (
        "2 things are wrong in the configuration:\n"
        "  hostler.toml:2: gateway.port: -1 is wrong: expected an integer from 0 to 65535\n"
        "  hostler.toml:3: gateway.host: 1 is wrong: expected text."
    )


def test_a_mistake_in_a_flag_names_the_flag() -> None:
    assert problems("", {}, {"gateway.port": "x"}) == [
        'flag:--port: gateway.port: "x" is wrong: expected an integer from 0 to 65535'
    ]


@pytest.mark.parametrize(
    ("text", "begin"),
    [
        ("[gateway]\nport = = 1\n", "hostler.toml:2: not valid TOML: "),
        ("[gateway]\nport = 1\nport = 2\n", "hostler.toml:3: not valid TOML: "),
        ('[gateway]\nhost = """x\n\n', "hostler.toml:2: not valid TOML: "),
        ("x = " + "[" * 5000, "hostler.toml: not valid TOML: nested too deeply"),
    ],
)
def test_what_is_not_toml_has_its_line(text: str, begin: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, FILE)
    assert caught.value.message.startswith(begin)


def test_a_long_value_is_not_repeated_whole() -> None:
    assert len(problems(f"[gateway]\nport = '{'x' * 5000}'\n")[0]) < 300


def test_a_file_that_is_not_text_says_where(tmp_path: Path) -> None:
    file = tmp_path / "hostler.toml"
    file.write_bytes(b"[gateway]\nhost = '\xff'\n")
    with pytest.raises(ConfigError, match=r"hostler\.toml:2: the file is not UTF-8 \(byte 18\)"):
        load(_home(file), {}, {})


def test_a_folder_in_place_of_the_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(_home(tmp_path), {}, {})


def _home(file: Path) -> Home:
    folder = file.parent
    return Home(config_file=file, models=folder, state=folder, cache=folder, logs=folder)


KEYS = ["gateway", "port", "preload", "memory", "budget", "limits", "body", "profiles", "a", "b", "model", "aliases"]
KEYS += ["extends", "engine", "env", "sampling", "ttl", "context", "task", "log", "level"]
scalars = (
    st.none().map(lambda _none: "never")
    | st.booleans()
    | st.integers(-5, 70_000)
    | st.floats()
    | st.sampled_from(["a", "b", "auto", "1 GiB", "chat", "info", ""])
    | st.datetimes()
    | st.dates()
)
data = st.recursive(
    scalars | st.lists(scalars, max_size=2),
    lambda inner: st.dictionaries(st.sampled_from(KEYS), inner, max_size=4) | st.lists(inner, max_size=2),
    max_leaves=12,
)
variables = st.lists(st.sampled_from(KEYS), min_size=1, max_size=5).map(
    lambda parts: "HOSTLER_" + "__".join(parts).upper()
)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(KEYS), data, max_size=4),
    st.dictionaries(
        variables, st.sampled_from(["1", "x", "[]", "{}", "'a'", "{ a = 1 }", "[1, 'a']", "nan"]), max_size=2
    ),
)
def test_whatever_is_written_is_a_configuration_or_a_named_mistake(
    document: dict[str, object], environ: dict[str, str]
) -> None:
    text = tomlkit.dumps(document)
    try:
        named = [str(source) for source in parse(text, FILE, environ).sources.values()]
    except ConfigError as error:
        named = list(error.problems)
    assert all(line.startswith(("default", "hostler.toml:", "env:HOSTLER_")) for line in named)
