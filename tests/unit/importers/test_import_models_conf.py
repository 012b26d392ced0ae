"""`models.conf` with what lies beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from outcome import notes

from hostler.config.settings import Config
from hostler.errors import ConfigError
from hostler.importers.formats import detect
from hostler.importers.modelsconf import ModelsConf
from hostler.importers.protocol import Imported

DATA = Path(__file__).with_name("data")


@pytest.fixture
def imported(launcher: Path) -> Imported:
    return ModelsConf().read(launcher.read_text(), launcher)


def conf(text: str, path: Path = Path("/srv/models.conf")) -> Imported:
    return ModelsConf().read(text, path)


def test_it_is_recognised(launcher: Path) -> None:
    assert detect(launcher.read_text(), launcher) == "models-conf"


def test_keys_and_flags_become_settings(imported: Imported, written: object) -> None:
    assert callable(written)
    config: Config = written(imported)
    glm = config.profiles["glm-flash"]
    assert glm.model == "/srv/weights/glm-4.7-flash/GLM-4.7-Flash-Q4_K_M.gguf"
    assert glm.description == "GLM-4.7 Flash: Code and tools, whole on the first card"
    assert (glm.context, glm.slots) == (131072, 1)
    assert (glm.sampling.temperature, glm.sampling.top_p, glm.sampling.min_p) == (0.7, 1.0, 0.01)
    assert (glm.engine.batch, glm.engine.ubatch) == (4096, 1024)
    assert glm.engine.extra_args[-3:] == ("--n-gpu-layers", "99", "--no-mmap")


def test_the_files_beside_it_give_defaults_that_a_section_may_replace(imported: Imported, written: object) -> None:
    assert callable(written)
    config: Config = written(imported)
    glm, oss = config.profiles["glm-flash"].engine, config.profiles["gpt-oss-120b"].engine
    assert {glm.cache_type_k, glm.cache_type_v, oss.cache_type_k, oss.cache_type_v} == {"q8_0"}
    assert glm.extra_args[:4] == ("--split-mode", "layer", "--fit-target", "128")
    assert oss.extra_args[:4] == ("--split-mode", "layer", "--fit-target", "256,1024")


def test_a_path_inside_the_container_becomes_one_outside(imported: Imported) -> None:
    model = imported.profiles[1].fields["model"]
    assert model == "/srv/weights/gpt-oss-120b/gpt-oss-120b-mxfp4-00001-of-00003.gguf"


def test_the_shared_context_is_parted_among_the_slots(imported: Imported) -> None:
    assert imported.profiles[1].fields["context"] == 32768
    assert imported.profiles[1].fields["slots"] == 2
    assert notes(imported, "65536 for 2 slots")


def test_quoted_arguments_stay_whole(imported: Imported) -> None:
    engine = imported.profiles[1].fields["engine"]
    assert isinstance(engine, dict)
    assert r"blk\.(2[0-9]|3[0-5])\.ffn_.*_exps=CPU" in engine["extra_args"]
    assert '{"reasoning_effort":"high"}' in engine["extra_args"]


def test_sections_in_comments_are_listed_as_retired(imported: Imported) -> None:
    (old,) = imported.retired
    assert (old.name, old.line) == ("qwen3-next", 27)
    assert "CTX_SIZE=262144" in old.text
    assert "Too slow since the update." in old.text


def test_comments_and_speeds_go_above_the_profile(imported: Imported) -> None:
    assert imported.profiles[0].comment == "Quick helper for the editor.\nspeed: ~140 t/s"
    assert "128K spills too much" in imported.profiles[1].comment


def test_what_has_no_counterpart_is_listed_with_its_place(imported: Imported) -> None:
    assert notes(imported, "models.conf:24 [gpt-oss-120b] COOLDOWN `30`")
    assert notes(imported, "--lookup-cache x.bin")
    assert notes(imported, ".env:3 RESTART_DELAY")
    assert notes(imported, "docker-compose.yml:15 service page")
    assert notes(imported, "`--fit off`")


def test_a_folder_without_other_files_is_the_root(tmp_path: Path) -> None:
    (profile,) = conf("[a]\nMODEL=sub/x.gguf\n", tmp_path / "models.conf").profiles
    assert profile.fields["model"] == str(tmp_path / "sub" / "x.gguf")


def test_a_root_of_the_environment_file_alone(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('MODELS_DIR="/data/weights" # here\nCACHE_TYPE_K=q4_0\n')
    imported = conf("[a]\nMODEL=x.gguf\n", tmp_path / "models.conf")
    assert imported.profiles[0].fields == {"model": "/data/weights/x.gguf", "engine": {"cache_type_k": "q4_0"}}
    assert notes(imported, "here")


def test_the_command_of_a_compose_file_is_read_like_one(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        "services:\n  a:\n    image: x/llama.cpp:server\n"
        "    command: [--ctx-size, '${CTX:-4096}', --flash-attn, --api-key, geheim]\n"
        "    volumes:\n      - {type: bind, source: ./w, target: /models}\n"
    )
    imported = conf("[a]\nMODEL=/models/x.gguf\n", tmp_path / "models.conf")
    fields = imported.profiles[0].fields
    assert fields["model"] == str(tmp_path / "w" / "x.gguf")
    assert fields["context"] == 4096
    assert fields["engine"] == {"extra_args": ("--flash-attn", "on")}
    assert "geheim" not in str(imported)


def test_a_section_of_defaults_and_variables(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("WEIGHTS=/data\n")
    text = "[defaults]\n# for all\nN_PARALLEL=2\n[a]\nMODEL=${WEIGHTS}/a.gguf\nEXTRA_ARGS=-ot 'x$'\n"
    imported = conf(text, tmp_path / "models.conf")
    (profile,) = imported.profiles
    assert profile.fields == {
        "model": "/data/a.gguf", "slots": 2, "placement": "manual", "engine": {"extra_args": ("-ot", "x$")},
    }  # fmt: skip
    assert notes(imported, "for all")


def test_a_section_without_a_model_is_no_profile() -> None:
    imported = conf("[a]\nCTX_SIZE=4096\n")
    assert imported.profiles == ()
    assert notes(imported, "it names no model")


def test_defaults_that_no_section_takes_are_listed() -> None:
    imported = conf("CTX_SIZE=4096\n[a]\nMODEL=a.gguf\nCTX_SIZE=2048\n")
    assert imported.profiles[0].fields["context"] == 2048
    assert notes(imported, "models.conf:1 `--ctx-size 4096`")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[a]\nMODEL=x.gguf\nnonsense\n", 3),
        ("[a]\nMODEL=x\n\n[a]\nMODEL=y\n", 4),
        ("[a]\nMODEL=x\nMODEL=y\n", 3),
        ("[a]\nMODEL=x\nFIT=perhaps\n", 3),
        ("[a]\nMODEL=x\nEXTRA_ARGS=--grammar 'open\n", 3),
    ],
)
def test_errors_name_file_and_line(text: str, line: int) -> None:
    with pytest.raises(ConfigError, match=f"^/srv/models.conf:{line}: "):
        conf(text)


def test_a_broken_file_beside_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text("services:\n  a: [\n")
    with pytest.raises(ConfigError, match=r"docker-compose.yml:3: not valid YAML"):
        conf("[a]\nMODEL=x\n", tmp_path / "models.conf")
