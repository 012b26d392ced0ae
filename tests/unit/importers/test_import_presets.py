"""llama-server's presets: a section for all, three spellings of a key."""

from __future__ import annotations

from pathlib import Path

import pytest
from outcome import notes

from hostler.config.settings import Config
from hostler.errors import ConfigError
from hostler.importers.formats import detect
from hostler.importers.presets import Presets
from hostler.importers.protocol import Imported

SOURCE = Path(__file__).with_name("data") / "presets.ini"


@pytest.fixture
def imported() -> Imported:
    return Presets().read(SOURCE.read_text(), SOURCE)


def preset(text: str) -> Imported:
    return Presets().read(text, Path("/srv/presets.ini"))


def test_it_is_recognised() -> None:
    assert detect(SOURCE.read_text(), SOURCE) == "llama-server"


def test_the_section_for_all_stands_below_the_others(imported: Imported, written: object) -> None:
    assert callable(written)
    config: Config = written(imported)
    big, tiny, smol = config.profiles.values()
    assert (big.context, big.slots, tiny.context, smol.context) == (4096, 4, 4096, 16384)
    assert {each.engine.cache_type_k for each in (big, tiny, smol)} == {"q8_0"}
    assert {each.sampling.max_tokens for each in (big, tiny, smol)} == {2048}
    assert big.aliases == ("coder", "gpt-4o")
    assert big.engine.cache_ram == 2 * 2**30
    assert big.engine.extra_args == ("--no-mmap", "--n-cpu-moe", "12")


def test_a_section_without_a_model_means_the_librarys(imported: Imported) -> None:
    assert imported.profiles[2].fields["model"] == "smollm2"
    assert notes(imported, "the library's one of that name")


def test_a_repository_is_called_as_the_library_calls_its_file(imported: Imported) -> None:
    assert imported.profiles[1].fields["model"] == "tiny-Q4_K_M"
    assert notes(imported, "--hf-repo unsloth/tiny-GGUF:Q4_K_M")


def test_keys_of_the_router_are_listed(imported: Imported) -> None:
    assert notes(imported, "load-on-startup = true")
    assert notes(imported, "stop-timeout = 20")
    assert notes(imported, "brand-new-option 3")
    assert notes(imported, "version = 1")


@pytest.mark.parametrize(
    ("entry", "extra"),
    [
        ("mmap = false", ("--no-mmap",)),
        ("no-mmap = on", ("--no-mmap",)),
        ("no-mmap = 0", ("--mmap",)),
        ("LLAMA_ARG_MMAP = 1", ("--mmap",)),
        ("swa-full = true", ("--swa-full",)),
        ("swa-full = off", ()),
        ("ngl = 12", ("-ngl", "12")),
        ("LLAMA_ARG_N_GPU_LAYERS = all", ("--n-gpu-layers", "all")),
    ],
)
def test_switches_and_spellings(entry: str, extra: tuple[str, ...]) -> None:
    (profile,) = preset(f"[a]\nmodel = /a.gguf\n{entry}\n").profiles
    engine = profile.fields.get("engine", {"extra_args": ()})
    assert engine == {"extra_args": extra}


def test_a_switch_is_on_or_off() -> None:
    with pytest.raises(ConfigError, match=r"^/srv/presets.ini:3: `mmap` is on or off"):
        preset("[a]\nmodel = /a.gguf\nmmap = maybe\n")


def test_a_configuration_of_our_own_is_no_preset() -> None:
    # Its tables would have become 15 profiles, `profiles.coder.engine` among them.
    with pytest.raises(ConfigError, match="Hostler's own profiles"):
        detect('[profiles.coder]\nmodel = "m.gguf"\n\n[profiles.coder.engine]\nubatch = 512\n', Path("hostler.toml"))
