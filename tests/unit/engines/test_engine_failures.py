"""Exit codes and last lines to the error a user reads."""

from __future__ import annotations

import signal

import pytest
from msgspec.structs import replace

from hostler.engines.failures import Ending, after_ready, at_load, could_not_bind, shortage, signal_of
from hostler.errors import EngineLost, FlagUnsupported, KilledBySignal, LoadFailed, OutOfMemory, Shortage


def _ending(*lines: str, returncode: int = 1, said: str = "", code: str = "") -> Ending:
    return Ending(
        returncode=returncode,
        lines=lines,
        profile="coder",
        build="the build /opt/llama-server",
        model="/models/coder.gguf",
        stage="loading tensors",
        said=said,
        code=code,
    )


def test_an_illegal_instruction_names_the_build_and_the_cpu() -> None:
    error = at_load(_ending("AMX is not ready to be used!", returncode=-signal.SIGILL))

    assert isinstance(error, KilledBySignal)
    assert "/opt/llama-server" in error.message
    assert "SIGILL" in error.message
    assert "CPU" in error.hint


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
def test_other_signals_say_what_to_do(number: signal.Signals) -> None:
    error = at_load(_ending(returncode=-number))

    assert isinstance(error, KilledBySignal)
    assert number.name in error.message
    assert error.hint
    assert "{" not in error.hint


def test_a_signal_behind_a_shell_is_still_a_signal() -> None:
    assert signal_of(128 + signal.SIGILL) == signal.SIGILL
    assert signal_of(1) == signal_of(255) == 0


@pytest.mark.parametrize(
    ("line", "where", "size"),
    [
        (
            "0.1 E ggml_backend_cuda_buffer_type_alloc_buffer: allocating 8192.00 MiB on device 1: "
            "cudaMalloc failed: out of memory",
            "device 1",
            "8.0 GiB",
        ),
        ("0.1 E alloc_tensor_range: failed to allocate CUDA0 buffer of size 1073741824", "CUDA0", "1.0 GiB"),
        (
            "0.1 E ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 524288000",
            "host",
            "500 MiB",
        ),
        ("0.1 E alloc: failed to allocate buffer, attempted to allocate 512.00 MB", "host", "512 MiB"),
        ("0.1 E llama_init_from_model: failed to initialize the context: std::bad_alloc", "host", "enough"),
        ("terminate called after throwing: vk::Device::allocateMemory: ErrorOutOfDeviceMemory", "the GPU", "enough"),
    ],
)
def test_out_of_memory_says_where_and_how_much(line: str, where: str, size: str) -> None:
    error = at_load(_ending(line, "0.1 E srv load_model: failed to load model", returncode=-signal.SIGABRT))

    assert isinstance(error, OutOfMemory)
    assert where in error.message
    assert size in error.message
    assert "context" in error.hint


@pytest.mark.parametrize(
    ("lines", "known"),
    [
        (
            (
                "0.1 E ggml_backend_cuda_buffer_type_alloc_buffer: allocating 512.00 MiB on device 1: "
                "cudaMalloc failed: out of memory",
                "0.1 E alloc_tensor_range: failed to allocate CUDA1 buffer of size 536870912",
            ),
            Shortage("CUDA1", 2**29),
        ),
        (
            (
                "0.1 E ggml_vulkan: vk::Device::allocateMemory: ErrorOutOfDeviceMemory",
                "0.1 E alloc_tensor_range: failed to allocate Vulkan0 buffer of size 1073741824",
            ),
            Shortage("Vulkan0", 2**30),
        ),
        (("0.1 E hip: allocating 1.00 MiB on device 0: hipMalloc failed: out of memory",), Shortage("ROCm0", 2**20)),
        (("0.1 E alloc: insufficient memory (attempted to allocate 512.00 MB)",), Shortage("", 2**29)),
        (("0.1 E ggml_aligned_malloc: insufficient memory (attempted to allocate 1.00 MB)",), Shortage("host", 2**20)),
        (("0.1 E llama_init_from_model: failed to initialize the context: std::bad_alloc",), Shortage("host", 0)),
        (("CUDA error: out of memory",), Shortage("", 0)),
        (("0.1 E llama_model_load: unknown model architecture: 'newest'",), None),
    ],
)
def test_a_shortage_is_known_by_device_and_bytes(lines: tuple[str, ...], known: Shortage | None) -> None:
    assert shortage(lines) == known
    assert after_ready(_ending(*lines)).shortage == known
    if known is not None:
        assert at_load(_ending(*lines)).shortage == known


