"""What a saved slot can be used with: the same model, build, and flags that shape what a slot holds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from hostler.engines.protocol import LoadSpec

HEADER = 256 * 1024

#: Where things lie, how quickly they are computed and what is served beside: none of it changes what a slot holds.
_WITHOUT_EFFECT = frozenset(
    (
        "--model", "--mmproj", "--host", "--port", "--alias", "--slot-save-path", "--log-verbosity", "--threads",
        "--threads-batch", "--batch-size", "--ubatch-size", "--n-gpu-layers", "--device", "--tensor-split",
        "--main-gpu", "--split-mode", "--override-tensor", "--n-cpu-moe", "--load-mode", "--no-mmap", "--mmap",
        "--mlock", "--fit", "--cache-ram", "--no-cache-idle-slots", "--ctx-checkpoints", "--metrics", "--slots",
        "--props", "--no-ui", "--no-webui", "--warmup", "--no-warmup", "--no-mmproj-offload",
        "--spec-draft-device",
    )
)  # fmt: skip


def key_of(spec: LoadSpec, argv: Sequence[str]) -> str:
    """The key of what an engine started with ``argv`` saves; "" when its build is not known. Blocking; OSError."""
    if not spec.build:
        return ""
    projector = (spec.model.projector,) if spec.model.projector else ()
    files = [_identity(path) for path in (*spec.model.files, *projector)]
    parts = (
        spec.build,
        files,
        [(*option, *_stamps(option)) for option in shaping(argv)],
        sorted(spec.plan.env.items()),
    )
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()


def engine_of(spec: LoadSpec) -> str:
    """What decides whether saving works at all: build, architecture, and whether there is a projector."""
    return f"{spec.build} {spec.facts.architecture}{' projector' if spec.model.projector else ''}"


def shaping(argv: Sequence[str]) -> list[tuple[str, ...]]:
    """The options in ``argv`` that shape what a slot holds, with their values, in order of their names."""
    options: list[tuple[str, ...]] = []
    start = next((index for index, argument in enumerate(argv) if argument == "--model"), 0)
    for argument in argv[start:]:
        if argument.startswith("-") and not _number(argument):
            options.append((argument,))
        elif options:
            options[-1] = (*options[-1], argument)
    return sorted(option for option in options if option[0] not in _WITHOUT_EFFECT)


def _number(argument: str) -> bool:
    return argument[1:2].isdigit() or argument[1:2] == "."


def _identity(path: Path) -> tuple[int, int, str]:
    """Size, time and a hash of the header: a model file of gigabytes is not read for this."""
    stat = path.stat()
    with path.open("rb") as file:
        return stat.st_size, stat.st_mtime_ns, hashlib.blake2b(file.read(HEADER), digest_size=16).hexdigest()


def _stamps(option: Sequence[str]) -> list[str]:
    """Size and time of files that an option names, such as a template or an adapter."""
    found = []
    for value in option[1:]:
        path = Path(value)
        if path.is_absolute() and path.is_file():
            stat = path.stat()
            found.append(f"{stat.st_size} {stat.st_mtime_ns}")
    return found
