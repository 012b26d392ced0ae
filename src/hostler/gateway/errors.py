"""The one place where the error tree becomes HTTP: status, headers, and an envelope per API family.

Every envelope says who spoke: the gateway or the engine behind it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from hostler import errors
from hostler.errors import HostlerError
from hostler.gateway.asking.exceeded import ContextExceeded
from hostler.wire.management import Problem, ProblemBody

Family = Literal["openai", "anthropic", "ollama", "problem"]

#: The nearest class up the tree counts.
STATUS: Final[dict[type[HostlerError], int]] = {
    HostlerError: 500,
    errors.InvalidRequest: 400,
    errors.RequestError: 400,
    errors.BodyTooLarge: 413,
    errors.UnknownProfile: 404,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.RequestCancelled: 499,
    errors.Conflict: 409,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.TooManyRequests: 429,
    errors.EngineError: 502,
    errors.FlagConflict: 500,
    errors.FlagUnsupported: 500,
    errors.RemoteKeyMissing: 500,
    errors.LoadTimeout: 504,
    errors.EngineSilent: 504,
    errors.CapacityError: 503,
}

#: Trying again changes nothing: clients of OpenAI's make obey `x-should-retry`.
_FINAL: Final = (
    errors.ConfigError, errors.ModelError, errors.FlagConflict, errors.FlagUnsupported, errors.NeverFits,
    errors.RemoteKeyMissing, errors.RemoteRefused,
)  # fmt: skip

_OPENAI_TYPES: Final = {
    401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error",
}  # fmt: skip
_ANTHROPIC_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def status_of(error: HostlerError) -> int:
    """The HTTP status of an error."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def headers_of(error: HostlerError) -> list[tuple[bytes, bytes]]:
    """Headers that go with an error, besides its content type."""
    headers = [(b"x-hostler-source", error.source.encode())]
    if (seconds := _retry_after(error)) is not None:
        headers.append((b"retry-after", b"%d" % seconds))
    if isinstance(error, (errors.QueueFull, errors.QueueTimeout)) and error.place:
        headers.append((b"x-hostler-queue-place", b"%d" % error.place))
        headers.append((b"x-hostler-queue-wait", b"%d" % max(1, math.ceil(error.retry_after_s or 0.0))))
    if isinstance(error, _FINAL):
        headers.append((b"x-should-retry", b"false"))
    if isinstance(error, errors.Unauthorized):
        headers.append((b"www-authenticate", b'Bearer realm="hostler"'))
    return headers


def body_of(error: HostlerError, family: Family) -> bytes:
    """The JSON body of an error in the words of an API family."""
    return msgspec.json.encode(_ENVELOPES[family](error))


def event_of(error: HostlerError, family: Family) -> bytes:
    """The error as the last events of a stream that has already begun with 200."""
    body = body_of(error, family)
    if family == "anthropic":
        return b"event: error\ndata: " + body + b"\n\n"
    if family == "ollama":
        return body + b"\n"
    return b"data: " + body + b"\n\ndata: [DONE]\n\n"


def problem_of(error: HostlerError) -> Problem:
    """The error as the management API tells it."""
    return Problem(
        code=error.code,
        message=error.message,
        hint=error.hint,
        source=error.source,
        retry_after_s=error.retry_after_s,
        cause=error.cause,
        evidence=error.evidence,
    )


def _class(error: HostlerError) -> dict[str, object]:
    """What else is known of it: the class of a failure, the tokens of what does not fit, when to try again."""
    if isinstance(error, ContextExceeded) and error.needed is not None:
        return {"n_prompt_tokens": error.needed, "n_ctx": error.available}
    told: dict[str, object] = {"cause": error.cause, "evidence": error.evidence} if error.cause else {}
    # A stream that has begun has no header lines left to say it in.
    return told if (seconds := _retry_after(error)) is None else told | {"retry_after": seconds}


def _retry_after(error: HostlerError) -> int | None:
    """Whole seconds until trying again makes sense."""
    return None if error.retry_after_s is None else max(1, math.ceil(error.retry_after_s))


def _openai(error: HostlerError) -> object:
    status = status_of(error)
    kind = _OPENAI_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {
        "error": {
            "message": str(error),
            "type": kind,
            "param": "model" if isinstance(error, errors.UnknownProfile) else error.param,
            "code": error.code,
            "hint": error.hint,
            "source": error.source,
            **_class(error),
        }
    }


def _anthropic(error: HostlerError) -> object:
    status = status_of(error)
    kind = _ANTHROPIC_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    told = {"type": kind, "message": str(error), "code": error.code, "source": error.source, **_class(error)}
    return {"type": "error", "error": told if error.param is None else told | {"param": error.param}}


def _ollama(error: HostlerError) -> object:
    return {"error": str(error), "code": error.code, "source": error.source, **_class(error)}


def _problem(error: HostlerError) -> object:
    return ProblemBody(problem_of(error))


_ENVELOPES: Final[dict[Family, Callable[[HostlerError], object]]] = {
    "openai": _openai,
    "anthropic": _anthropic,
    "ollama": _ollama,
    "problem": _problem,
}
