"""What an engine's log lines mean: stages of a load, buffers, complaints, the address. Pure.

Recorded from llama.cpp's server at ``-lv 4``; other builds write the same words with other prefixes.
"""

from __future__ import annotations

import re

import msgspec

from hostler.engines.protocol import Buffer, Complaint, Splits, Stage


class Listening(msgspec.Struct, frozen=True):
    """The engine accepts connections there."""

    host: str
    port: int


Meaning = Stage | Buffer | Splits | Complaint | Listening

# Seconds.milliseconds.microseconds and the level; builds without timestamps write the level alone.
_PREFIX = re.compile(r"^(?:[\d.]+ )?([IWED]) ")
_STAGES = (
    ("load_model: loading model", "opening model"),
    ("llama_model_loader: loaded meta data", "reading header"),
    ("loading model tensors", "loading tensors"),
    ("llama_context: constructing", "allocating context"),
    ("warming up the model", "warming up"),
)
_BUFFER = re.compile(r"(\S+?)\s+(model|KV|RS|compute|output)\s+buffer size\s*=\s*([\d.]+) MiB")
_KINDS = {"model": "model", "KV": "kv", "RS": "recurrent", "compute": "compute", "output": "output"}
# `splits = 94` or `splits = 50 / 2`; older builds `graph splits = 94` or `50 (with bs=512), 2 (with bs=1)`.
_SPLITS = re.compile(r"graph.*\bsplits = (\d+)(?: / (\d+)| \(with bs=\d+\), (\d+) \(with bs=1\))?")
_LISTENING = re.compile(r"listening on https?://([\w.:\[\]-]+?):(\d+)|listening, hostname: (\S+), port: (\d+)")
_HOST_BUFFERS = ("CPU", "Host", "BLAS")
_EXPECTED = ("security: no API key", "need to evaluate at least 1 token", "n_past was set to", "unauthorized:")

# What a line after the load must look like to be kept: llama.cpp prints grammars and schemas of requests on
# lines of their own.
_CRASH = re.compile(
    r"GGML_ASSERT|GGML_ABORT|[Cc][Uu][Dd][Aa] error|terminate called|what\(\):|ggml_abort|Segmentation|out of memory"
)
# Everything after these words may quote a request.
_QUOTES = re.compile(r"(got exception:|E llg |parse: error|failed to parse|Parsing |prompt: ).*", re.DOTALL)


def meaning(line: str) -> Meaning | None:
    """What ``line`` tells during a load, or None."""
    if "buffer size" in line and (found := _BUFFER.search(line)):
        return Buffer(device=device(found[1]), kind=_KINDS[found[2]], mib=float(found[3]))
    if "splits" in line and (found := _SPLITS.search(line)):
        return Splits(prompt=int(found[1]), token=int(found[2] or found[3] or found[1]))
    if "listening" in line and (found := _LISTENING.search(line)):
        return Listening(host=found[1] or found[3], port=int(found[2] or found[4]))
    for words, stage in _STAGES:
        if words in line:
            return Stage(stage)
    return complaint(line)


def complaint(line: str) -> Complaint | None:
    """A warning or an error in ``line`` that is worth telling, without its prefix."""
    level = _level(line)
    if level is None or any(words in line for words in _EXPECTED):
        return None
    text = _PREFIX.sub("", line).strip()
    return Complaint(level="error" if level == "E" else "warning", text=text[:500])


def device(buffer_type: str) -> str:
    """``CPU_Mapped``, ``CPU_REPACK`` and pinned host memory are ``host``; the rest is the engine's name for it."""
    if buffer_type.startswith(_HOST_BUFFERS) or buffer_type.endswith("_Host"):
        return "host"
    return buffer_type


def without_prompts(line: str) -> str | None:
    """``line`` as it may be kept once requests run: None when it could hold text of a request."""
    if not _PREFIX.match(line) and not _CRASH.search(line):
        return None
    return _QUOTES.sub(lambda found: f"{found[1]} (left out)", line)


def _level(line: str) -> str | None:
    found = _PREFIX.match(line)
    if found:
        return found[1] if found[1] in "WE" else None
    return "E" if line.lower().startswith("error") else None
