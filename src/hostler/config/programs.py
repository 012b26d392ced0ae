"""Profiles by kind of engine, `command` above all: settings that are each right but cannot be run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from hostler.config.remotes import wrong_with_remote
from hostler.config.settings import EngineSettings, Profile
from hostler.config.shape import KeyPath

#: What stands for something in `argv`, `stop` and the values of `env`.
PLACES = ("PORT", "MODEL", "PROFILE", "KEY")
NO_HEALTH = "none"

# What no engine of llama.cpp does.
TASKS_OF_COMMANDS = ("transcription", "speech", "image")

_PLACE = re.compile(r"\$\{PORT\}")
# What only says how a command is run, and what only says how llama.cpp is.
_OF_COMMANDS = ("argv", "stop", "model_name")
_OF_LLAMACPP = ("build", "threads", "batch", "ubatch", "cache_type_k", "cache_type_v", "extra_args")

Wrong = tuple[KeyPath, str]


def wrong_with(profile: Profile) -> Iterator[Wrong]:
    """What is wrong, by the key inside the profile that is to blame."""
    yield from wrong_with_remote(profile)
    engine = profile.engine
    if engine.kind == "remote":
        return
    if engine.kind != "command":
        for key in (key for key in _OF_COMMANDS if getattr(engine, key)):
            yield ("engine", key), 'only a profile with `kind = "command"` has it'
        if profile.task in TASKS_OF_COMMANDS:
            yield ("task",), f'"{profile.task}" is done by a program of yours: write `kind = "command"` in `engine`'
        return
    yield from _unrunnable(engine)
    for key in (key for key in _OF_LLAMACPP if getattr(engine, key)):
        yield ("engine", key), "a `command` does not take it: write it into `argv` as its program wants it"
    if profile.context == "max":
        yield ("context",), "of a `command` nobody knows how many tokens fit; write a number"


def _unrunnable(engine: EngineSettings) -> Iterator[Wrong]:
    argv: KeyPath = ("engine", "argv")
    if not engine.argv or not engine.argv[0].strip():
        yield argv, 'it is empty; a `command` needs a program and its arguments, such as ["vllm", "--port", "${PORT}"]'
    elif not _names_port((*engine.argv[1:], *engine.env.values())):
        yield argv, "${PORT} is in none of its arguments, nor in `env`: the program cannot know where to listen"
    if engine.health != NO_HEALTH and not engine.health.startswith("/"):
        yield ("engine", "health"), f'"{engine.health}" is wrong: expected a path such as "/health", or "none"'
    if engine.stop and not engine.stop[0].strip():
        yield ("engine", "stop"), "its first word, the program, is empty"


def _names_port(words: Iterable[str]) -> bool:
    return any(_PLACE.search(word) for word in words)