def test_the_kernel_that_ran_out_of_memory_is_told_from_a_kill() -> None:
    killed = _ending("0.1 I loading", returncode=-signal.SIGKILL)
    starved = replace(killed, starved=True)
    at_start, later = at_load(starved), after_ready(starved)

    assert isinstance(at_start, OutOfMemory)
    assert (
        at_start.message
        == "The kernel ended the engine of `coder` while loading tensors: the machine ran out of memory."
    )
    assert at_start.shortage == later.shortage == Shortage("host", 0)
    assert "ended by the kernel" in later.message
    assert isinstance(at_load(killed), KilledBySignal)
    assert after_ready(killed).shortage is None
    assert isinstance(at_load(replace(starved, returncode=-signal.SIGSEGV)), KilledBySignal)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("0.1 E llama_model_load: error loading model: missing tensor 'output_norm.weight'", "`output_norm.weight`"),
        ("0.1 E llama_model_load: error loading model: unknown model architecture: 'newest'", "architecture `newest`"),
        (
            "0.1 E gguf_init_from_reader: invalid magic characters: 'hell', expected 'GGUF'",
            "cannot be read: invalid magic",
        ),
        ("0.1 E gguf_init_from_reader: failed to read key-value pairs", "failed to read key-value pairs"),
        (
            "0.1 E llama_model_load: error loading model: tensor 'token_embd.weight' "
            "data is not within the file bounds, model is corrupted",
            "not within the file bounds",
        ),
        ("0.1 E gguf_init_from_file: failed to open GGUF file '/models/coder.gguf' (No such file)", "failed to open"),
    ],
)
def test_broken_weights_name_the_file(line: str, says: str) -> None:
    error = at_load(_ending(line, "0.1 E cmn common_init_: failed to load model '/models/coder.gguf'"))

    assert isinstance(error, LoadFailed)
    assert "/models/coder.gguf" in error.message
    assert says in error.message


def test_a_taken_port_is_recognised() -> None:
    line = "0.1 E srv start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8080"

    assert could_not_bind([line])
    assert "port" in at_load(_ending(line)).message


def test_a_refused_flag_names_the_build() -> None:
    error = at_load(_ending("error: invalid argument: --frobnicate"))

    assert isinstance(error, FlagUnsupported)
    assert "--frobnicate" in error.message
    assert "/opt/llama-server" in error.message


def test_what_the_launcher_said_about_a_flag_is_passed_on() -> None:
    error = at_load(_ending(returncode=2, said="the wheel refuses `-ot x`", code="flag_unsupported"))

    assert isinstance(error, FlagUnsupported)
    assert "refuses `-ot x`" in error.message


def test_a_missing_driver_points_at_the_doctor() -> None:
    error = at_load(
        _ending("llama-server: error while loading shared libraries: libcuda.so.1: cannot open", returncode=127)
    )

    assert "libcuda.so.1" in error.message
    assert "doctor" in error.hint


def test_anything_else_shows_the_error_that_tells_most() -> None:
    error = at_load(_ending("0.1 E srv init: a strange thing", "0.2 E srv init: exiting due to model loading error"))

    assert type(error) is LoadFailed
    assert "a strange thing" in error.message
    assert "loading tensors" in error.message


@pytest.mark.parametrize(("returncode", "says"), [(-9, "SIGKILL"), (0, "code 0"), (3, "code 3")])
def test_an_engine_lost_later_says_how(returncode: int, says: str) -> None:
    error = after_ready(_ending(returncode=returncode))

    assert isinstance(error, EngineLost)
    assert says in error.message


def test_a_program_that_ends_at_once_is_told_by_its_last_line_too() -> None:
    """An exit code alone said nothing, though the program had told why."""
    error = at_load(_ending("Traceback (most recent call last):", "OSError: no such device", "", returncode=7))
    assert error.evidence == "OSError: no such device (exit code 7)"
    assert "OSError: no such device" in error.message
    assert at_load(_ending("0.1 I srv load_model", returncode=7)).evidence == "exit code 7"
    assert "no such device" not in after_ready(_ending("OSError: no such device", returncode=7)).message
