"""The command for a plan: nothing is left to an engine's default."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hostler.config.settings import EngineSettings
from hostler.engines.builds import Build
from hostler.engines.commands.arguments import known_by_wheel, parse
from hostler.engines.commands.command import Place, command
from hostler.engines.protocol import LoadSpec
from hostler.errors import FlagConflict, FlagUnsupported
from hostler.hardware import machines
from hostler.placement.planner import plan
from hostler.placement.wish import Site, Wish, rooms_of
from hostler.testing.specs import FACTS, SHAPE, on_host
from hostler.testing.specs import SPEC as ONE_SLOT

EMBEDDED = Build(name="embedded", kind="embedded", version="xllamacpp 1")
PLACE = Place(port=0, slot_folder=Path("/state/slots/i1"))
SPEC = msgspec.structs.replace(ONE_SLOT, slots=3, plan=on_host(Wish(context=4096, slots=3)))

# llama.cpp's defaults for these are dangerous or differ between builds: each must be said.
EXPLICIT = frozenset(
    """--host --port --alias --ctx-size --parallel --no-kv-unified --batch-size --ubatch-size --threads
    --threads-batch --cache-type-k --cache-type-v --flash-attn --fit --cache-ram --ctx-checkpoints --load-mode
    --slots --metrics --props --no-ui --slot-save-path --log-verbosity --no-warmup --jinja""".split()  # noqa: SIM905
)


def _spec(**changes: object) -> LoadSpec:
    engine = {key: changes.pop(key) for key in tuple(changes) if key in EngineSettings.__struct_fields__}
    settings = msgspec.structs.replace(SPEC.engine, **engine)
    return msgspec.structs.replace(SPEC, engine=settings, **changes)


def _on_a_card(**wish: object) -> LoadSpec:
    machine = machines.load("h200")
    names = {"gpu0": "CUDA0"}
    site = Site(machine=machine, rooms=rooms_of(machine), usable=("gpu0",), names=names)
    return _spec(plan=plan(SHAPE, Wish(context=4096, **wish), site))


def _values(spec: LoadSpec, build: Build = EMBEDDED) -> dict[str, object]:
    argv = command(spec, build, PLACE).argv
    arguments = argv[argv.index("--model") :]
    return {given.spelling: given.value for given in parse(arguments, "a build")}


def test_everything_dangerous_is_explicit() -> None:
    assert set(_values(SPEC)) >= EXPLICIT


def test_the_context_is_for_one_request() -> None:
    values = _values(SPEC)

    assert values["--ctx-size"] == 3 * 4096
    assert values["--parallel"] == 3
    assert values["--no-kv-unified"] is False


def test_it_listens_on_loopback_and_says_nothing_of_a_key() -> None:
    argv = command(SPEC, EMBEDDED, PLACE).argv

    assert _values(SPEC)["--host"] == "127.0.0.1"
    assert not any("key" in argument.replace("--cache-type-k", "") for argument in argv)


def test_every_flag_is_one_that_the_wheel_takes() -> None:
    for task in ("chat", "completion", "embedding", "rerank"):
        spec = _spec(task=task, embeddings=True, cache_ram=2**30)
        argv = command(spec, EMBEDDED, PLACE).argv
        known_by_wheel(parse(argv[argv.index("--model") :], "the wheel"), "the wheel")


def test_sizes_and_places_are_the_plan_s() -> None:
    planned = {given.spelling: given.value for given in parse(SPEC.plan.argv, "a build")}

    assert planned.items() <= _values(SPEC).items()


def test_each_task_gets_what_it_needs() -> None:
    pooled = msgspec.structs.replace(FACTS, pooling="cls")

    assert _values(_spec(task="embedding", facts=pooled))["--pooling"] == "cls"
    assert _values(_spec(embeddings=True))["--pooling"] == "mean"
    assert "--reranking" in _values(_spec(task="rerank"))
    assert "--embeddings" not in _values(SPEC)


def test_a_projector_is_passed() -> None:
    model = msgspec.structs.replace(SPEC.model, projector=Path("/models/mmproj.gguf"))

    assert _values(_spec(model=model))["--mmproj"] == "/models/mmproj.gguf"


def test_the_engine_warms_itself_only_where_the_proof_would_leave_something_cold() -> None:
    experts = msgspec.structs.replace(FACTS, experts=8)
    images = msgspec.structs.replace(SPEC.model, projector=Path("/models/mmproj.gguf"))

    assert _values(SPEC)["--no-warmup"] is False
    for thorough in (_spec(facts=experts), _spec(model=images), _spec(proves=False), _on_a_card(draft=SHAPE)):
        assert _values(thorough)["--warmup"] is True


def test_the_host_cache_is_counted_in_mebibytes() -> None:
    assert _values(_spec(cache_ram=3 * 2**30))["--cache-ram"] == 3072
    assert _values(SPEC)["--cache-ram"] == 0
    assert _values(SPEC)["--no-cache-idle-slots"] is False


def test_extra_arguments_come_last_and_replace_what_is_only_a_default() -> None:
    argv = command(_spec(extra_args=("-fa", "off", "--temp", "0.1")), EMBEDDED, PLACE).argv

    assert argv[-4:] == ("-fa", "off", "--temp", "0.1")
    assert "--flash-attn" not in argv


def test_extra_arguments_cannot_replace_what_hostler_sets() -> None:
    with pytest.raises(FlagConflict, match=r"`-c`.*`profiles.coder.context`"):
        command(_spec(extra_args=("-c", "99")), EMBEDDED, PLACE)
    with pytest.raises(FlagUnsupported, match=r"--rpc.*xllamacpp 1"):
        command(_spec(extra_args=("--rpc", "host:1")), EMBEDDED, PLACE)


def _binary(*without: str, devices: tuple[str, ...] = ()) -> Build:
    flags = EXPLICIT | {
        "--model",
        "--no-cache-idle-slots",
        "--device",
        "--n-gpu-layers",
        "--split-mode",
        "--fit-target",
    }
    path = Path("/opt/llama-server")
    return Build(name="b", kind="binary", version="1", path=path, flags=flags - set(without), devices=devices)


def test_a_binary_runs_behind_the_guard() -> None:
    argv = command(SPEC, _binary(), PLACE).argv

    assert argv[3:5] == ("hostler.engines.processes.guard", "/opt/llama-server")


def test_an_older_binary_gets_what_it_knows() -> None:
    argv = command(SPEC, _binary("--load-mode", "--fit"), PLACE).argv

    assert "--load-mode" not in argv
    assert "--fit" not in argv
    assert "mmap" not in argv


def test_an_older_binary_is_told_in_its_words_how_to_load() -> None:
    read = _spec(plan=on_host(Wish(context=4096, slots=3, load_mode="read")))
    older = _binary("--load-mode")

    assert _values(read)["--load-mode"] == "none"
    assert "--no-mmap" in command(read, msgspec.structs.replace(older, flags=older.flags | {"--no-mmap"}), PLACE).argv
    assert "--no-mmap" not in command(read, older, PLACE).argv


def test_a_binary_that_lacks_the_essential_is_refused() -> None:
    with pytest.raises(FlagUnsupported, match=r"/opt/llama-server does not take `--ctx-size`"):
        command(SPEC, _binary("--ctx-size"), PLACE)


def test_a_card_is_named_and_numbered_as_the_bus_does() -> None:
    made = command(_on_a_card(), _binary("--no-mmproj-offload", devices=("CUDA0",)), PLACE)
    values = _values(_on_a_card(), _binary(devices=("CUDA0",)))

    assert made.env["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert (values["--device"], values["--n-gpu-layers"], values["--fit"]) == ("CUDA0", "31", "off")


def test_what_the_profile_says_of_the_environment_wins() -> None:
    spec = _on_a_card()
    engine = msgspec.structs.replace(spec.engine, env={"CUDA_DEVICE_ORDER": "FASTEST_FIRST"})

    made = command(msgspec.structs.replace(spec, engine=engine), _binary(devices=("CUDA0",)), PLACE)
    assert made.env["CUDA_DEVICE_ORDER"] == "FASTEST_FIRST"


def test_the_engine_places_by_itself_where_the_profile_says_so() -> None:
    values = _values(_on_a_card(placement="engine"), _binary(devices=("CUDA0",)))

    assert (values["--fit"], values["--fit-target"], values["--device"]) == ("on", "128", "CUDA0")
    assert not values.keys() & {"--n-gpu-layers", "--tensor-split", "--override-tensor", "--n-cpu-moe"}


def test_a_build_with_gpus_gets_none_of_a_model_that_is_planned_on_the_host() -> None:
    """Left to itself llama.cpp fills every GPU it finds, those too of which the plan knows nothing."""
    values = _values(SPEC, _binary(devices=("Vulkan0",)))
    assert (values["--n-gpu-layers"], values["--device"]) == ("0", "none")
    assert not {"--n-gpu-layers", "--device"} & _values(SPEC, _binary()).keys()
    assert "--device" not in _values(SPEC, _binary("--device", devices=("Vulkan0",)))


def test_on_the_host_the_projector_stays_there_too() -> None:
    model = msgspec.structs.replace(SPEC.model, projector=Path("/models/mmproj.gguf"))
    able = _binary(devices=("CUDA0",))
    able = msgspec.structs.replace(able, flags=able.flags | {"--no-mmproj-offload", "--mmproj"})
    assert _values(_spec(model=model), able)["--no-mmproj-offload"] is False


def test_the_model_that_drafts_goes_to_the_card_that_was_planned() -> None:
    assert _values(_on_a_card(draft=SHAPE), _binary(devices=("CUDA0",))).get("--spec-draft-device") is None  # too old
    able = _binary(devices=("CUDA0",))
    able = msgspec.structs.replace(able, flags=able.flags | {"--spec-draft-device"})
    assert _values(_on_a_card(draft=SHAPE), able)["--spec-draft-device"] == "CUDA0"
    assert "--spec-draft-device" not in _values(_on_a_card(), able)


def test_a_model_that_drafts_is_asked_to() -> None:
    # Named by `-md` alone it was loaded and counted, and never used.
    drafting = _on_a_card(draft=SHAPE)
    assert _values(drafting)["--spec-type"] == "draft-simple"
    assert "--spec-type" not in _values(_on_a_card())
    assert "--spec-type" not in _values(drafting, _binary())  # it may have another word for it
    able = _binary()
    able = msgspec.structs.replace(able, flags=able.flags | {"--spec-type", "draft-simple"})
    assert _values(drafting, able)["--spec-type"] == "draft-simple"
    own = msgspec.structs.replace(SHAPE, architecture="dflash")
    assert "--spec-type" not in _values(_on_a_card(draft=own), able)


def test_the_embedded_build_is_not_told_which_device() -> None:
    values = _values(_on_a_card())

    assert "--device" not in values
    assert values["--n-gpu-layers"] == "31"
