"""llama-swap's YAML: macros, commands, filters, groups."""

from __future__ import annotations

from pathlib import Path

import pytest
from outcome import notes, told

from hostler.config.sampling import PresetSettings
from hostler.config.settings import Config
from hostler.errors import ConfigError
from hostler.importers.formats import detect
from hostler.importers.llamaswap import LlamaSwap
from hostler.importers.protocol import Imported

SOURCE = Path(__file__).with_name("data") / "swap.yaml"


def swap(text: str, **environ: str) -> Imported:
    return LlamaSwap(environ).read(text, Path("/srv/config.yaml"))


@pytest.fixture
def imported() -> Imported:
    return LlamaSwap({"WEIGHTS": "/srv/weights"}).read(SOURCE.read_text(), SOURCE)


@pytest.fixture
def config(imported: Imported, written: object) -> Config:
    assert callable(written)
    config: Config = written(imported)
    return config


def test_it_is_recognised() -> None:
    assert detect(SOURCE.read_text(), SOURCE) == "llama-swap"


def test_a_command_over_several_lines_with_comments_and_nested_macros(config: Config) -> None:
    coder = config.profiles["coder"]
    assert coder.model == "/srv/weights/coder-30b-q4.gguf"
    assert (coder.context, coder.slots) == (32768, 2)
    assert (coder.engine.cache_type_k, coder.engine.cache_type_v) == ("q8_0", "q8_0")
    assert coder.engine.extra_args == (
        "-fa", "on", "-ngl", "99", "--spec-draft-model", "/srv/weights/coder-1b.gguf",
    )  # fmt: skip


def test_names_lists_and_idle_times(config: Config) -> None:
    coder, embed, rank = (config.profiles[name] for name in ("coder", "embed", "rank"))
    assert coder.description == "Coder 30B: Code, long files"
    assert coder.aliases == ("gpt-4o-mini", "assistant")
    assert (coder.ttl, embed.ttl, rank.ttl) == (600, None, 900)
    assert (coder.hidden, embed.hidden) == (False, True)
    assert coder.engine.env == {"CUDA_VISIBLE_DEVICES": "0", "LLAMA_LOG": "1"}


def test_tasks_and_a_models_own_macros(config: Config) -> None:
    embed, rank = config.profiles["embed"], config.profiles["rank"]
    assert (embed.task, rank.task) == ("embedding", "rerank")
    assert (embed.context, embed.engine.batch, embed.engine.ubatch) == (2048, 2048, 2048)


def test_groups_become_headings_and_residents_are_pinned(config: Config) -> None:
    assert [(p.group, p.pin) for p in config.profiles.values()] == [
        ("big", False),
        ("resident", True),
        ("resident", True),
        ("", False),
    ]


def test_filters_are_fields_of_requests_and_a_name_behind_the_models_is_a_preset(
    imported: Imported, config: Config, written: object
) -> None:
    coder = config.profiles["coder"]
    assert coder.request.strip == ("temperature", "top_p")
    assert coder.request.set == {
        "temperature": 0.6,
        "top_k": 20,
        "chat_template_kwargs": {"enable_thinking": False},
    }
    assert coder.presets == {"deep": PresetSettings(reasoning="high")}
    assert notes(imported, "a preset here: what a client sends wins")

    assert callable(written)
    by_id = "setParamsByID: {other: {top_k: 1}, 'm:x': {top_k: lots}, 'm:y': {stop: a}}"
    strange = f"filters: {{stripParams: 'model, user', setParams: {{stream: true, a: null}}, {by_id}}}"
    one = swap(f"models:\n  m: {{cmd: llama-server -m a, {strange}}}\n")
    profile = written(one).profiles["m"]
    assert (profile.request.strip, profile.request.set, profile.presets) == (("user",), {}, {})
    assert set(profile.aliases) == {"other", "m:x", "m:y"}
    for said in (
        "`model` is not a profile",
        "`stream` is not a profile",
        "TOML has no null",
        "top_k = lots",
        "stop = a",
    ):
        assert notes(one, said), said


def test_other_programs_and_global_keys_are_listed(imported: Imported) -> None:
    assert notes(imported, 'set `task = "chat"` if it generates text')
    assert notes(imported, 'preload = ["embed"]')
    assert notes(imported, "macro spare")
    assert notes(imported, "the weights")
    assert notes(imported, "attic")


def test_other_programs_become_commands(config: Config, written: object) -> None:
    voice = config.profiles["voice"]
    assert voice.engine.kind == "command"
    assert voice.engine.argv == ("whisper-server", "--port", "${PORT}", "-m", "/srv/weights/whisper.bin")
    assert (voice.model, voice.task, voice.engine.health) == ("voice", None, "/health")

    assert callable(written)
    run = "docker run --rm --name ${MODEL_ID} -p ${PORT}:8000 server"
    keys = "cmdStop: 'docker stop ${MODEL_ID}', checkEndpoint: v1/up, env: [A=b], ttl: 60, useModelName: org/m"
    other = written(swap(f"models:\n  m: {{cmd: '{run}', {keys}}}\n")).profiles["m"]
    assert other.engine.argv == ("docker", "run", "--rm", "--name", "m", "-p", "${PORT}:8000", "server")
    assert (other.engine.stop, other.engine.health) == (("docker", "stop", "m"), "/v1/up")
    assert (other.engine.env, other.ttl, other.engine.model_name) == ({"A": "b"}, 60, "org/m")

    portless = swap("models:\n  m: {cmd: vllm serve, proxy: 'http://127.0.0.1:8000'}\n")
    assert portless.profiles == ()
    assert notes(portless, "no `${PORT}` in its arguments")


