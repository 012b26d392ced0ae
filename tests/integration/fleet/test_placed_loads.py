"""Loads on a machine with two cards, described in a file: real processes, plans and evictions; nothing computes."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from placed_desk import GIB, desk

from hostler.config.settings import EngineSettings, Profile
from hostler.errors import FlagConflict, NeverFits

pytestmark = pytest.mark.anyio

GLM = Profile(model="GLM-4.7-Flash-Q4_K_M.gguf", context=131072, kv="q8_0")
OSS = Profile(model="gpt-oss-120b-MXFP4.gguf", context=65536, kv="q8_0")
LLAMA = Profile(model="Llama-3.1-8B-Q8_0.gguf", context=8192)
DENSE = Profile(model="Qwen3.5-27B-Q6_K.gguf", context=16384, devices=("gpu0",))


def by_hand(*extra_args: str, **more: object) -> Profile:
    return Profile(
        model=LLAMA.model, context=8192, engine=EngineSettings(extra_args=extra_args), **{"placement": "manual", **more}
    )


async def test_a_mixture_lies_on_both_cards_with_experts_on_the_host(tmp_path: Path) -> None:
    async with desk(tmp_path, {"oss": OSS}) as here:
        await here.load("oss")

        assert here.value("oss", "--device") == "CUDA0,CUDA1"
        assert here.value("oss", "--fit") == "off"
        assert here.value("oss", "--n-gpu-layers") == "37"
        first, second = map(int, (here.value("oss", "--tensor-split") or "").split(","))
        assert first > second > 0
        assert here.value("oss", "--n-cpu-moe") or "exps=CPU" in (here.value("oss", "--override-tensor") or "")
        assert here.environment("oss")["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
        (instance,) = here.fleet.instances()
        assert instance.predicted_bytes["gpu0"] > 20 * GIB
        assert instance.bytes["gpu0"] == instance.predicted_bytes["gpu0"]


async def test_only_who_is_on_the_card_has_to_go(tmp_path: Path) -> None:
    profiles = {"glm": GLM, "llama": replace(LLAMA, devices=("gpu1",)), "dense": DENSE}
    async with desk(tmp_path, profiles) as here:
        await here.load("glm")
        assert here.value("glm", "--device") == "CUDA0"
        await here.load("llama")
        assert here.value("llama", "--device") == "CUDA1"
        assert here.evicted() == []

        await here.load("dense")
        assert here.value("dense", "--device") == "CUDA0"
        assert here.evicted() == [("dense", ("glm",))]
        assert here.resident() == {"llama", "dense"}


async def test_what_cannot_fit_is_refused_with_numbers_and_nobody_has_to_go_for_it(tmp_path: Path) -> None:
    large = Profile(model=OSS.model, context=131072, devices=("host",))
    async with desk(tmp_path, {"glm": GLM, "large": large}) as here:
        await here.load("glm")
        with pytest.raises(NeverFits) as refused:
            await here.load("large")

        assert "GiB" in refused.value.message
        assert "on host" in refused.value.message
        assert refused.value.hint
        assert here.resident() == {"glm"}
        assert here.evicted() == []
        assert here.fleet.profile("large").state == "unloaded"


async def test_a_pinned_model_stays_and_is_named(tmp_path: Path) -> None:
    async with desk(tmp_path, {"glm": replace(GLM, pin=True), "dense": replace(DENSE, context=65536)}) as here:
        await here.load("glm")
        await here.load("dense")
        # What does not fit beside it on the card lies on the host.
        assert 0 < int(here.value("dense", "--n-gpu-layers") or 0) < 64 or here.value("dense", "--device") is None
        assert here.resident() == {"glm", "dense"}


async def test_the_engine_places_by_itself_where_the_profile_says_so(tmp_path: Path) -> None:
    async with desk(tmp_path, {"llama": Profile(model=LLAMA.model, context=8192, placement="engine")}) as here:
        await here.load("llama")

        assert (here.value("llama", "--fit"), here.value("llama", "--fit-target")) == ("on", "128,1024")
        assert not {"--n-gpu-layers", "--tensor-split", "--override-tensor"} & {*here.argv("llama")}


async def test_by_hand_the_profile_s_own_flags_place_and_are_counted(tmp_path: Path) -> None:
    async with desk(tmp_path, {"llama": by_hand("-ngl", "17", "-dev", "CUDA1")}) as here:
        await here.load("llama")

        assert here.argv("llama")[-4:] == ("-ngl", "17", "-dev", "CUDA1")
        assert here.value("llama", "--fit") == "off"
        (instance,) = here.fleet.instances()
        assert 4 * GIB < instance.predicted_bytes["gpu1"] < 6 * GIB
        assert "gpu0" not in instance.predicted_bytes


async def test_placing_flags_beside_our_placement_are_refused_before_anything_starts(tmp_path: Path) -> None:
    async with desk(tmp_path, {"llama": by_hand("-ngl", "99", placement="auto")}) as here:
        with pytest.raises(FlagConflict, match="placement"):
            await here.load("llama")
        assert here.resident() == set()


async def test_a_build_without_gpus_runs_on_the_host(tmp_path: Path) -> None:
    async with desk(tmp_path, {"llama": LLAMA}, devices="") as here:
        await here.load("llama")

        assert here.value("llama", "--device") is None
        (instance,) = here.fleet.instances()
        assert set(instance.predicted_bytes) == {"host"}


async def test_the_largest_context_is_the_planned_one_until_it_is_loaded(tmp_path: Path) -> None:
    widest = Profile(model=LLAMA.model, context="max", devices=("gpu1",))
    async with desk(tmp_path, {"llama": widest}) as here:
        await here.builds.get(here.catalogue.build("llama"))
        alone = here.catalogue.resolve("llama").context
        assert 8192 < alone < 131072
        await here.load("llama")
        (instance,) = here.fleet.instances()
        assert abs(instance.context - alone) <= 8192
        assert here.value("llama", "--ctx-size") == str(instance.context)
