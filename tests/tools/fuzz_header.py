"""Looks for headers that make the readers do anything but answer or refuse, guided by coverage.

Needs `atheris`, which is not among the development tools: install it (and `msgspec`) into an environment of its own
and run ``PYTHONPATH=src python tests/tools/fuzz_header.py CORPUS [-max_total_time=600 -rss_limit_mb=1024 ...]``.
CORPUS is a folder that keeps what was found; options are libFuzzer's. Any exception other than ModelError ends the
run with a file that shows it.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["hostler.models"]):
    from hostler.errors import ModelError
    from hostler.models.cursor import Cursor
    from hostler.models.gguf import check_parts, facts_of
    from hostler.models.header import parse_header
    from hostler.models.safetensors import parse_shard
    from hostler.models.shaping import shape_of

from hostler.testing.gguf_files import write_tiny_gguf


def one(data: bytes) -> None:
    """Read ``data`` as a GGUF file, and as the header of a safetensors file if it looks like JSON."""
    with contextlib.suppress(ModelError):
        if data[:1] == b"{":
            parse_shard("fuzz", data, 2**40)
            return
        # The promised size is far larger than what is there, so that lengths are not stopped by it.
        header = parse_header(Cursor("fuzz", io.BytesIO(data), 2**40))
        check_parts(["fuzz"], [header])
        facts_of([header], "fuzz")
        shape = shape_of([header], "fuzz")
        if shape.weights != sum(tensor.size for tensor in header.tensors):
            raise AssertionError("bytes of the parts do not add up to those of the tensors")


def seed(corpus: Path) -> None:
    """Put small valid headers into an empty corpus."""
    corpus.mkdir(parents=True, exist_ok=True)
    for arch in ("llama", "gemma3", "deepseek2", "qwen3next", "nemotron_h", "mamba2", "gpt-oss", "brandnew"):
        own = {
            "general.architecture": arch,
            f"{arch}.attention.sliding_window": 64,
            f"{arch}.attention.head_count_kv": [2, 0],
            f"{arch}.nextn_predict_layers": 1,
            f"{arch}.ssm.state_size": 8,
            f"{arch}.ssm.inner_size": 16,
            f"{arch}.ssm.conv_kernel": 4,
            f"{arch}.expert_count": 8,
            f"{arch}.expert_used_count": 2,
        }
        tensors = {"token_embd.weight": (64, 4), "blk.0.attn_k.weight": (64, 2), "blk.1.ffn_up_exps.weight": (4, 4, 8)}
        write_tiny_gguf(
            corpus / f"{arch}.gguf", tensors=tensors, **{name.replace(".", "__"): v for name, v in own.items()}
        )
    shard = '{"t":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]},"__metadata__":{"format":"pt"}}'
    (corpus / "shard.json").write_text(shard)


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("usage: python tests/tools/fuzz_header.py CORPUS [libFuzzer's options]")
    corpus = Path(sys.argv[1])
    if not corpus.exists() or not any(corpus.iterdir()):
        seed(corpus)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
