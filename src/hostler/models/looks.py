"""Says what a file that should have been a model looks like."""

from __future__ import annotations

from pathlib import Path

_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer (the weights themselves were not fetched)"),
    (b"PK\x03\x04", "a ZIP archive or a PyTorch checkpoint"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"\x7fELF", "a program"),
    (b"lmgg", "an old GGML model (convert it to GGUF)"),
    (b"tjgg", "an old GGJT model (convert it to GGUF)"),
    (b"fmgg", "an old GGMF model (convert it to GGUF)"),
    (b"\x80\x02", "a Python pickle"),
    (b"%PDF", "a PDF"),
)


def looks_like(start: bytes) -> str:
    """What a file beginning with ``start`` (its first 16 bytes or more) seems to be, in a few words."""
    for magic, name in _STARTS:
        if start.startswith(magic):
            return name
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "an HTML page (a login or error page saved instead of the model)"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 2**32:
        return "a safetensors file (convert it to GGUF)"
    if not start.strip(b"\0"):
        return "zero bytes (an unfinished download)"
    if text.startswith((b"{", b"[")):
        return "JSON text"
    printable = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in start)
    return "text" if printable == len(start) else f"something unknown (it starts with {start[:8].hex(' ')})"


def is_gguf(path: Path) -> bool:
    """Whether ``path`` begins as a GGUF file does; False when it cannot be read."""
    try:
        if not path.is_file():
            return False  # opening a pipe would wait for its writer, for ever
        with path.open("rb", buffering=0) as file:
            return file.read(4) == b"GGUF"
    except OSError:
        return False
