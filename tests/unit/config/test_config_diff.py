from __future__ import annotations

import msgspec
import pytest

from hostler.config.diff import AT_START, changed_profiles, instance_key, waiting
from hostler.config.quantities import Bytes, Seconds
from hostler.config.sampling import PresetSettings, RequestSettings
from hostler.config.settings import Config, EngineSettings, Profile, SamplingSettings, WorkloadSettings

BASE = Profile(model="m.gguf")
SHAPING: list[dict[str, object]] = [
    {"model": "n.gguf"},
    {"context": 4096},
    {"context": "max"},
    {"kv": "auto"},
    {"placement": "engine"},
    {"devices": ("gpu1",)},
    {"workload": WorkloadSettings(prompt=8000)},
    {"slots": 2},
    {"task": "chat"},
    {"embeddings": True},
    {"engine": EngineSettings(threads=2)},
    {"engine": EngineSettings(cache_ram=Bytes(1))},
    {"engine": EngineSettings(env={"A": "1"})},
]
APPLIED: list[dict[str, object]] = [
    {"description": "x"},
    {"aliases": ("x",)},
    {"abilities": ("tools",)},
    {"ttl": Seconds(5)},
    {"pin": True},
    {"sampling": SamplingSettings(seed=1)},
    {"preset": "coding"},
    {"family": "qwen3"},
    {"presets": {"coding": PresetSettings(top_k=1)}},
    {"reasoning": "low"},
    {"request": RequestSettings(strip=("seed",))},
    {"group": "x"},
    {"priority": "batch"},
    {"hidden": True},
    {"send_loading_state": True},
    {"capture": True},
    {"remote_images": True},
    {"steady_prompts": False},
    {"rungs": ("evict",)},
]


def config(**profiles: Profile) -> Config:
    return Config(profiles=profiles)


@pytest.mark.parametrize("change", SHAPING)
def test_what_shapes_the_engine_needs_a_restart(change: dict[str, object]) -> None:
    after = msgspec.structs.replace(BASE, **change)
    difference = changed_profiles(config(a=BASE), config(a=after))
    assert (difference.restart, difference.adjusted, difference.changed) == (("a",), (), ("a",))


@pytest.mark.parametrize("change", APPLIED)
def test_what_the_gateway_applies_itself_keeps_the_instance(change: dict[str, object]) -> None:
    after = msgspec.structs.replace(BASE, **change)
    assert instance_key(after) == instance_key(BASE)
    difference = changed_profiles(config(a=BASE), config(a=after))
    assert (difference.restart, difference.adjusted) == ((), ("a",))


def test_every_setting_is_one_or_the_other() -> None:
    named = {key for change in (*SHAPING, *APPLIED) for key in change}
    assert named == set(Profile.__struct_fields__)


def test_profiles_come_and_go() -> None:
    difference = changed_profiles(config(a=BASE, b=BASE), config(b=BASE, c=BASE))
    assert (difference.added, difference.changed, difference.removed) == (("c",), (), ("a",))


def test_the_key_does_not_depend_on_the_order_of_a_table_or_on_the_process() -> None:
    one, other = {"A": "1", "B": "2"}, {"B": "2", "A": "1"}
    first = Profile(model="m", engine=EngineSettings(env=one))
    assert instance_key(first) == instance_key(Profile(model="m", engine=EngineSettings(env=other)))
    assert instance_key(BASE) == instance_key(Profile(model="m.gguf"))
    assert len(instance_key(BASE)) == 12


@pytest.mark.parametrize("key", AT_START)
def test_what_is_read_at_the_start_alone_waits_for_the_next_one(key: str) -> None:
    section, _, name = key.partition(".")
    before = Config()
    other = ("x",) if name == "preload" else "x" if name == "host" else 7
    changed = msgspec.structs.replace(getattr(before, section), **{name: other})
    assert waiting(before, msgspec.structs.replace(before, **{section: changed})) == (key,)
    assert waiting(before, before) == ()
