"""The table against the real wheel, and what it refuses."""

from __future__ import annotations

import enum
import json
from pathlib import Path

import pytest
import xllamacpp
from hypothesis import given
from hypothesis import strategies as st

from hostler.engines.commands.arguments import check_conflicts, known_by_binary, known_by_wheel, overridden, parse
from hostler.engines.commands.flags import BY_SPELLING, FLAGS, Flag
from hostler.engines.processes.wheel import CONVERSIONS, apply
from hostler.errors import FlagConflict, FlagUnsupported

WHEEL = tuple(flag for flag in FLAGS if flag.wheel is not None)
SPECIAL = {
    "--n-gpu-layers": "12",
    "--spec-draft-ngl": "all",
    "--fit-target": "512",
    "--tensor-split": "3,1",
    "--override-tensor": "exps=CPU",
    "--samplers": "top_k;temperature",
    "--chat-template-kwargs": '{"enable_thinking": false}',
    "--lora-scaled": "adapter.gguf:0.5",
    "--spec-type": "ngram-mod",
    "--grammar": 'root ::= "a"',
}


def _example(flag: Flag) -> list[str]:
    if flag.kind == "switch":
        return [flag.name]
    if flag.name in SPECIAL:
        return [flag.name, SPECIAL[flag.name]]
    return [flag.name, flag.choices[-1] if flag.choices else {"int": "3", "float": "0.5", "text": "x"}[flag.kind]]


def _attribute(params: object, flag: Flag) -> object:
    value = params
    for part in (flag.wheel or "").split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("flag", WHEEL, ids=lambda flag: flag.name)
def test_every_attribute_exists_and_takes_the_converted_value(flag: Flag) -> None:
    params = xllamacpp.CommonParams()
    before = _attribute(params, flag)
    given = parse(_example(flag), "the wheel")
    expected = CONVERSIONS[flag.convert](before, given[0].value)

    apply(params, given, "the wheel")

    after = _attribute(params, flag)
    if isinstance(after, float):
        assert after == pytest.approx(expected)
    elif isinstance(after, (bool, int, str, set, enum.Enum)):
        assert after == expected


@pytest.mark.parametrize("flag", [flag for flag in WHEEL if flag.choices], ids=lambda flag: flag.name)
def test_every_choice_is_taken(flag: Flag) -> None:
    for choice in flag.choices:
        apply(xllamacpp.CommonParams(), parse([flag.name, choice], "the wheel"), "the wheel")


@pytest.mark.parametrize("flag", [flag for flag in WHEEL if flag.off], ids=lambda flag: flag.name)
def test_a_switch_turns_off_again(flag: Flag) -> None:
    for off in flag.off:
        params = xllamacpp.CommonParams()
        apply(params, parse([flag.name, off], "the wheel"), "the wheel")
        expected = CONVERSIONS[flag.convert](None, False)
        assert _attribute(params, flag) == expected


def test_no_spelling_stands_for_two_flags() -> None:
    spellings = [spelling for flag in FLAGS for spelling in flag.spellings()]

    assert len(spellings) == len(set(spellings))


def test_rows_that_are_ours_name_their_setting_and_the_others_none() -> None:
    assert all(bool(flag.setting) == (flag.owner == "ours") for flag in FLAGS)


def test_the_settings_named_exist() -> None:
    from hostler.config.settings import EngineSettings, Profile

    for flag in FLAGS:
        for word in flag.setting.replace("(", " ").replace(")", " ").split():
            path = word.split(".")
            if path[0] != "profiles":
                continue
            assert path[2] in Profile.__struct_fields__
            assert len(path) < 4 or path[3] in EngineSettings.__struct_fields__


def test_experts_are_expanded_layer_by_layer() -> None:
    params = xllamacpp.CommonParams()

    apply(params, parse(["-ot", "attn=CPU", "--n-cpu-moe", "2"], "the wheel"), "the wheel")

    assert params.tensor_buft_overrides.split(",") == [
        "attn=CPU",
        r"blk\.0\.ffn_(up|down|gate|gate_up)_(ch|)exps=CPU",
        r"blk\.1\.ffn_(up|down|gate|gate_up)_(ch|)exps=CPU",
    ]


