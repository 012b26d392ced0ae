"""Whatever stands in a source comes out as a setting, a note, or a retired profile; and what comes out is valid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from outcome import told

from hostler.config.edit import NewProfile, with_profiles
from hostler.config.load import parse
from hostler.config.settings import Config
from hostler.engines.commands.arguments import check_conflicts, known_by_wheel
from hostler.engines.commands.arguments import parse as parse_arguments
from hostler.engines.commands.flags import FLAGS
from hostler.errors import ConfigError
from hostler.importers.formats import detect, importers
from hostler.importers.merge import merge
from hostler.importers.protocol import Imported, Kind

WORD = st.from_regex(r"[a-z]{3,8}", fullmatch=True)
NUMBER = st.integers(-1, 300_000).map(str)
VALUE = WORD | NUMBER | st.sampled_from(["0.5", "on", "off", "q8_0", "a b", "./x.gguf"])
VALUED = [flag for flag in FLAGS if flag.kind != "switch" and flag.name not in ("--api-key", "--model")]
FLAG = st.sampled_from(VALUED).flatmap(lambda flag: st.sampled_from((flag.name, *flag.aliases)))
KEY = FLAG.map(lambda name: name.lstrip("-")) | st.from_regex(r"x-[a-z]{3,8}", fullmatch=True)


def read(kind: Kind, text: str) -> Imported:
    """Import ``text``; what comes out must be a valid configuration that the embedded build takes."""
    imported = importers({})[kind].read(text, Path("/nowhere/source"))
    merged = merge(imported, Config(), Path("source"), [])
    new = [NewProfile(name=each.name, fields=each.fields, comment=each.comment) for each in merged.profiles]
    config = parse(with_profiles("", Path("hostler.toml"), new), Path("hostler.toml")).config
    for name, profile in config.profiles.items():
        check_conflicts(profile.engine.extra_args, name)
        known_by_wheel(parse_arguments(profile.engine.extra_args, "build"), "build")
    return imported


def has(said: str, value: str) -> bool:
    """Whether a value is told, as it stood or as the number or path that it is."""
    spelt = {value, value.removeprefix("./")}
    if value.lstrip("-").isdigit():
        spelt |= {str(int(value)), str(int(value) // 1024), f"{int(value)} MiB", f"{int(value) / 1024:g}"}
    return any(each in said for each in spelt)


@st.composite
def numbered(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Keys, each once, with values."""
    return draw(st.lists(st.tuples(KEY, VALUE), max_size=6, unique_by=lambda pair: pair[0]))


@given(numbered(), numbered(), st.lists(WORD, max_size=3))
def test_presets(common: list[tuple[str, str]], own: list[tuple[str, str]], remarks: list[str]) -> None:
    lines = ["[*]", *(f"{key} = {value}" for key, value in common), *(f"; {word}" for word in remarks), ""]
    lines += ["[m]", "model = /a.gguf", *(f"{key} = {value}" for key, value in own)]
    said = told(read("llama-server", "\n".join(lines)))
    assert [value for _, value in (*common, *own) if not has(said, value)] == []
    assert [word for word in remarks if word not in said] == []


@given(numbered(), st.lists(WORD, max_size=3))
def test_models_conf(own: list[tuple[str, str]], remarks: list[str]) -> None:
    flags = " ".join(f"{'--' if len(key) > 4 else '-'}{key} '{value}'" for key, value in own)
    lines = [*(f"# {word}" for word in remarks), "", "[m]", "MODEL=/a.gguf", f"EXTRA_ARGS={flags}"]
    lines += [f"X{at}={word}" for at, word in enumerate(remarks)] + ["#[old]", *(f"#K={word}" for word in remarks)]
    said = told(read("models-conf", "\n".join(lines)))
    assert [value for _, value in own if not has(said, value)] == []
    assert [word for word in remarks if said.count(word) < 2] == []


@given(numbered(), st.dictionaries(WORD, VALUE, max_size=4), st.lists(WORD, max_size=3))
def test_llama_swap(own: list[tuple[str, str]], keys: dict[str, str], remarks: list[str]) -> None:
    flags = [f"{'--' if len(key) > 4 else '-'}{key} '{value}'" for key, value in own]
    lines = [*(f"# {word}" for word in remarks), "models:", "  m:", "    cmd: |", "      llama-server -m /a.gguf"]
    lines += [f"      {flag}" for flag in flags]
    lines += ["    filters:", *(f"      {key}: '{value}'" for key, value in keys.items())]
    for indent in ("    ", ""):
        lines += [f"{indent}k{key}: '{value}'  # {value}" for key, value in keys.items()]
    said = told(read("llama-swap", "\n".join(lines)))
    assert [value for _, value in own if not has(said, value)] == []
    assert [word for word in (*keys, *remarks) if word not in said] == []


@given(st.lists(st.tuples(WORD | st.sampled_from(["top_k", "num_ctx", "stop", "seed"]), VALUE), max_size=6), WORD)
def test_modelfiles(parameters: list[tuple[str, str]], system: str) -> None:
    lines = ["# why", "FROM /a.gguf", *(f"PARAMETER {name} {value}" for name, value in parameters)]
    lines += [f'SYSTEM """{system}', f'{system}"""']
    said = told(read("ollama", "\n".join(lines)))
    assert [value for _, value in parameters if not has(said, value)] == []
    assert system in said


@given(st.text(max_size=300), st.sampled_from(["models-conf", "llama-swap", "llama-server", "ollama"]))
def test_any_text_is_read_or_refused_with_its_place(text: str, kind: Kind) -> None:
    for attempt in (lambda: read(kind, text), lambda: detect(text, Path("/nowhere/source"))):
        message = refusal(attempt)
        assert message is None or "source" in message


def refusal(attempt: Callable[[], object]) -> str | None:
    """The message of a ConfigError; any other exception is a bug."""
    try:
        attempt()
    except ConfigError as error:
        return str(error)
    return None
