"""The tiny GGUF files are GGUF files, read by an independent reader."""

from __future__ import annotations

import struct
from pathlib import Path

from gguf import GGUFReader

from hostler.testing.gguf_files import write_tiny_gguf


def test_a_tiny_file_is_read_by_the_gguf_package(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "models" / "tiny.gguf", llama__block_count=3, general__name="Other", fill_mib=2)
    reader = GGUFReader(path)
    assert reader.fields["llama.block_count"].contents() == 3
    assert reader.fields["general.name"].contents() == "Other"
    assert reader.fields["tokenizer.ggml.tokens"].contents() == ["<s>", "</s>", "a", "b"]
    assert {tensor.name for tensor in reader.tensors} >= {"token_embd.weight", "blk.0.ffn_up.weight"}
    assert path.stat().st_size > 2 * 2**20


def test_keys_can_be_left_out(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "base.gguf", without=["tokenizer.chat_template"])
    data = path.read_bytes()
    assert b"tokenizer.chat_template" not in data
    assert struct.unpack_from("<4sI", data) == (b"GGUF", 3)
