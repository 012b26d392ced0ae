"""A recorded log of llama.cpp's server at ``-lv 4``, read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostler.engines.loglines import Listening, complaint, device, meaning, without_prompts
from hostler.engines.protocol import Buffer, Complaint, Splits, Stage

RECORDED = (Path(__file__).parent / "data" / "smollm2-lv4.log").read_text(encoding="utf-8").splitlines()


def test_the_stages_of_a_load_come_in_order() -> None:
    stages = [found.name for line in RECORDED if isinstance(found := meaning(line), Stage)]

    assert stages == ["opening model", "reading header", "loading tensors", "allocating context", "warming up"]


def test_every_buffer_is_read_with_its_kind_and_size() -> None:
    buffers = [found for line in RECORDED if isinstance(found := meaning(line), Buffer)]

    assert buffers == [
        Buffer("host", "model", 92.10),
        Buffer("host", "output", 0.19),
        Buffer("host", "kv", 180.0),
        Buffer("host", "compute", 22.64),
    ]


@pytest.mark.parametrize(
    ("line", "splits"),
    [
        ("sched_reserve: graph: nodes = 730, splits = 1, input objects = 4, input tensors = 13", Splits(1, 1)),
        ("sched_reserve: graph: nodes = 730, splits = 50 / 98, input objects = 4", Splits(50, 98)),
        ("0.00.664.045 I sched_reserve: graph splits = 2", Splits(2, 2)),
        ("llama_context: graph splits = 110 (with bs=512), 74 (with bs=1)", Splits(110, 74)),
    ],
)
def test_graph_splits_are_read(line: str, splits: Splits) -> None:
    assert meaning(line) == splits


def test_the_address_is_learnt_from_the_log() -> None:
    assert [found for line in RECORDED if isinstance(found := meaning(line), Listening)] == [
        Listening("127.0.0.1", 34445)
    ]
    assert meaning("main: server is listening on http://127.0.0.1:8080 - starting the main loop") == Listening(
        "127.0.0.1", 8080
    )
    assert meaning("HTTP server is listening, hostname: 127.0.0.1, port: 8081, http threads: 3") == Listening(
        "127.0.0.1", 8081
    )


def test_an_ordinary_load_has_nothing_to_complain_about() -> None:
    assert [line for line in RECORDED if complaint(line)] == []


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        ("0.00.003 E srv load_model: failed", "error", "srv load_model: failed"),
        (
            "0.00.003 W llama_context: n_ctx_seq (9) > n_ctx_train",
            "warning",
            "llama_context: n_ctx_seq (9) > n_ctx_train",
        ),
        ("E bad", "error", "bad"),
        ("error: invalid argument: --x", "error", "error: invalid argument: --x"),
    ],
)
def test_warnings_and_errors_are_told(line: str, level: str, text: str) -> None:
    found = complaint(line)

    assert isinstance(found, Complaint)
    assert (found.level, found.text) == (level, text)


@pytest.mark.parametrize(
    ("buffer", "name"),
    [("CPU_Mapped", "host"), ("CPU_REPACK", "host"), ("CUDA_Host", "host"), ("CUDA0", "CUDA0"), ("Metal", "Metal")],
)
def test_buffers_belong_to_devices(buffer: str, name: str) -> None:
    assert device(buffer) == name


@pytest.mark.parametrize(
    "line",
    [
        'root ::= "MARKER"',
        '  2 | start: %json {"type":"MARKER"}',
        "0.00.395 E llg error: at 2(8): failed to compile JSON schema: MARKER",
        '0.00.424 W srv    operator(): got exception: {"error":{"message":"but got: MARKER"}}',
    ],
)
def test_what_quotes_a_request_is_left_out(line: str) -> None:
    """llama.cpp prints the grammars and schemas of requests, and quotes them in its errors."""
    kept = without_prompts(line)

    assert kept is None or "MARKER" not in kept


@pytest.mark.parametrize(
    "line", ["0.00.522 I slot release: id  0 | stop processing", "ggml.c:12: GGML_ASSERT(x) failed"]
)
def test_everything_else_is_kept(line: str) -> None:
    assert without_prompts(line) == line