def test_repeated_adapters_add_up() -> None:
    params = xllamacpp.CommonParams()

    apply(params, parse(["--lora", "a,b", "--lora-scaled", "dir:with:colon.gguf:0.25"], "the wheel"), "the wheel")

    assert [(each.path, each.scale) for each in params.lora_adapters] == [
        ("a", 1.0),
        ("b", 1.0),
        ("dir:with:colon.gguf", 0.25),
    ]


def test_template_arguments_are_kept_as_json() -> None:
    params = xllamacpp.CommonParams()

    apply(params, parse(["--chat-template-kwargs", '{"a": true, "b": "x"}'], "the wheel"), "the wheel")

    assert {key: json.loads(value) for key, value in params.default_template_kwargs.items()} == {"a": True, "b": "x"}


@pytest.mark.parametrize("flag", ["--device", "--override-kv", "--rpc", "--chat-template-file", "--log-file"])
def test_what_the_wheel_cannot_take_names_flag_and_build(flag: str) -> None:
    with pytest.raises(FlagUnsupported, match=f"{flag}.*the wheel 1.2"):
        known_by_wheel(parse([flag, "x"], "the wheel 1.2"), "the wheel 1.2")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--cxt-size", "5"], "nearest: `--ctx-size`"),
        (["--ctx-size"], "needs a value"),
        (["--ctx-size", "many"], "a whole number"),
        (["--flash-attn", "perhaps"], "on, off, auto"),
        (["--temp=0.5"], "two items"),
        (["--temp 0.5"], "two items"),
        (["stray"], "not a flag"),
    ],
)
def test_a_mistake_is_explained(argv: list[str], says: str) -> None:
    with pytest.raises(FlagUnsupported, match=says):
        parse(argv, "the wheel")


def test_a_value_that_the_wheel_refuses_names_flag_and_build() -> None:
    with pytest.raises(FlagUnsupported, match="the wheel refuses `-ot x=NOWHERE`"):
        apply(xllamacpp.CommonParams(), parse(["-ot", "x=NOWHERE"], "the wheel"), "the wheel")


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if flag.owner == "ours"], ids=lambda flag: flag.name)
def test_a_flag_that_hostler_sets_conflicts_in_every_spelling(flag: Flag) -> None:
    for spelling in flag.spellings():
        with pytest.raises(FlagConflict) as caught:
            check_conflicts(["--temp", "0.5", spelling, "1"], "coder")
        assert f"`{spelling}`" in caught.value.message
        assert flag.setting.replace("NAME", "coder") in caught.value.message


def test_the_value_of_a_flag_is_not_taken_for_a_flag() -> None:
    check_conflicts(["--reasoning-budget-message", "-c"], "coder")


def test_other_flags_do_not_conflict() -> None:
    check_conflicts(["-ngl", "-1", "--no-repack", "-fa", "off"], "coder")

    assert overridden(["-fa", "off", "--no-warmup"]) == {"--flash-attn", "--warmup"}


def test_a_binary_is_asked_for_its_own_flags() -> None:
    known_by_binary(["--device", "CUDA0", "-1"], frozenset({"--device"}), "llama-server")
    known_by_binary(["--anything"], frozenset(), "llama-server")
    with pytest.raises(FlagUnsupported, match=r"--devise.*llama-server.*nearest: `--device`"):
        known_by_binary(["--devise", "CUDA0"], frozenset({"--device"}), "llama-server")


@given(st.lists(st.sampled_from(sorted(BY_SPELLING)), max_size=6), st.text(max_size=4))
def test_parsing_never_fails_in_another_way(spellings: list[str], value: str) -> None:
    argv = [part for spelling in spellings for part in (spelling, value)]
    try:
        parsed = parse(argv, "the wheel")
    except FlagUnsupported:
        return
    assert all(isinstance(each.value, (int, float, str, bool)) for each in parsed)


def test_the_launcher_pays_only_for_leaves(tmp_path: Path) -> None:
    import subprocess
    import sys

    heavy = ("msgspec", "anyio", "asyncio", "psutil", "xllamacpp")
    imports = "import sys, hostler.engines.processes.embedded, hostler.engines.processes.guard"
    code = f"{imports}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.strip() == "[]"
