"""The launcher of the embedded build: ``python -m hostler.engines.processes.embedded <llama-server flags>``.

Runs llama.cpp's own server out of the `xllamacpp` wheel in this process. The API key comes in the
environment (``LLAMA_API_KEY``). When the parent passed a status channel, one JSON object a line goes there:
``{"listening": {"host": ..., "port": ...}}`` or ``{"error": ..., "code": ...}``. Logs go to standard error.

With ``--wait`` alone it imports what it needs and then waits for one line on standard input, which holds the flags
and the key (``{"argv": [...], "env": {"LLAMA_API_KEY": ...}}``), or its end.

SIGTERM ends it: by the default action while it loads (native code that no handler can end), with code 0
afterwards; both well under 100 ms, busy or not. It ends with its parent. Exit codes: 0 when told to stop, 1
when the engine refused to start, 2 for a flag it cannot take.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
from collections.abc import Sequence

from hostler.engines.processes.parent import WAIT, die_with_parent, status_fd, told_later


def main(argv: Sequence[str]) -> int:
    """Serve until told to stop, which ends the process; the exit code when it could not start."""
    die_with_parent()
    channel = status_fd()
    if channel is not None:
        threading.Thread(target=_end_with_channel, args=(channel,), daemon=True).start()
    key = os.environ.pop("LLAMA_API_KEY", "")
    if list(argv) == [WAIT]:
        _import_all()
        argv, env = told_later()
        key = env["LLAMA_API_KEY"]

    from hostler.errors import HostlerError

    try:
        server = _start(argv, key)
    except HostlerError as error:
        _tell(channel, {"error": error.message, "code": error.code, "hint": error.hint})
        print(f"error: {error}", file=sys.stderr, flush=True)  # noqa: T201 - this is its log
        return 2
    except RuntimeError as error:
        _tell(channel, {"error": str(error), "code": "load_failed"})
        return 1
    host, _, port = server.listening_address.rpartition("//")[2].rpartition(":")
    stop = _stop_pipe()
    _tell(channel, {"listening": {"host": host, "port": int(port)}})
    select.select([stop], [], [])
    # The server's destructor would wait for requests, up to a second; there is nothing to save.
    os._exit(0)


def _import_all() -> None:
    """What waiting is for."""
    import xllamacpp  # noqa: F401

    import hostler.engines.commands.arguments
    import hostler.engines.processes.wheel  # noqa: F401


def _start(argv: Sequence[str], key: str):  # type: ignore[no-untyped-def]  # the wheel has no types
    """The running server. Raises FlagUnsupported, or RuntimeError when the engine refuses."""
    import xllamacpp

    from hostler.engines.commands.arguments import parse
    from hostler.engines.processes.wheel import apply

    build = f"the embedded build (xllamacpp {xllamacpp.__version__})"
    params = xllamacpp.CommonParams()
    apply(params, parse(argv, build), build)
    if key:
        params.api_keys = [key]
    return xllamacpp.Server(params)


def _stop_pipe() -> int:
    """A descriptor that becomes readable at SIGTERM or SIGINT."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    return reading


def _tell(channel: int | None, message: dict[str, object]) -> None:
    if channel is not None:
        os.write(channel, json.dumps(message).encode() + b"\n")


def _end_with_channel(channel: int) -> None:
    """End at once when the other side of the status channel is gone."""
    try:
        while os.read(channel, 64):
            pass
    except OSError:
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
