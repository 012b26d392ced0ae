"""Everything that can go wrong in a management request, as :class:`ProblemBody` with the right status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args, get_origin

from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi import ResponseSpec
from litestar.types import ExceptionHandlersMap

from hostler import log
from hostler.errors import BodyTooLarge, HostlerError, InvalidRequest, MethodNotAllowed, NotFound
from hostler.gateway.errors import body_of, headers_of, status_of
from hostler.wire.management import ProblemBody

AnyRequest = Request[None, None, State]
Choices = Mapping[str, tuple[str, ...]]

BODY_LIMIT = 64 * 1024
#: The end of the year 9999, in Unix seconds.
LAST_MOMENT = 253_402_300_799
#: Litestar tells no bound of 0 of what may be left out.
FROM_ZERO = {"minimum": 0}
#: How a client calls what a handler has to call otherwise.
CALLED = {"behind": "async", "last_event_id": "Last-Event-ID", "data": "the body"}

MEANINGS = {
    400: "The request is malformed; the message says where.",
    401: "No valid key came with the request.",
    403: "The key lacks the scope, or a page of another origin sent the request.",
    404: "There is no such thing; the message lists the nearest names.",
    409: "It contradicts the present state.",
    413: "The body is too large.",
    499: "The wait was ended by somebody else.",
    500: "The configuration or the model is wrong; the message says where.",
    502: "The engine failed; the message says how.",
    503: "Not now: no room, too many waiting, or the gateway is stopping.",
    504: "The engine was not ready in time.",
}


def fails(*statuses: int) -> dict[int, ResponseSpec]:
    """How a route documents its errors; 401 and 403 are everywhere."""
    return {
        status: ResponseSpec(ProblemBody, description=MEANINGS[status], generate_examples=False)
        for status in sorted({401, 403, *statuses})
    }


def answer(error: HostlerError) -> Response[bytes]:
    """The response that tells ``error``."""
    headers = {name.decode(): value.decode() for name, value in headers_of(error)}
    return Response(
        body_of(error, "problem"), status_code=status_of(error), headers=headers, media_type="application/json"
    )


def _told(_: AnyRequest, error: HostlerError) -> Response[bytes]:
    return answer(error)


def _refused(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    return answer(translated(error, request.method, request.url.path, _choices(request)))


def _bug(request: AnyRequest, error: Exception) -> Response[bytes]:
    log.bug("admin.bug", error, method=request.method, path=request.url.path)
    return answer(HostlerError("Hostler made a mistake here.", hint="Its log has the details; please report them."))


def translated(error: HTTPException, method: str, path: str, choices: Choices) -> HostlerError:
    """The framework's refusal as one of ours. ``choices`` are those of parameters that take no others."""
    if error.status_code == 404:
        return NotFound(f"There is nothing at {path}.", hint="/api/docs shows every path.")
    if error.status_code == 405:
        return MethodNotAllowed(f"{path} does not take {method}.", hint="/api/docs shows what each path takes.")
    if error.status_code == 413:
        return BodyTooLarge(f"The body is over {BODY_LIMIT} bytes.", hint="No management request needs so much.")
    return InvalidRequest(_where(error, choices), hint="/api/docs shows what each path takes.")


def _where(error: HTTPException, choices: Choices) -> str:
    """The failure with the fields that it names; never the values that were sent."""
    extra = error.extra if isinstance(error.extra, list) else []
    named = [_said(item["key"], item["message"], choices) for item in extra if "key" in item and "message" in item]
    detail = str(extra[0].get("message", "")) if extra and not named else ""
    return "; ".join(named) or detail or error.detail


def _said(key: str, message: str, choices: Choices) -> str:
    if key == "data" and message == "'data'":
        return "This request needs a body: a JSON object."
    name = CALLED.get(key, f"`{key}`")
    if message.startswith("Invalid enum value") and key in choices:
        return f"{name}: there are {', '.join(choices[key])}"
    return f"{name}: {message}"


def _choices(request: AnyRequest) -> Choices:
    """Of the parameters of the handler that was asked."""
    handler = request.scope.get("route_handler")
    parameters = handler.parsed_fn_signature.parameters if handler is not None else {}
    return {
        name: tuple(map(str, get_args(parameter.annotation)))
        for name, parameter in parameters.items()
        if get_origin(parameter.annotation) is Literal
    }


def _too_deep(_: AnyRequest, __: RecursionError) -> Response[bytes]:
    return answer(InvalidRequest("The body is nested too deeply.", hint="/api/docs shows what each path takes."))


def _no_text(request: AnyRequest, error: UnicodeDecodeError) -> Response[bytes]:
    if request.method == "GET":  # which has no body that could be at fault
        return _bug(request, error)
    return answer(InvalidRequest("The body is not UTF-8.", hint="/api/docs shows what each path takes."))


HANDLERS: ExceptionHandlersMap = {
    HostlerError: _told,
    RecursionError: _too_deep,
    UnicodeDecodeError: _no_text,
    HTTPException: _refused,
    Exception: _bug,
}
