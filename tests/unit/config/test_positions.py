from __future__ import annotations

import tomllib

import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from hostler.config.positions import find
from hostler.config.shape import KeyPath, dotted, split

TEXT = """\
# [not.a.table]
top = 1 # = [x]
[a."b.c".'d e'] # ]
list = [ 1, # n = 2
  "]", { inner = 1 },
]
inline = { x = "}", y.z = 2 }
text = '''
[no]
k = 1
'''
double = \"\"\"\\\"\"\"
[nor.this]\"\"\"\"\"
when = 1979-05-27 07:32:00
[[many]]
"q\\u0041" = true
other.key = 1
"""


def test_every_key_of_a_tangled_text_has_its_line() -> None:
    tomllib.loads(TEXT)
    deep = ("a", "b.c", "d e")
    assert find(TEXT).keys == {
        ("top",): 2,
        ("a",): 3,
        ("a", "b.c"): 3,
        deep: 3,
        (*deep, "list"): 4,
        (*deep, "inline"): 7,
        (*deep, "inline", "x"): 7,
        (*deep, "inline", "y"): 7,
        (*deep, "inline", "y", "z"): 7,
        (*deep, "text"): 8,
        (*deep, "double"): 12,
        (*deep, "when"): 14,
        ("many",): 15,
        ("many", "qA"): 16,
        ("many", "other"): 17,
        ("many", "other", "key"): 17,
    }


def test_windows_line_ends_count_once() -> None:
    assert find("a = 1\r\n\r\n[t]\r\nb = 2\r\n").line(("t", "b")) == 4


def test_an_unknown_key_stands_where_its_table_stands() -> None:
    positions = find("\n[t]\na = 1\n")
    assert positions.line(("t", "missing")) == 2
    assert positions.line(("u",)) is None


def test_text_that_is_not_toml_yields_what_was_found_before() -> None:
    assert find("a = 1\n= nonsense").keys == {("a",): 1}


names = st.text(min_size=1, max_size=6)
scalars = (
    st.integers() | st.booleans() | st.text(max_size=12) | st.lists(st.integers() | st.text(max_size=5), max_size=3)
)
documents = st.recursive(
    st.dictionaries(names, scalars, max_size=3),
    lambda inner: st.dictionaries(names, scalars | inner, max_size=4),
    max_leaves=8,
)


def paths(data: dict[str, object], above: KeyPath = ()) -> set[KeyPath]:
    found = {(*above, key) for key in data}
    for key, value in data.items():
        if isinstance(value, dict):
            found |= paths(value, (*above, key))
    return found


@given(documents)
def test_the_scanner_finds_exactly_the_keys_that_the_parser_finds(data: dict[str, object]) -> None:
    text = tomlkit.dumps(data)
    assert set(find(text).keys) == paths(tomllib.loads(text))


@given(st.lists(names, min_size=1, max_size=4).map(tuple))
def test_a_dotted_key_splits_into_its_parts(path: KeyPath) -> None:
    assert split(dotted(path)) == path
    assert paths(tomllib.loads(f"{dotted(path)} = 1")) == {path[:end] for end in range(1, len(path) + 1)}
