"""Arguments in `llama-server`'s way of writing them, read by the table in :mod:`hostler.engines.commands.flags`.

Used by the launcher (which is why it imports only leaves) and by the checks of ``extra_args``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hostler.engines.commands.flags import BY_SPELLING, FLAGS, Flag
from hostler.errors import FlagConflict, FlagUnsupported

Value = int | float | str | bool


class Given(NamedTuple):
    """A flag as it was given: the spelling used and the value, typed by the table."""

    flag: Flag
    spelling: str
    value: Value


def parse(argv: Sequence[str], build: str) -> list[Given]:
    """Read ``argv`` in order.

    Raises FlagUnsupported, which names the flag and ``build``, for an unknown flag (with the nearest known
    one), a missing value and a value of the wrong type.
    """
    given: list[Given] = []
    at = 0
    while at < len(argv):
        flag = _lookup(argv[at], build)
        if flag.kind == "switch":
            given.append(Given(flag, argv[at], argv[at] not in flag.off))
            at += 1
            continue
        if at + 1 >= len(argv):
            raise FlagUnsupported(f"`{argv[at]}` needs a value ({_expects(flag)}).", hint="Add it after the flag.")
        given.append(Given(flag, argv[at], _typed(flag, argv[at], argv[at + 1])))
        at += 2
    return given


def known_by_wheel(given: Iterable[Given], build: str) -> None:
    """Raises FlagUnsupported for the first flag that the embedded wheel has no way to take."""
    for each in given:
        if each.flag.wheel is None:
            raise FlagUnsupported(f"`{each.spelling}` cannot be passed to {build}.")


def known_by_binary(extra_args: Sequence[str], flags: frozenset[str], build: str) -> None:
    """Raises FlagUnsupported for the first flag that is not in the binary's own ``--help``.

    What looks like a value is left to the binary; an empty ``flags`` (help not understood) checks nothing.
    """
    for argument in extra_args:
        if flags and _looks_like_flag(argument) and argument not in flags:
            raise FlagUnsupported(f"`{argument}` is not a flag of {build}{_nearest(argument, flags)}.")


def check_conflicts(extra_args: Sequence[str], profile: str) -> None:
    """Raises FlagConflict when ``extra_args`` names a flag that Hostler sets; says which setting is meant."""
    for flag, spelling in _named(extra_args):
        if flag.owner == "ours":
            setting = flag.setting.replace("NAME", profile)
            raise FlagConflict(f"`{spelling}` in `extra_args` of `{profile}` conflicts with `{setting}`.")


def _named(extra_args: Sequence[str]) -> Iterable[tuple[Flag, str]]:
    """The flags of the table in ``extra_args``; values are skipped, flags that are not in it too."""
    at = 0
    while at < len(extra_args):
        flag = BY_SPELLING.get(extra_args[at].split("=", 1)[0].split(" ", 1)[0])
        if flag is not None:
            yield flag, extra_args[at]
        at += 2 if flag is not None and flag.kind != "switch" else 1


def overridden(extra_args: Sequence[str]) -> frozenset[str]:
    """Names of the flags that ``extra_args`` passes itself."""
    return frozenset(flag.name for flag, _ in _named(extra_args))


def _lookup(argument: str, build: str) -> Flag:
    flag = BY_SPELLING.get(argument)
    if flag is not None:
        return flag
    for separator in ("=", " "):
        if argument.split(separator, 1)[0] in BY_SPELLING:
            name = argument.split(separator, 1)[0]
            raise FlagUnsupported(
                f"`{argument}` is not how {build} takes `{name}`.", hint="Write flag and value as two items."
            )
    raise FlagUnsupported(f"`{argument}` is not a flag that {build} takes{_nearest(argument, BY_SPELLING)}.")


def _nearest(argument: str, known: Iterable[str]) -> str:
    # Imported here: only the error path pays for it.
    from difflib import get_close_matches

    near = get_close_matches(argument, list(known), n=1)
    return f" (nearest: `{near[0]}`)" if near else ""


def _typed(flag: Flag, spelling: str, text: str) -> Value:
    if flag.kind == "choice" and text not in flag.choices:
        raise FlagUnsupported(f"`{spelling} {text}`: expected {_expects(flag)}.", hint="Correct the value.")
    try:
        if flag.kind == "int":
            return int(text)
        if flag.kind == "float":
            return float(text)
    except ValueError:
        message = f"`{spelling} {text}`: expected {_expects(flag)}."
        raise FlagUnsupported(message, hint="Correct the value.") from None
    return text


def _expects(flag: Flag) -> str:
    if flag.kind == "choice":
        return "one of " + ", ".join(flag.choices)
    return {"int": "a whole number", "float": "a number", "text": "text", "switch": "nothing"}[flag.kind]


def _looks_like_flag(argument: str) -> bool:
    return len(argument) > 1 and argument[0] == "-" and (argument[1] == "-" or argument[1].isalpha())


def spellings(name: str) -> tuple[str, ...]:
    """Every way to write the flag called ``name``."""
    return next(flag.spellings() for flag in FLAGS if flag.name == name)
