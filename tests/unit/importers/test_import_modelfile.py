"""Ollama's Modelfile."""

from __future__ import annotations

from pathlib import Path

import pytest
from outcome import notes

from hostler.config.settings import Config
from hostler.errors import ConfigError
from hostler.importers.formats import detect
from hostler.importers.modelfile import Modelfile
from hostler.importers.protocol import Imported

SOURCE = Path(__file__).with_name("data") / "story.Modelfile"


@pytest.fixture
def imported() -> Imported:
    return Modelfile().read(SOURCE.read_text(), SOURCE)


def modelfile(text: str, name: str = "Modelfile") -> Imported:
    return Modelfile().read(text, Path("/srv") / name)


def test_it_is_recognised() -> None:
    assert detect(SOURCE.read_text(), SOURCE) == "ollama"


def test_parameters_become_settings(imported: Imported, written: object) -> None:
    assert callable(written)
    config: Config = written(imported)
    story = config.profiles["story"]
    sampling = story.sampling
    assert (story.model, story.context) == ("llama3.2:3b", 8192)
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0.9, 0.95, 40, 0.05)
    assert (sampling.repeat_penalty, sampling.seed, sampling.max_tokens) == (1.1, 7, None)
    assert story.engine.extra_args == ("--no-mmap", "--lora", str(SOURCE.parent / "voice-lora.gguf"))


@pytest.mark.parametrize("what", ["stop `<|end|>`", "stop `Reader:`", "SYSTEM `You tell", "TEMPLATE `{{ .System }}",
                                  "MESSAGE `user Tell me", "LICENSE `Made up", "--predict -1"])  # fmt: skip
def test_the_rest_is_noted(imported: Imported, what: str) -> None:
    assert notes(imported, what)


def test_instructions_inside_quotes_are_text(imported: Imported) -> None:
    assert notes(imported, "FROM is not an instruction here.")
    assert len(imported.profiles) == 1


@pytest.mark.parametrize(
    ("name", "source", "profile", "model"),
    [
        ("Modelfile", "./weights/tiny.Q4.gguf", "tiny.Q4", "/srv/weights/tiny.Q4.gguf"),
        ("Modelfile", "/w/tiny.gguf", "tiny", "/w/tiny.gguf"),
        ("Modelfile", "qwen3", "qwen3", "qwen3:latest"),
        ("Modelfile.bard", "qwen3:8b", "bard", "qwen3:8b"),
        ("bard.modelfile", "hf.co/o/r:Q4_K_M", "bard", "hf.co/o/r:Q4_K_M"),
    ],
)
def test_what_it_is_made_from_and_called(name: str, source: str, profile: str, model: str) -> None:
    (made,) = modelfile(f"from {source}\n", name).profiles
    assert (made.name, made.fields["model"]) == (profile, model)


@pytest.mark.parametrize(
    ("text", "line"),
    [("PARAMETER top_k 1\n", 1), ("FROM a\nFORM b\n", 2), ('FROM a\n\nSYSTEM """never\nclosed\n', 3)],
)
def test_errors_name_file_and_line(text: str, line: int) -> None:
    with pytest.raises(ConfigError, match=f"^/srv/Modelfile:{line}: "):
        modelfile(text)


def test_a_value_that_a_setting_cannot_take_is_noted() -> None:
    imported = modelfile("FROM a\nPARAMETER temperature warm\nPARAMETER num_ctx 4\n")
    assert "sampling" not in imported.profiles[0].fields
    assert notes(imported, "--temp warm")
    assert notes(imported, "--ctx-size 4")
