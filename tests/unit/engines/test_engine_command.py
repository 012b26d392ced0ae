"""The command for a plan: nothing is left to an engine's default."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.config.settings import EngineSettings
from hostler.engines.arguments import known_by_wheel, parse
from hostler.engines.builds import Build
from hostler.engines.command import LEAST_BATCH, Place, batch_size, batches, command
from hostler.engines.protocol import LoadSpec
from hostler.errors import FlagConflict, FlagUnsupported
from hostler.testing.specs import FACTS
from hostler.testing.specs import SPEC as ONE_SLOT

EMBEDDED = Build(name="embedded", kind="embedded", version="xllamacpp 1")
PLACE = Place(cores=2, port=0, slot_folder=Path("/state/slots/i1"))
SPEC = msgspec.structs.replace(ONE_SLOT, slots=3)

# llama.cpp's defaults for these are dangerous or differ between builds: each must be said.
EXPLICIT = frozenset(
    """--host --port --alias --ctx-size --parallel --no-kv-unified --batch-size --ubatch-size --threads
    --threads-batch --cache-type-k --cache-type-v --flash-attn --fit --cache-ram --ctx-checkpoints --load-mode
    --slots --metrics --props --no-ui --slot-save-path --log-verbosity --warmup --jinja""".split()  # noqa: SIM905
)


def _spec(**changes: object) -> LoadSpec:
    engine = {key: changes.pop(key) for key in tuple(changes) if key in EngineSettings.__struct_fields__}
    settings = msgspec.structs.replace(SPEC.engine, **engine)
    return msgspec.structs.replace(SPEC, engine=settings, **changes)


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
        spec = _spec(task=task, embeddings=True, cache_ram=2**30, cache_type_v="q8_0")
        argv = command(spec, EMBEDDED, PLACE).argv
        known_by_wheel(parse(argv[argv.index("--model") :], "the wheel"), "the wheel")


def test_a_quantised_value_cache_turns_flash_attention_on() -> None:
    assert _values(_spec(cache_type_v="q8_0"))["--flash-attn"] == "on"
    assert _values(SPEC)["--flash-attn"] == "auto"


def test_each_task_gets_what_it_needs() -> None:
    pooled = msgspec.structs.replace(FACTS, pooling="cls")

    assert _values(_spec(task="embedding", facts=pooled))["--pooling"] == "cls"
    assert _values(_spec(embeddings=True))["--pooling"] == "mean"
    assert "--reranking" in _values(_spec(task="rerank"))
    assert "--embeddings" not in _values(SPEC)


def test_a_projector_is_passed() -> None:
    model = msgspec.structs.replace(SPEC.model, projector=Path("/models/mmproj.gguf"))

    assert _values(_spec(model=model))["--mmproj"] == "/models/mmproj.gguf"


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
    flags = EXPLICIT | {"--model", "--no-cache-idle-slots"}
    path = Path("/opt/llama-server")
    return Build(name="b", kind="binary", version="1", path=path, flags=flags - set(without), devices=devices)


def test_a_binary_runs_behind_the_guard() -> None:
    argv = command(SPEC, _binary(), PLACE).argv

    assert argv[3:5] == ("hostler.engines.guard", "/opt/llama-server")


def test_an_older_binary_gets_what_it_knows() -> None:
    argv = command(SPEC, _binary("--load-mode", "--fit"), PLACE).argv

    assert "--load-mode" not in argv
    assert "--fit" not in argv
    assert "mmap" not in argv


def test_a_binary_that_lacks_the_essential_is_refused() -> None:
    with pytest.raises(FlagUnsupported, match=r"/opt/llama-server does not take `--ctx-size`"):
        command(SPEC, _binary("--ctx-size"), PLACE)


def test_devices_are_filled_by_the_engine() -> None:
    build = _binary(devices=("CUDA0",))

    assert _values(SPEC, build)["--fit"] == "on"
    assert _values(SPEC, build)["--batch-size"] == 2048


def test_the_measured_model_gets_a_batch_of_at_most_two_seconds() -> None:
    assert batch_size(FACTS, 2) == 256
    assert 256 / 237 < 2


@given(st.integers(1, 10**13), st.integers(1, 256))
def test_batches_stay_within_bounds_and_two_seconds(parameters: int, cores: int) -> None:
    facts = msgspec.structs.replace(FACTS, parameters=parameters)
    batch = batch_size(facts, cores)

    assert LEAST_BATCH <= batch <= 2048
    assert batch & (batch - 1) == 0
    assert batch == LEAST_BATCH or batch <= 2.0 * cores * 1.6e10 / parameters


@given(st.integers(1, 4096), st.integers(1, 4096), st.sampled_from(["chat", "embedding", "rerank"]), st.booleans())
def test_an_ubatch_is_never_larger_than_its_batch(batch: int, ubatch: int, task: str, embeddings: bool) -> None:
    chosen, small = batches(_spec(batch=batch, ubatch=ubatch, task=task, embeddings=embeddings), EMBEDDED, 2)

    assert chosen == batch
    assert small <= chosen


def test_a_whole_input_fits_when_vectors_are_wanted() -> None:
    assert batches(_spec(task="embedding", context=512), EMBEDDED, 2) == (512, 512)
    assert batches(_spec(task="rerank", context=8192), EMBEDDED, 2) == (2048, 2048)