def test_no_note_shows_a_key(imported: Imported) -> None:
    assert "not-a-real-key" not in told(imported)
    peers = "peers: {a: {proxy: 'http://a', apiKey: geheim}}\nmodels: {m: {cmd: llama-server -m a --api-key geheim}}"
    assert "geheim" not in told(swap(peers))
    other = "models: {m: {cmd: 'docker run -e HF_TOKEN=geheim vllm --api-key geheim'}}"
    assert "geheim" not in told(swap(other))


def test_a_named_binary_is_used_if_it_is_there(tmp_path: Path) -> None:
    binary = tmp_path / "llama-server"
    binary.touch()
    text = f"models:\n  a: {{cmd: '{binary} -m /a.gguf --new-flag 3 --device CUDA0'}}\n"
    imported = swap(text)
    assert imported.profiles[0].fields["engine"] == {
        "build": str(binary),
        "extra_args": ("--new-flag", "3", "--device", "CUDA0"),
    }
    assert notes(imported, "the build decides")
    binary.unlink()
    gone = swap(text)
    assert "engine" not in gone.profiles[0].fields
    assert notes(gone, "--new-flag 3")
    assert notes(gone, "the embedded build cannot take it")


def test_what_is_said_twice_counts_once() -> None:
    imported = swap("models:\n  a: {cmd: llama-server -m /a.gguf -c 1024 -c 2048 --top-nsigma 1 --temp hot}\n")
    assert imported.profiles[0].fields == {"model": "/a.gguf", "context": 2048}
    assert notes(imported, "`-c 1024`: does not count")
    assert notes(imported, "--temp hot")


def test_the_newer_place_of_groups() -> None:
    imported = swap(
        "models:\n  a: {cmd: llama-server -m /a.gguf}\n"
        "routing:\n  router: {use: group, settings: {groups: {g: {swap: true, members: [a, b]}}}}\n"
        "  scheduler: {use: fifo, settings: {fifo: {priority: {a: 10}}}}\n"
    )
    assert imported.profiles[0].fields["group"] == "g"
    assert notes(imported, 'write `exclusive = true` in `[groups."g"]`')
    assert notes(imported, "there is no such model")
    assert notes(imported, "priority: a: 10")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("models:\n  a:\n    cmd: llama-server -m ${wieghts}/x\nmacros: {weights: /w}\n", 3, "wieghts"),
        ("models:\n  a:\n    cmd: llama-server -m ${env.NOWHERE}\n", 3, "NOWHERE"),
        ("macros:\n  PORT: 1\nmodels: {a: {cmd: llama-server}}\n", 2, "PORT"),
        ("models:\n  a: {cmd: x}\n  a: {cmd: y}\n", 3, "twice"),
        ("models:\n  a:\n    ttl: 5\n", 3, "no `cmd`"),
        ('models:\n  a: {cmd: "llama-server \'open"}\n', 2, "quot"),
        ("models:\n", 1, "no `models`"),
        ("models: [\n", 2, "not valid YAML"),
        ("models: {a: {cmd: !!python/name:os.system x}}\n", 1, "not valid YAML"),
    ],
)
def test_errors_name_file_and_line(text: str, line: int, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^/srv/config.yaml:{line}: .*{message}"):
        swap(text)


def test_macros_cannot_fill_the_memory() -> None:
    doubling = "macros:\n  m0: xxxxxxxxxx\n" + "".join(f"  m{n + 1}: '${{m{n}}} ${{m{n}}}'\n" for n in range(40))
    with pytest.raises(ConfigError, match="characters"):
        swap(doubling + "models: {a: {cmd: '${m40}'}}\n")


def test_anchors_cannot_fill_the_memory() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n + 1}: &a{n + 1} [" + ", ".join([f"*a{n}"] * 10) + "]\n" for n in range(9))
    with pytest.raises(ConfigError, match="too large"):
        swap(bomb + "models: {a: {cmd: llama-server}}\n")


def test_anchors_and_merges_are_followed() -> None:
    imported = swap("base: &base {ttl: 60}\nmodels:\n  a:\n    <<: *base\n    cmd: llama-server -m /a.gguf\n")
    assert imported.profiles[0].fields["ttl"] == "1m"


def test_notes_in_the_reasoning_field_stay_those_of_their_model() -> None:
    (a,) = swap("models:\n  a:\n    cmd: llama-server -m /m.gguf\n    sendLoadingState: true\n").profiles
    assert a.fields["send_loading_state"] is True
