"""Placing by hand: flags as we understand them, and mixtures that end badly."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from hostler.config.settings import EngineSettings, Profile
from hostler.engines.commands.placing import Ground, check, draft_of, flash_attention, given_by, manual_of
from hostler.errors import ConfigError, FlagConflict, FlagUnsupported, HostlerError
from hostler.placement.manual import Moved
from hostler.testing.specs import SHAPE

NAMES = {"gpu0": "CUDA0", "gpu1": "CUDA1"}
MOE = replace(SHAPE, experts=64, active=4)
MLA = replace(SHAPE, layers=tuple(replace(layer, memory="mla") for layer in SHAPE.layers))


def _ground(
    *extra_args: str,
    shape: object = MOE,
    names: dict[str, str] = NAMES,
    heads: tuple[int, ...] = (64, 64),
    **profile: object,
) -> Ground:
    engine = EngineSettings(
        extra_args=extra_args,
        cache_type_k=profile.pop("cache_type_k", None),
        cache_type_v=profile.pop("cache_type_v", None),
    )
    settings = Profile(model="big", engine=engine, **{"placement": "manual", **profile})
    return Ground(
        profile="coder", settings=settings, shape=shape, names=names, present=("gpu0", "gpu1"), build="b", heads=heads
    )


def test_a_profile_without_placing_flags_is_left_alone() -> None:
    assert check(_ground("--temp", "0.1", placement="auto")) is None
    assert check(_ground("--temp", "0.1", placement="engine")) is None


@pytest.mark.parametrize("placement", ["auto", "engine", "manual"])
def test_a_flag_that_a_setting_stands_for_is_refused_before_anything_is_planned(placement: str) -> None:
    # `hostler plan` showed `--ctx-size 8192` for a profile that passed `-c 4096`, and its load was refused.
    with pytest.raises(FlagConflict, match=r"profiles\.coder\.context"):
        check(_ground("-c", "4096", placement=placement))


def test_flags_are_read_as_the_engine_reads_them() -> None:
    manual = manual_of(_ground("-ngl", "20", "-sm", "layer", "-ts", "3,1", "-mg", "1", "-dev", "CUDA1,CUDA0"))

    assert (manual.layers, manual.split, manual.shares, manual.main) == (20, "layer", (3.0, 1.0), 1)
    assert manual.gpus == ("gpu1", "gpu0")
    assert manual_of(_ground("-ngl", "all")).layers is None
    assert manual_of(_ground("-dev", "none")).gpus == ()
    assert manual_of(_ground("--no-kv-offload")).cache_on_host
    assert given_by(("--kv-offload", "--temp", "0.1")) == []


def test_without_a_choice_of_devices_all_that_the_build_can_use_are() -> None:
    assert manual_of(_ground("-ngl", "20")).gpus == ("gpu0", "gpu1")


def test_any_cache_suits_heads_of_whole_blocks_and_f16_suits_all() -> None:
    assert check(_ground(kv="q8_0", heads=(576, 512), placement="auto")) is None
    assert check(_ground(kv="f16", heads=(80, 80), placement="auto")) is None
    assert check(_ground(kv="auto", heads=(80, 80), placement="auto")) is None


def test_what_is_moved_keeps_its_order() -> None:
    moved = manual_of(_ground("-ot", r"blk\.1\.=CUDA1,ffn_up=CUDA_Host", "-ncmoe", "2", "-cmoe")).moved

    assert moved[:2] == (Moved(r"blk\.1\.", "gpu1"), Moved("ffn_up", "host"))
    assert moved[2].pattern == r"blk\.(0|1)\.ffn_(up|down|gate|gate_up)_(ch|)exps"
    assert moved[3].pattern.startswith(r"blk\.(\d+)\.")


def test_flags_that_only_a_binary_knows_do_not_hide_the_others() -> None:
    given = given_by(("--shiny-new", "1", "-ngl", "20", "--also-new"))

    assert [each.flag.name for each in given] == ["--n-gpu-layers"]
    assert not flash_attention(("--shiny-new", "-fa", "off"))


def test_the_model_that_drafts_is_found() -> None:
    assert draft_of(("--temp", "0.1", "-md", "/models/small.gguf")) == Path("/models/small.gguf")
    assert draft_of(("--temp", "0.1")) is None


TRAPS = [
    # Hostler places, and so does the profile.
    (_ground("-ngl", "99", placement="auto"), FlagConflict, "Hostler places this profile", "manual"),
    (_ground("-ot", "exps=CPU", placement="auto"), FlagConflict, "`-ot`", "manual"),
    # llama.cpp's own fitting gives up without a word.
    (_ground("-ngl", "99", placement="engine"), FlagConflict, "gives up its --fit", "remove the flag"),
    (_ground("-sm", "row", placement="engine"), FlagConflict, "split by row", "manual"),
    (_ground("-sm", "tensor", placement="engine"), FlagConflict, "split by tensor", "manual"),
    (_ground("-ngl", "99", "--fit", "on"), FlagConflict, "gives up its --fit", "remove `--fit`"),
    (_ground("-fit", "on", "-ot", "exps=CPU", placement="engine"), FlagConflict, "gives up its --fit", "remove both"),
    # Types of the cache.
    (_ground(kv="q8_0", heads=(80, 80)), ConfigError, "have 80 elements", "f16"),
    (_ground(cache_type_k="q4_0", heads=(128, 80)), ConfigError, "128 and 80", "f16"),
    (_ground("-fa", "off", cache_type_v="q8_0"), FlagConflict, "only with flash attention", "cache_type_v"),
    (_ground("-fa", "off", kv="q4_0", placement="auto"), FlagConflict, "only with flash attention", "f16"),
    (_ground("-fa", "off", kv="q8_0", shape=MLA), FlagConflict, "one row", "cache_type_k"),
    (_ground(cache_type_k="q8_0", shape=MLA), ConfigError, "keys as q8_0 and values as f16", "same type"),
    (_ground("-fa", "off", "-sm", "tensor"), FlagConflict, "needs flash attention", "Remove"),
    # Models and devices that are not so.
    (_ground("-ncmoe", "4", shape=SHAPE), FlagConflict, "has none", "n-gpu-layers"),
    (_ground("-cmoe", shape=SHAPE), FlagConflict, "has none", "n-gpu-layers"),
    (_ground("-ts", "3,1,1"), FlagConflict, "3 shares for 2 GPUs", "one share per GPU"),
    (_ground("-ts", "1", "-dev", "none"), FlagConflict, "for 0 GPUs", "share"),
    (_ground("-ngl", "9", devices=("gpu1",)), ConfigError, "has `devices` too", "--device"),
    (_ground(devices=("host",), placement="engine"), ConfigError, "no GPU", "Remove"),
    (_ground("-ts", "0,0"), FlagConflict, "2 shares", "share"),
    (_ground("-ts", "nan,1"), FlagConflict, "2 shares", "share"),
    (_ground("-mg", "2"), FlagConflict, "counted from 0", "hostler hardware"),
    (_ground("-dev", "CUDA7"), FlagConflict, "CUDA0, CUDA1", "engine ls"),
    (_ground("-ot", "exps=CUDA7"), FlagConflict, "CUDA7", "engine ls"),
    (_ground("-ot", "exps=CUDA1", "-dev", "CUDA0"), FlagConflict, "may not use otherwise", "--device"),
    (_ground("-ot", "exps=CUDA1", "-sm", "none"), FlagConflict, "may not use otherwise", "--device"),
    (_ground(devices=("gpu7",), placement="auto"), ConfigError, "gpu7", "devices"),
    (_ground(devices=("gpu1",), names={"gpu0": "CUDA0"}, placement="auto"), ConfigError, "b cannot use", "engine ls"),
    # Values that cannot be read.
    (_ground("-ngl", "many"), FlagUnsupported, "a whole number", "Correct"),
    (_ground("-ts", "a,b"), FlagUnsupported, "numbers", "Correct"),
    (_ground("-ot", "exps"), FlagUnsupported, "PATTERN=DEVICE", ""),
    (_ground("-ot", "(=CPU"), FlagUnsupported, "regular expression", "Correct"),
]


@pytest.mark.parametrize(("ground", "error", "says", "helps"), TRAPS)
def test_a_trap_is_an_error_that_explains_itself(
    ground: Ground, error: type[HostlerError], says: str, helps: str
) -> None:
    with pytest.raises(error) as refused:
        check(ground)
    assert says in refused.value.message
    assert "'coder'" in refused.value.message
    assert helps in (refused.value.hint or "")
