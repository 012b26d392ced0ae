"""`llama-server` options as other programs' files write them: on a command line, as keys, as environment names."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from hostler.engines.commands.flags import BY_SPELLING, Flag
from hostler.errors import ConfigError

TRUE = frozenset({"true", "on", "1", "yes", "enabled"})
FALSE = frozenset({"false", "off", "0", "no", "disabled"})
# These may be given several times; each counts.
REPEATED = frozenset({"--lora", "--lora-scaled", "--override-tensor", "--override-kv", "--control-vector"})

# Environment names that are not the flag's own name in capitals.
_ENVIRONMENT = {
    "N_PARALLEL": "--parallel", "BATCH": "--batch-size", "UBATCH": "--ubatch-size", "THINK": "--reasoning-format",
    "THINK_BUDGET": "--reasoning-budget", "THINK_BUDGET_MESSAGE": "--reasoning-budget-message",
    "N_GPU_LAYERS_DRAFT": "--spec-draft-ngl", "N_PREDICT": "--predict", "DRAFT_MAX": "--spec-draft-n-max",
    "DRAFT_MIN": "--spec-draft-n-min", "MODEL_DRAFT": "--spec-draft-model", "ENDPOINT_SLOTS": "--slots",
    "ENDPOINT_METRICS": "--metrics", "ENDPOINT_PROPS": "--props", "STATIC_PATH": "--path",
    "ROPE_SCALING_TYPE": "--rope-scaling", "SPEC_DRAFT_CACHE_TYPE_K": "--spec-draft-type-k",
    "SPEC_DRAFT_CACHE_TYPE_V": "--spec-draft-type-v",
}  # fmt: skip
_SHORT = re.compile(r"-[A-Za-z]")


class Option(NamedTuple):
    """One option where it stands. ``flag`` is None when the table does not know it; a switch has no values."""

    file: str
    line: int
    spelling: str
    values: tuple[str, ...]
    flag: Flag | None

    @property
    def text(self) -> str:
        """As it would be typed; a key is not shown."""
        if self.key == "--api-key":
            return f"{self.spelling} ..."
        return " ".join((self.spelling, *(shlex.quote(value) for value in self.values)))

    @property
    def key(self) -> str:
        """What it sets, however it is spelt."""
        return self.flag.name if self.flag else self.spelling


def words(text: str, file: Path | str, line: int) -> list[str]:
    """``text`` as a shell splits it. Raises ConfigError for a quote that is not closed."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"{file}:{line}: cannot be split into arguments: {str(error).lower()}") from error


def from_command(argv: Sequence[str], file: str, line: int) -> list[Option]:
    """The options of a command line; a word that belongs to no option is one that nobody knows."""
    options: list[Option] = []
    at = 0
    while at < len(argv):
        option, taken = _next(argv, at, file, line)
        options.append(option)
        at += taken
    return options


def _next(argv: Sequence[str], at: int, file: str, line: int) -> tuple[Option, int]:
    spelling, flag = argv[at], BY_SPELLING.get(argv[at])
    name, separator, value = spelling.partition("=")
    if flag is None and separator and name in BY_SPELLING:
        return Option(file, line, name, (value,), BY_SPELLING[name]), 1
    if flag is None:
        count = 1
        while at + count < len(argv) and not looks_like_flag(argv[at + count]):
            count += 1
        return Option(file, line, spelling, tuple(argv[at + 1 : at + count]), None), count
    if flag.kind == "switch":
        return Option(file, line, spelling, (), flag), 1
    if flag.name == "--flash-attn" and (at + 1 == len(argv) or argv[at + 1] not in flag.choices):
        # Before it took a value, the flag alone turned it on.
        return Option(file, line, spelling, ("on",), flag), 1
    return Option(file, line, spelling, tuple(argv[at + 1 : at + 2]), flag), min(2, len(argv) - at)


def looks_like_flag(word: str) -> bool:
    """Whether a word begins an option: ``-1`` does not."""
    return word.startswith("--") or _SHORT.match(word) is not None


def from_key(key: str, value: str, path: Path, line: int) -> Option | None:
    """The option that ``key = value`` means; None for a switch that is said to be off and has no way to say so.

    1. An environment name (``LLAMA_ARG_CTX_SIZE``). 2. A flag without its dashes, long or short. 3. The same
    with underscores or in capitals. A key that means no flag gives an option that the table does not know.
    """
    spelling = _spelling(key)
    flag = BY_SPELLING.get(spelling)
    if flag is None:
        return Option(path.name, line, key, (value,), None)
    if flag.kind != "switch":
        return Option(path.name, line, spelling, (value,), flag)
    said = value.strip().lower()
    if said not in TRUE | FALSE | {""}:
        raise ConfigError(f"{path}:{line}: `{key}` is on or off, not `{value}`")
    wanted = (said not in FALSE) == (spelling not in flag.off)
    if not wanted and not flag.off:
        return None
    return Option(path.name, line, flag.name if wanted else flag.off[0], (), flag)


def _spelling(key: str) -> str:
    if key.startswith("LLAMA_ARG_"):
        bare = key.removeprefix("LLAMA_ARG_")
        return _ENVIRONMENT.get(bare, "--" + bare.lower().replace("_", "-"))
    worn = key.lower().replace("_", "-")
    tried = (key, f"--{key}", f"-{key}", f"--{worn}", _ENVIRONMENT.get(key, ""))
    return next((each for each in tried if each in BY_SPELLING), key)


def layered(base: Iterable[Option], over: Sequence[Option]) -> list[Option]:
    """``over`` on top of ``base``: what both set counts as ``over`` says."""
    said = {option.key for option in over}
    return [*(option for option in base if option.key not in said), *over]
