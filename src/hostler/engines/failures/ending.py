"""Why an engine ended: exit code and last log lines to one typed error that says what to do next. Pure.

The rows of :data:`hostler.engines.failures.causes.CAUSES` are tried in their order; the first that fits wins. What a
launcher says of itself goes before them.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable

import msgspec

from hostler.engines.failures.causes import BY_ID, CAUSES, Cause
from hostler.engines.failures.memory import place, shortage, size
from hostler.engines.failures.signals import name_of, signal_of
from hostler.errors import EngineError, EngineLost, FlagUnsupported, LoadFailed, OutOfMemory, Shortage


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a process ended. ``returncode`` is negative for a signal; ``said`` is what its launcher reported.

    ``starved``: meanwhile the kernel has ended a process for want of memory.
    """

    returncode: int
    lines: tuple[str, ...]
    profile: str
    build: str
    model: str
    stage: str
    said: str = ""
    code: str = ""
    starved: bool = False


class _Fit(msgspec.Struct, frozen=True):
    """A cause that fits, the line that shows it (without its prefix), and what the pattern found in it."""

    cause: Cause
    evidence: str
    found: tuple[str, ...] = ()


_PREFIX = re.compile(r"^(?:[\d.]+ )?[IWED] ")
_LAST_WORDS = re.compile(r"GGML_ASSERT|CUDA error|terminate called|what\(\):|Assertion")
_FULL = (errno.ENOSPC, errno.EDQUOT)


def at_load(ending: Ending) -> EngineError:
    """The error for an engine that ended before it was ready: LoadFailed or FlagUnsupported."""
    if ending.code == FlagUnsupported.code:
        return _classed(FlagUnsupported(ending.said), BY_ID["bad_flags"], ending.said)
    fit = _fit(ending, CAUSES)
    if fit.cause is BY_ID["ended"] and (words := _parting(ending)):
        fit = _Fit(fit.cause, f"{words} ({fit.evidence})")
    cause = fit.cause
    kind = cause.error or LoadFailed
    message = cause.says.format(*map(_shortened, fit.found), **_known(ending, fit))
    error = kind(message, hint=cause.do.format(profile=ending.profile))
    if isinstance(error, OutOfMemory):
        error.shortage = _shortage(ending)
    return _classed(error, cause, fit.evidence)


def after_ready(ending: Ending) -> EngineLost:
    """The error for an engine that ended after it was ready."""
    fit = _fit(ending, [cause for cause in CAUSES if cause.later is not None])
    last = last_error(ending.lines)
    why = (fit.cause.later or "").format(**_known(ending, fit))
    do = fit.cause.do.format(profile=ending.profile)
    error = EngineLost(
        f"The engine of `{ending.profile}` {why}{f' ({last})' if last else ''}.",
        hint=f"{EngineLost.default_hint} {do}",
    )
    error.shortage = _shortage(ending)
    _classed(error, fit.cause, fit.evidence)
    return error


def hanging(profile: str, why: str) -> EngineLost:
    """The error for an engine that runs, and does nothing."""
    cause = BY_ID["hang"]
    error = EngineLost(cause.says.format(profile=profile, why=why))
    _classed(error, cause, why)
    return error


def not_started(profile: str, error: OSError) -> LoadFailed:
    """The error for a process that the system would not start, or whose files it would not make."""
    if error.errno in _FULL:
        cause, why = BY_ID["disk_full"], str(error)
        full = LoadFailed(cause.says.format(profile=profile, why=why), hint=cause.do)
        _classed(full, cause, why)
        return full
    return LoadFailed(f"The engine of `{profile}` could not be started: {error}.")


def could_not_bind(lines: Iterable[str]) -> bool:
    """Whether the log says that the port could not be had."""
    pattern = BY_ID["port_taken"].log
    return pattern is not None and any(map(pattern.search, lines))


def last_error(lines: Iterable[str]) -> str:
    """The first error among the last lines that says why; errors after it only say that it failed."""
    errors = [_PREFIX.sub("", line).strip() for line in lines if _is_error(line)]
    telling = [line for line in errors if "failed to load model" not in line and "exiting due to" not in line]
    return _shortened((telling or errors or [""])[-1])


def _classed(error: EngineError, cause: Cause, evidence: str) -> EngineError:
    error.cause, error.evidence = cause.id, _shortened(evidence)
    return error


def _fit(ending: Ending, causes: Iterable[Cause]) -> _Fit:
    """The first of ``causes`` that fits; that it ended always does."""
    return next((fit for cause in causes if (fit := _fits(cause, ending))), _Fit(BY_ID["ended"], _why(ending)))


def _fits(cause: Cause, ending: Ending) -> _Fit | None:
    if cause.log is not None:
        for line in ending.lines:
            if found := cause.log.search(line):
                return _Fit(cause, _PREFIX.sub("", line).strip(), tuple(filter(None, found.groups())))
    number = signal_of(ending.returncode)
    if number in cause.signals and (ending.starved or not cause.starved):
        return _Fit(cause, _last_words(ending) or name_of(number))
    return None


def _known(ending: Ending, fit: _Fit) -> dict[str, str]:
    """What messages may name."""
    return {
        "profile": ending.profile,
        "build": ending.build,
        "model": ending.model,
        "stage": ending.stage,
        "signal": name_of(signal_of(ending.returncode)),
        "code": str(ending.returncode),
        "size": size(fit.evidence),
        "place": place(fit.evidence),
        "why": _shortened(fit.evidence),
    }


def _why(ending: Ending) -> str:
    number = signal_of(ending.returncode)
    return last_error(ending.lines) or ending.said or (name_of(number) if number else f"exit code {ending.returncode}")


def _parting(ending: Ending) -> str:
    """The last line of a program that writes no log of llama.cpp's form, where nothing else says why it ended. Only
    before it has had requests: later a line may hold what they said."""
    if ending.said or last_error(ending.lines) or any(map(_PREFIX.match, ending.lines)):
        return ""
    return next((line.strip() for line in reversed(ending.lines) if line.strip()), "")


def _last_words(ending: Ending) -> str:
    """The last line that says which inner check failed, else the last error."""
    found = [line for line in ending.lines if _LAST_WORDS.search(line)]
    return _PREFIX.sub("", found[-1]).strip() if found else last_error(ending.lines)


def _shortage(ending: Ending) -> Shortage | None:
    """Main memory that is lent out twice cannot be refused: the kernel ends somebody instead."""
    starved = _fits(BY_ID["killed_by_kernel"], ending)
    return shortage(ending.lines) or (Shortage("host", 0) if starved else None)


def _is_error(line: str) -> bool:
    found = _PREFIX.match(line)
    return (found is not None and " E " in f" {found[0]}") or line.lower().startswith("error")


def _shortened(line: str) -> str:
    return re.sub(r"\s+", " ", line)[:240].rstrip(".")
