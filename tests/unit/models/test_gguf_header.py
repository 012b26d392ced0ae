"""Headers: right ones are read, wrong ones say where and what."""

from __future__ import annotations

import contextlib
import os
import struct
import tracemalloc
from pathlib import Path

import pytest
from gguf_writer import LLAMA, TENSORS, Save, gguf, text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostler.errors import ModelError
from hostler.models.cursor import MAX_NAME
from hostler.models.gguf import read_facts, read_header
from hostler.models.header import Skipped
from hostler.models.looks import is_gguf

WHOLE = gguf(LLAMA, TENSORS)


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_header(path)
    assert str(path) in caught.value.message
    return caught.value.message


def test_a_header_is_read(save: Save) -> None:
    path = save()
    header = read_header(path)
    assert header.version == 3
    assert header.alignment == 32
    assert header.metadata["general.name"] == "Tiny"
    assert header.metadata["tokenizer.ggml.tokens"] == ("a", "b", "c")
    assert [(t.name, t.shape, t.type, t.offset, t.size) for t in header.tensors] == [
        ("token_embd.weight", (64, 3), "F32", 0, 768),
        ("blk.0.attn_q.weight", (64, 64), "Q4_1", 768, 2560),
    ]
    assert header.data_start == path.stat().st_size - 768 - 2560


def test_long_arrays_are_only_counted(save: Save) -> None:
    keys = [("a", "[str", ["token"] * 50_000), ("b", "[f32", [0.5] * 50_000), ("c", "[bool", [True, False])]
    header = read_header(save(content=gguf(keys)))
    assert header.metadata == {"a": Skipped(50_000), "b": Skipped(50_000), "c": (True, False)}


def test_a_header_larger_than_the_first_read(save: Save) -> None:
    keys = [("a", "[str", ["x" * 100] * 30_000), ("z", "str", "end")]
    assert read_header(save(content=gguf(keys))).metadata["z"] == "end"


@pytest.mark.parametrize(
    ("content", "looks"),
    [
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"PK\x03\x04" + b"x" * 40, "ZIP"),
        (struct.pack("<Q", 200) + b'{"__metadata__":{}}', "safetensors"),
        (b'{"error": "not found"}', "JSON"),
        (b"Entry not found", "text"),
        (b"\0" * 100, "zero bytes"),
        (b"lmgg" + b"\1" * 60, "GGML"),
        (b"\xde\xad\xbe\xef\x01", "unknown"),
    ],
)
def test_what_is_not_a_gguf_says_what_it_looks_like(save: Save, content: bytes, looks: str) -> None:
    message = refused(save(content=content))
    assert "byte 0" in message
    assert looks in message


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    """A pipe called x.gguf in the library held the gateway's loop for ever."""
    pipe = tmp_path / "x.gguf"
    os.mkfifo(pipe)
    assert "is not a file" in refused(pipe)
    assert not is_gguf(pipe)


def test_missing_empty_and_folder(save: Save, tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "none.gguf")
    assert "is empty" in refused(save(content=b""))
    assert "is a folder" in refused(tmp_path)


def test_versions(save: Save) -> None:
    assert read_header(save(content=gguf(LLAMA, TENSORS, version=2))).version == 2
    assert "version 1" in refused(save(content=gguf(LLAMA, version=1)))
    assert "big-endian" in refused(save(content=b"GGUF" + struct.pack(">IQQ", 3, 0, 0)))


def test_a_cut_header_names_the_byte(save: Save) -> None:
    message = refused(save(content=WHOLE[:100]))
    assert "truncated" in message
    assert "100 bytes" in message


def test_cut_tensor_data_names_both_sizes(save: Save) -> None:
    message = refused(save(content=WHOLE[:-1]))
    assert "blk.0.attn_q.weight" in message
    assert f"byte {len(WHOLE)}" in message
    assert f"{len(WHOLE) - 1} bytes" in message


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"GGUF" + struct.pack("<IQQ", 3, 2**40, 0), "tensor count"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63), "key count"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, MAX_NAME + 1), "length of key"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<IIQ", 9, 8, 2**62), "item count"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<II", 9, 9), "unknown type 9"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<I", 99), "unknown type 99"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2) + b"\xff\xfe" + bytes(20), "not UTF-8"),
        (gguf([("a", "u32", 1), ("a", "u32", 1)]), "twice"),
        (gguf([("", "u32", 1)]), "no name"),
        (gguf([("general.alignment", "u32", 24)]), "power of two"),
        (gguf([], [("t", (64,), 77, 64)]), "unknown type 77"),
        (gguf([], [("t", (1, 1, 1, 1, 1), 0, 4)]), "5 dimensions"),
        (gguf([], [("t", (2**40, 2**40), 0, 4)]), "impossible shape"),
        (gguf([], [("t", (33,), 2, 64)]), "multiple of 32"),
        (gguf([], [("t", (1,), 0, 4), ("t", (1,), 0, 4)]), "twice"),
    ],
)
def test_absurd_headers(save: Save, content: bytes, what: str) -> None:
    message = refused(save(content=content))
    assert what in message
    assert "at byte" in message


@pytest.mark.parametrize("offset", [0, 32, 800, 2**40, 2**63, 2**64 - 32])
def test_offsets_that_lie(save: Save, offset: int) -> None:
    """Tensors follow each other; one said to lie elsewhere would be read from another's bytes, or from none."""
    content = WHOLE.replace(struct.pack("<QIQ", 64, 3, 768), struct.pack("<QIQ", 64, 3, offset))
    assert content != WHOLE
    message = refused(save(content=content))
    assert f"lie at {offset} instead of 768" in message
    assert "at byte" in message


def test_a_string_of_two_gibibytes_is_not_read(save: Save) -> None:
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("general.name") + struct.pack("<IQ", 8, 2**31)
    path = save(content=head)
    os.truncate(path, 2**32)
    tracemalloc.start()
    message = refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "general.name" in message
    assert "larger than" in message
    assert peak < 4 * 2**20


@pytest.mark.parametrize("length", [2**31, 2**63, 2**64 - 1])
def test_an_absurd_length_among_many_strings(save: Save, length: int) -> None:
    """Long arrays are walked over by their lengths: one that leads out of the file must be caught."""
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<IIQ", 9, 8, 9000)
    message = refused(save(content=head + text("x") * 5000 + struct.pack("<Q", length) + text("x") * 4000))
    assert "truncated" in message


def test_strings_across_the_steps_of_reading(save: Save) -> None:
    """Items that begin in one step and end in another, or fill several."""
    keys = [("a", "[str", ["x" * (length % 977) for length in range(9000)]), ("b", "str", "y" * 5_000_000)]
    header = read_header(save(content=gguf([*keys, ("z", "str", "end")])))
    assert (header.metadata["a"], header.metadata["z"]) == (Skipped(9000), "end")
    assert len(str(header.metadata["b"])) == 5_000_000


def test_a_huge_count_in_a_sparse_file_costs_nothing(save: Save) -> None:
    """A length of 2^33 in a file of 2^34 bytes, none of them on disk: nothing may be allocated by it."""
    path = save(content=b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<IQ", 8, 2**33))
    os.truncate(path, 2**34)
    assert "larger than" in refused(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.integers(0, len(WHOLE)),
    flips=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), max_size=6),
)
def test_any_damage_is_a_model_error(save: Save, cut: int, flips: list[tuple[int, int]]) -> None:
    content = bytearray(WHOLE[:cut])
    for place, value in flips:
        if place < len(content):
            content[place] = value
    path = save(content=bytes(content))
    with contextlib.suppress(ModelError):
        read_facts([path])
