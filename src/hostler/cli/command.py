"""What every command shares: common options, one error edge, exit codes, examples in the help."""

from __future__ import annotations

import errno
import inspect
import os
import sys
from collections.abc import Awaitable, Callable
from enum import IntEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Concatenate, NoReturn, ParamSpec, get_type_hints

import typer

from hostler.errors import HomeError, HostlerError, NoGateway, PortInUse, Unauthorized

if TYPE_CHECKING:
    from hostler.client.gateway import Client

P = ParamSpec("P")
Result = int | None
Body = Callable[Concatenate["Session", P], Result | Awaitable[Result]]


#: The gateway's own hint names a header, which nobody types here.
KEY_HINT = "Set HOSTLER_KEY to one of its keys; `hostler key new NAME --scope admin` on its machine makes one."


class ExitCode(IntEnum):
    """What the process ends with."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NO_GATEWAY = 3
    INTERRUPTED = 130


class Session:
    """One run of one command: what its common options say."""

    def __init__(self, *, json: bool, no_color: bool, url: str | None, config: Path | None) -> None:
        self.json = json
        self.no_color = no_color
        self.url = url
        self.config = config

    def connect(self) -> Client:
        """A client of the gateway that the options, the environment or this home point to."""
        from hostler.cli.whereabouts import find_gateway
        from hostler.client.gateway import Client

        return Client(find_gateway(self.url, self.config).url)

    @property
    def color(self) -> bool:
        """True when colours may be written to standard output."""
        return sys.stdout.isatty() and not self.no_color and not os.environ.get("NO_COLOR")


_COMMON: tuple[tuple[str, object, object], ...] = (
    ("json", Annotated[bool, typer.Option("--json", help="Write JSON for programs.")], False),
    ("no_color", Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR does the same.")], False),
    (
        "config_file",
        Annotated[
            Path | None,
            typer.Option("--config", metavar="FILE", help="Another hostler.toml.", show_default=False),
        ],
        None,
    ),
)
_GATEWAY = (
    "url",
    Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="The gateway to ask; HOSTLER_URL does the same.", show_default=False),
    ],
    None,
)


def command(
    app: typer.Typer, name: str, *examples: str, gateway: bool = True, hidden: bool = False, passes_on: bool = False
) -> Callable[[Body[P]], Body[P]]:
    """Register a function as the command ``name`` of ``app``.

    The function's first parameter is the :class:`Session`; the rest are Typer's. It may be async, and may
    return an exit code. ``examples`` are command lines with a comment after two spaces. ``gateway`` adds
    `--url`; ``passes_on`` leaves unknown options, and all after the first word, to the function. A HostlerError becomes
    one message on standard error and an exit code.
    """
    settings = {"ignore_unknown_options": True, "allow_interspersed_args": False} if passes_on else None

    def register(body: Body[P]) -> Body[P]:
        runner = _runner(body)
        runner.__signature__ = _signature(body, gateway)  # type: ignore[attr-defined]
        runner.__annotations__ = {p.name: p.annotation for p in _signature(body, gateway).parameters.values()}
        app.command(name, epilog=_epilog(examples), hidden=hidden, context_settings=settings)(runner)
        return body

    return register


def _runner(body: Body[P]) -> Callable[..., None]:
    # The options come from Typer, which has checked them against the body's signature.
    call: Callable[..., Result | Awaitable[Result]] = body

    @wraps(body)
    def run(**options: object) -> None:
        session = Session(
            json=bool(options.pop("json")),
            no_color=bool(options.pop("no_color")),
            url=_text(options.pop("url", None)),
            config=_path(options.pop("config_file")),
        )
        raise typer.Exit(guarded(session, lambda: call(session, **options)))

    # Typer follows it to the body's own signature, which lacks the common options.
    del run.__wrapped__
    return run


def guarded(session: Session, call: Callable[[], Result | Awaitable[Result]]) -> int:
    """Run the command; its exit code. Bugs keep their traceback."""
    try:
        return _finished(call)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except HostlerError as error:
        return report(session, error)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return report(session, HomeError("The disk is full.", hint="Free some space."))
    except BaseExceptionGroup as group:
        alone = _only(group)
        if isinstance(alone, KeyboardInterrupt):
            return ExitCode.INTERRUPTED
        if isinstance(alone, HostlerError):
            return report(session, alone)
        raise


def _finished(call: Callable[[], Result | Awaitable[Result]]) -> int:
    result = call()
    if isinstance(result, Awaitable):
        import anyio

        result = anyio.run(_awaited, result)
    return result or ExitCode.OK


async def _awaited(result: Awaitable[Result]) -> Result:
    return await result


def _only(error: BaseException) -> BaseException:
    """What a task group's exception holds, when it holds one thing."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def report(session: Session, error: HostlerError) -> int:
    """Write ``error`` to standard error, as people or programs read it; the exit code it means."""
    if isinstance(error, Unauthorized):
        error.hint = KEY_HINT
    if session.json:
        from hostler.cli.output import encode_problem

        print(encode_problem(error), file=sys.stderr)
    else:
        print(f"hostler: {error}", file=sys.stderr)
    match error:
        case NoGateway():
            return ExitCode.NO_GATEWAY
        case PortInUse():
            return ExitCode.USAGE
    return ExitCode.ERROR


def usage_error(message: str) -> NoReturn:
    """End the command as for a wrong option."""
    print(f"hostler: {message}", file=sys.stderr)
    raise typer.Exit(ExitCode.USAGE)


def _signature(body: Body[P], gateway: bool) -> inspect.Signature:
    hints = get_type_hints(body, include_extras=True)
    own = [p.replace(annotation=hints[p.name]) for p in list(inspect.signature(body).parameters.values())[1:]]
    common = (*_COMMON, _GATEWAY) if gateway else _COMMON
    return inspect.Signature([*own, *(_option(name, kind, default) for name, kind, default in common)])


def _option(name: str, kind: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)


def _epilog(examples: tuple[str, ...]) -> str:
    # \b keeps the lines as they are; the help formatter would fill them into a paragraph.
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in examples)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _path(value: object) -> Path | None:
    return value if isinstance(value, Path) else None
