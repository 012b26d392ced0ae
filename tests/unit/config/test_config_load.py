"""Precedence, sources, extends."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.config import paths
from hostler.config.layers import variable
from hostler.config.load import Loaded, load, parse, show
from hostler.config.profiles import unknown_references
from hostler.config.programs import TASKS_OF_COMMANDS
from hostler.config.quantities import Bytes, Seconds
from hostler.config.settings import Config, Home
from hostler.config.shape import KeyPath, Leaf, Map, Table, dotted, root, split, toml_text

FILE = Path("hostler.toml")
BASE = """\
[profiles.base]
model = "m.gguf"
aliases = ["b"]
pin = true
ttl = "10m"
[profiles.base.sampling]
temperature = 0.5
top_k = 3
[profiles.base.engine]
extra_args = ["--a", "--b"]
env = { ONE = "1", TWO = "2" }
[profiles.middle]
extends = "base"
context = 2048
[profiles.leaf]
extends = "middle"
ttl = "never"
sampling = { temperature = 1 }
engine = { extra_args = ["--c"], env = { TWO = "II" } }
"""


def value_at(loaded: Loaded, path: KeyPath) -> object:
    value: object = loaded.config
    for part in path:
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    return value


def test_without_a_file_everything_is_default(home: Path) -> None:
    loaded = load(_home(home), {}, {})
    assert loaded.config == Config()
    assert loaded.text is None
    assert loaded.explicit == frozenset()
    assert {str(source) for source in loaded.sources.values()} == {"default"}


def _home(folder: Path) -> Home:
    return paths.home({"HOSTLER_HOME": str(folder)})


def test_a_file_is_read_with_types_and_lines(home: Path) -> None:
    (home / "hostler.toml").write_text('[limits]\nbody = "1 MiB"\nload_s = 3\nidle_stream_s = "never"\n', "utf-8")
    loaded = load(_home(home), {}, {})
    limits = loaded.config.limits
    assert (limits.body, limits.load_s, limits.idle_stream_s) == (2**20, 3.0, None)
    assert (type(limits.body), type(limits.load_s)) == (Bytes, Seconds)
    assert str(loaded.sources["limits.load_s"]) == f"{home / 'hostler.toml'}:3"
    assert loaded.explicit == {"limits.body", "limits.load_s", "limits.idle_stream_s"}


def test_a_byte_order_mark_and_windows_line_ends_are_fine(home: Path) -> None:
    (home / "hostler.toml").write_bytes(b"\xef\xbb\xbf[gateway]\r\nport = 1\r\n")
    assert load(_home(home), {}, {}).config.gateway.port == 1


def test_a_variable_without_two_underscores_is_somebody_elses() -> None:
    assert parse(None, FILE, {"HOSTLER_HOME": "/x", "HOSTLER_WHATEVER": "1", "PATH": "/bin"}).config == Config()


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("HOSTLER_GATEWAY__PORT", "8080", "gateway.port", 8080),
        ("HOSTLER_GATEWAY__HOST", "0.0.0.0", "gateway.host", "0.0.0.0"),
        ("HOSTLER_GATEWAY__DEFAULT", "42", "gateway.default", "42"),
        ("HOSTLER_GATEWAY__PRELOAD", '["a", "b"]', "gateway.preload", ("a", "b")),
        ("HOSTLER_LIBRARY__CACHES", "false", "library.caches", False),
        ("HOSTLER_LIMITS__BODY", "1 MiB", "limits.body", 2**20),
        ("HOSTLER_LIMITS__IDLE_STREAM_S", "never", "limits.idle_stream_s", None),
        ("HOSTLER_MEMORY__BUDGET__HOST", "2GiB", "memory.budget.host", 2 * 2**30),
        ("HOSTLER_MEMORY__BUDGET", '{ host = "1 KiB" }', "memory.budget.host", 1024),
        ("HOSTLER_PROFILES__BASE__ENGINE__ENV__My__Var", "x", "profiles.base.engine.env.My__Var", "x"),
        ("HOSTLER_PROFILES__NEW__MODEL", "n.gguf", "profiles.new.model", "n.gguf"),
        ("HOSTLER_GATEWAY__DEFAULT", "a\nb = 1", "gateway.default", "a\nb = 1"),
    ],
)
def test_variables(name: str, text: str, key: str, value: object) -> None:
    loaded = parse(BASE, FILE, {name: text})
    assert value_at(loaded, split(key)) == value
    assert str(loaded.sources[key]) == f"env:{name}"


def test_a_variable_finds_a_profile_whatever_its_case_and_punctuation() -> None:
    text = '[profiles."Qwen3-0.6B"]\nmodel = "q"\n'
    loaded = parse(text, FILE, {"HOSTLER_PROFILES__QWEN3_0_6B__SLOTS": "4"})
    assert loaded.config.profiles["Qwen3-0.6B"].slots == 4
    assert list(loaded.config.profiles) == ["Qwen3-0.6B"]


def test_an_empty_variable_is_not_set() -> None:
    assert parse(None, FILE, {"HOSTLER_GATEWAY__PORT": " "}).config == Config()


def test_a_flag_that_was_not_given_changes_nothing_and_one_that_was_wins() -> None:
    loaded = parse(
        "[gateway]\nport = 1\n", FILE, {"HOSTLER_GATEWAY__PORT": "2"}, {"gateway.port": 0, "log.format": None}
    )
    assert loaded.config.gateway.port == 0
    assert str(loaded.sources["gateway.port"]) == "flag:--port"
    assert str(loaded.sources["log.format"]) == "default"


def test_flags_of_other_sections_carry_the_sections_name() -> None:
    assert str(parse(None, FILE, {}, {"log.format": "json"}).sources["log.format"]) == "flag:--log-format"


def leaves(table: Table, path: KeyPath = ()) -> list[tuple[KeyPath, Leaf]]:
    found: list[tuple[KeyPath, Leaf]] = []
    for name, field in table.fields.items():
        here, shape = (*path, name), field.shape
        if isinstance(shape, Map):
            here, shape = (*here, "p1"), shape.item
        if isinstance(shape, Table):
            found += leaves(shape, here)
        elif isinstance(shape, Leaf) and name != "extends":
            found.append((here, shape))
    return found


def values(leaf: Leaf) -> st.SearchStrategy[object]:
    least, most = int(leaf.least or 0), int(leaf.most if leaf.most is not None else 10_000)
    one: st.SearchStrategy[object] = {
        bool: st.booleans(),
        int: st.integers(least, most),
        float: st.floats(least, most),
        Bytes: st.integers(1, 2**40).map(Bytes),
        Seconds: st.integers(1, 10**6).map(Seconds),
        str: st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),
        object: st.integers(-9, 9) | st.booleans() | st.lists(st.text("ab", max_size=2), max_size=2),
    }[leaf.base]
    if leaf.choices:
        # A `command` is right only with an `argv`, a `remote` with a `url`, and some tasks only for them.
        elsewhere = ("command", "remote", *TASKS_OF_COMMANDS)
        one = st.sampled_from([choice for choice in leaf.choices if choice not in elsewhere])
    return st.just(()) if leaf.many else one


# A lone key of an `auto` name is not right without its profiles, nor what only a `command` or a `remote` has, nor a
# preset that is not there.
OF_OTHERS = ("preset", "model_name", "url", "speaks", "key_env", "key_ring", "forward_key")
KEYS = [key for key in leaves(root()) if key[0][0] != "auto" and key[0][-1] not in OF_OTHERS]


@given(
    st.sampled_from(KEYS).flatmap(
        lambda key: st.tuples(st.just(key), st.tuples(*[values(key[1])] * 3), st.integers(0, 7))
    )
)
def test_the_later_layer_wins_for_every_key(drawn: tuple[tuple[KeyPath, Leaf], tuple[object, ...], int]) -> None:
    (path, _leaf), given_values, layers = drawn
    own_model = path == ("profiles", "p1", "model")
    text = "" if own_model else '[profiles.p1]\nmodel = "m"\n'
    if path[0] == "groups":
        text += 'group = "p1"\n'
    environ, flags, expected = {}, {}, None
    if layers & 1 or own_model:
        line = f"{dotted(path)} = {toml_text(given_values[0])}\n"
        text, expected = (
            line + text if path[0] != "profiles" else dotted_profile(path, given_values[0]),
            (given_values[0], "hostler.toml"),
        )
    if layers & 2:
        environ[env_name(path)] = toml_text(given_values[1])
        expected = given_values[1], "env:" + env_name(path)
    if layers & 4:
        flags[dotted(path)] = given_values[2]
        expected = given_values[2], "flag:"
    loaded = parse(text, FILE, environ, flags)
    source = loaded.sources.get(dotted(path))
    if expected is None:
        assert source is None or str(source) == "default"
    else:
        assert value_at(loaded, path) == expected[0]
        assert str(source).startswith(expected[1])


def env_name(path: KeyPath) -> str:
    if path[-2] == "env":
        return variable(path[:-1]) + "__" + path[-1]
    return variable(path)


def dotted_profile(path: KeyPath, value: object) -> str:
    model = "" if path[2] == "model" else 'model = "m"\n'
    return f"[profiles.p1]\n{model}{dotted(path[2:])} = {toml_text(value)}\n"


def test_extends_merges_tables_replaces_lists_and_keeps_each_line() -> None:
    loaded = parse(BASE, FILE)
    leaf = loaded.config.profiles["leaf"]
    assert leaf.model == "m.gguf"
    assert leaf.context == 2048
    assert leaf.ttl is None
    assert (leaf.sampling.temperature, leaf.sampling.top_k) == (1.0, 3)
    assert leaf.engine.extra_args == ("--c",)
    assert leaf.engine.env == {"ONE": "1", "TWO": "II"}
    assert str(loaded.sources["profiles.leaf.model"]) == "hostler.toml:2"
    assert str(loaded.sources["profiles.leaf.context"]) == "hostler.toml:14"
    assert str(loaded.sources["profiles.leaf.engine.env.TWO"]) == "hostler.toml:19"


def test_aliases_and_pin_stay_with_the_base() -> None:
    profiles = parse(BASE, FILE).config.profiles
    assert (profiles["base"].aliases, profiles["base"].pin) == (("b",), True)
    assert (profiles["leaf"].aliases, profiles["leaf"].pin) == ((), False)


def test_a_change_of_the_base_by_the_environment_reaches_those_that_extend_it() -> None:
    profiles = parse(BASE, FILE, {"HOSTLER_PROFILES__BASE__SLOTS": "3"}).config.profiles
    assert [profile.slots for profile in profiles.values()] == [3, 3, 3]


def test_profiles_keep_the_order_of_the_file() -> None:
    assert list(parse(BASE, FILE).config.profiles) == ["base", "middle", "leaf"]


def test_show_lists_every_key_as_toml_with_its_source() -> None:
    shown = {value.key: value for value in show(parse(BASE, FILE, {}, {"gateway.port": 0}))}
    assert (shown["gateway.port"].value, shown["gateway.port"].source) == ("0", "flag:--port")
    assert (shown["limits.body"].value, shown["limits.body"].source) == ('"64 MiB"', "default")
    assert shown["limits.first_byte_s"].value == '"never"'
    assert shown["gateway.default"].value == "unset"
    assert (shown["profiles.base.ttl"].value, shown["profiles.base.ttl"].source) == ('"10m"', "hostler.toml:5")
    assert shown["memory.budget"].value == "{}"
    assert shown["profiles.base.engine.env.ONE"].value == '"1"'


def test_what_show_prints_reads_back_as_the_same_configuration() -> None:
    loaded = parse(BASE, FILE, {"HOSTLER_MEMORY__BUDGET__HOST": "5 GiB"})
    lines = [f"{line.key} = {line.value}" for line in show(loaded) if line.value != "unset"]
    assert parse("\n".join(lines), FILE).config == loaded.config


def test_a_default_that_nothing_answers_to_is_found_when_the_models_are_known() -> None:
    loaded = parse(BASE + '[gateway]\ndefault = "bass"\npreload = ["b", "found", "nothing"]\n', FILE)
    wrong = unknown_references(loaded.config, ["found"])
    assert [(reference.key, reference.name) for reference in wrong] == [
        ("gateway.default", "bass"),
        ("gateway.preload", "nothing"),
    ]
    assert str(wrong[0]) == 'gateway.default: no profile or model is named "bass"; did you mean "base"?'
    assert str(loaded.sources[wrong[0].key]) == "hostler.toml:21"
