"""llama-server's command line: the driver's own table of flags, refused where llama-server refuses."""

from __future__ import annotations

import os
from dataclasses import dataclass

from hostler.engines.commands.flags import BY_SPELLING, FLAGS


class BadFlag(ValueError):
    """As llama-server says it."""


@dataclass(frozen=True)
class Options:
    """What the fake does with the command line; every other known flag is accepted and ignored."""

    model: str
    alias: str
    host: str
    port: int
    keys: frozenset[bytes]
    context: int
    slots: int
    unified: bool
    embeddings: bool
    reranking: bool
    metrics: bool
    props: bool
    show_slots: bool
    slot_save_path: str
    ubatch: int
    layers: int

    @property
    def slot_context(self) -> int:
        """Tokens that one slot can hold."""
        return self.context if self.unified else self.context // self.slots


def _known(word: str, lacks: frozenset[str]) -> tuple[str, bool]:
    """The name of the flag that ``word`` is a spelling of, and whether a value follows; raises BadFlag."""
    flag = BY_SPELLING.get(word)
    if flag is None or word in lacks:
        raise BadFlag(f"error: invalid argument: {word}")
    return (word if word in flag.off else flag.name), flag.kind != "switch"


def _read(argv: list[str], lacks: frozenset[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    words = iter(argv)
    for word in words:
        name, takes_value = _known(word, lacks)
        value = next(words, None) if takes_value else ""
        if value is None:
            raise BadFlag(f'error while handling argument "{word}": expected value for argument')
        found[name] = value
    return found


def _keys(found: dict[str, str]) -> frozenset[bytes]:
    text = found.get("--api-key") or os.environ.get("LLAMA_API_KEY", "")
    keys = text.split(",")
    if "--api-key-file" in found:
        with open(found["--api-key-file"], encoding="utf-8") as file:
            keys += file.read().splitlines()
    return frozenset(key.encode() for key in keys if key)


def _layers(text: str) -> int:
    """How many layers go to a GPU, as many as there are for `auto` and `all`."""
    return int(text) if text.isdecimal() else 10_000


def parse(argv: list[str], lacks: frozenset[str] = frozenset()) -> Options:
    """Options of a command line; ``lacks`` are flags not known here. Raises BadFlag in llama-server's words."""
    found = _read(argv, lacks)
    model = found.get("--model", "")
    slots = int(found.get("--parallel", "-1"))
    save_path = found.get("--slot-save-path", "")
    if save_path and not os.path.isdir(save_path):
        raise BadFlag(f'error while handling argument "--slot-save-path": not a directory: {save_path}')
    return Options(
        model=model,
        alias=found.get("--alias", "").partition(",")[0] or os.path.basename(model) or "fake",
        host=found.get("--host", "127.0.0.1"),
        port=int(found.get("--port", "8080")),
        keys=_keys(found),
        context=int(found.get("--ctx-size", "0")) or 8192,
        slots=4 if slots < 1 else slots,
        unified=slots < 1 or "--kv-unified" in found,
        embeddings="--embeddings" in found or "--reranking" in found,
        reranking="--reranking" in found or found.get("--pooling") == "rank",
        metrics="--metrics" in found,
        props="--props" in found,
        show_slots="--no-slots" not in found,
        slot_save_path=save_path,
        ubatch=int(found.get("--ubatch-size", "512")),
        layers=_layers(found.get("--n-gpu-layers", "auto")),
    )


def describe(lacks: frozenset[str] = frozenset()) -> str:
    """The flags as ``llama-server --help`` prints them, without those that are lacking."""
    lines = ["----- common params -----", ""]
    for flag in FLAGS:
        names = [name for name in flag.spellings() if name not in lacks]
        if names:
            lines.append(", ".join(sorted(names, key=len)) + (" N" if flag.kind != "switch" else ""))
    return "\n".join(lines)
