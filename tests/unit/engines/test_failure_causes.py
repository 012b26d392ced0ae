"""Ends of engines to classes of failure: the lines are those that llama.cpp, its backends and the system print."""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator

import pytest

from hostler import errors
from hostler.engines.failures import BY_ID, CAUSES, Ending, after_ready, at_load, hanging, not_started

ASSERTION = "/src/ggml/src/ggml-cuda/ggml-cuda.cu:2350: GGML_ASSERT(src0->ne[0] == src1->ne[0]) failed"


def ending(*lines: str, returncode: int = 1, starved: bool = False) -> Ending:
    return Ending(
        returncode=returncode,
        lines=lines,
        profile="coder",
        build="the build /opt/llama-server",
        model="/models/coder.gguf",
        stage="loading tensors",
        starved=starved,
    )


@pytest.mark.parametrize(
    ("cause", "line", "returncode"),
    [
        ("out_of_memory", "0.1 E alloc_tensor_range: failed to allocate CUDA0 buffer of size 1073741824", 1),
        ("out_of_memory", "ggml_metal: command buffer 0 failed: Insufficient Memory (00000008)", -signal.SIGABRT),
        ("illegal_instruction", "0.1 I loading", -signal.SIGILL),
        ("illegal_instruction", "0.1 I loading", 128 + signal.SIGILL),
        ("port_taken", "0.1 E srv start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8080", 1),
        ("driver_lost", "0.1 E ggml_cuda_compute_forward: CUDA error: unspecified launch failure", -signal.SIGABRT),
        ("driver_lost", "terminate called: vk::Queue::submit: ErrorDeviceLost", -signal.SIGABRT),
        ("driver_lost", "0.1 E CUDA error: uncorrectable ECC error encountered", -signal.SIGABRT),
        ("driver_lost", "ggml_metal: error: Caused GPU Hang Error (00000003:kIOGPUCommandBuffer)", -signal.SIGABRT),
        (
            "gpu_unsupported",
            "0.1 E CUDA error: no kernel image is available for execution on the device",
            -signal.SIGABRT,
        ),
        ("missing_tensor", "0.1 E llama_model_load: error loading model: missing tensor 'output.weight'", 1),
        ("missing_tensor", "0.1 E load_model: check_tensor_dims: tensor 'blk.3.attn_norm.weight' not found", 1),
        (
            "wrong_shape",
            "0.1 E check_tensor_dims: tensor 'output.weight' has wrong shape; expected 576, got 512",
            1,
        ),
        (
            "unsupported_architecture",
            "0.1 E llama_model_load: error loading model: unknown model architecture: 'newest'",
            1,
        ),
        ("model_corrupt", "0.1 E gguf_init_from_reader: invalid magic characters: 'hell', expected 'GGUF'", 1),
        ("model_lost", "0.1 I loading", -signal.SIGBUS),
        ("killed", "0.1 I loading", -signal.SIGKILL),
        ("crash", ASSERTION, -signal.SIGABRT),
        ("crash", "0.1 I loading", -signal.SIGSEGV),
        ("crash", "0.1 I loading", -signal.SIGXCPU),
        ("bad_flags", "error: invalid argument: --frobnicate", 1),
        ("missing_library", "llama-server: error while loading shared libraries: libcudart.so.12: cannot open", 127),
        ("missing_library", "llama-server: /lib/libc.so.6: version `GLIBC_2.38' not found (required by it)", 1),
        (
            "driver_too_old",
            "0.1 E ggml_cuda_init: failed to initialize CUDA: "
            "CUDA driver version is insufficient for CUDA runtime version",
            1,
        ),
        ("no_device", "0.1 E ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected", 1),
        ("no_device", "error while handling: invalid device: CUDA3", 1),
        ("disk_full", "0.1 E write: No space left on device", 1),
        ("ended", "0.1 E srv init: a strange thing", 3),
    ],
)
def test_the_end_of_a_load_has_its_class_and_evidence(cause: str, line: str, returncode: int) -> None:
    error = at_load(ending("0.1 I before", line, "0.2 E srv load_model: failed to load model", returncode=returncode))

    assert error.cause == cause
    assert error.evidence
    assert error.evidence in line or cause in ("illegal_instruction", "model_lost", "killed", "crash")
    assert isinstance(error, BY_ID[cause].error or errors.LoadFailed)
    assert "{" not in f"{error.message}{error.hint}"


@pytest.mark.parametrize(
    ("cause", "line", "returncode", "starved"),
    [
        ("out_of_memory", "CUDA error: out of memory", -signal.SIGABRT, False),
        ("killed_by_kernel", "0.1 I decoding", -signal.SIGKILL, True),
        ("killed", "0.1 I decoding", -signal.SIGKILL, False),
        ("killed", "0.1 I decoding", -signal.SIGTERM, False),
        ("driver_lost", "CUDA error: unspecified launch failure", -signal.SIGABRT, False),
        ("crash", ASSERTION, -signal.SIGABRT, False),
        ("model_lost", "0.1 I decoding", -signal.SIGBUS, False),
        ("ended", "0.1 I decoding", 0, False),
    ],
)
def test_the_end_of_a_ready_engine_has_its_class(cause: str, line: str, returncode: int, starved: bool) -> None:
    # What was said while it loaded is no reason for a later end: the CPU took over.
    soft = "0.1 E ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected"
    error = after_ready(ending(soft, line, returncode=returncode, starved=starved))

    assert error.cause == cause
    assert error.hint.startswith("Send the request again")
    assert (error.shortage is not None) == (cause in ("out_of_memory", "killed_by_kernel"))


def test_the_assertion_that_failed_is_the_evidence_of_a_crash() -> None:
    assert at_load(ending(ASSERTION, "0.3 I done", returncode=-signal.SIGABRT)).evidence == ASSERTION


def test_a_cpu_that_takes_over_from_a_gpu_is_not_why_a_model_is_refused() -> None:
    soft = "0.1 E ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected"
    assert at_load(ending(soft, "0.2 E load: missing tensor 'output.weight'")).cause == "missing_tensor"
    assert at_load(ending(soft, returncode=-signal.SIGSEGV)).cause == "crash"


def test_a_full_disk_is_known_by_its_number() -> None:
    full = not_started("coder", OSError(errno.ENOSPC, "No space left on device", "/state/slots"))
    assert (full.cause, "Free some space" in full.hint) == ("disk_full", True)
    assert not_started("coder", OSError(errno.EACCES, "Permission denied")).cause == ""


def test_a_hang_is_an_engine_that_is_lost() -> None:
    error = hanging("coder", "it has generated nothing for 120 s")
    assert error.cause == "hang"
    assert "nothing for 120 s" in error.message


def tree(kind: type[errors.HostlerError] = errors.HostlerError) -> Iterator[type[errors.HostlerError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from tree(below)


def test_causes_are_told_apart_and_named_right() -> None:
    assert len(BY_ID) == len(CAUSES)
    assert {kind.cause for kind in tree()} - {""} <= BY_ID.keys()
    for cause in CAUSES:
        assert cause.error is not None or cause.event, cause.id
        assert cause.seen, cause.id
        assert cause.does.endswith("."), cause.id
        assert cause.do.endswith("."), cause.id
