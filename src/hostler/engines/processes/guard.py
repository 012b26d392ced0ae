"""A shim before a plain engine binary: ``python -m hostler.engines.processes.guard PROGRAM ARGS...``.

On Linux it asks the kernel to end this process with its parent and becomes the program (the request
survives `exec`). Elsewhere it stays as the program's parent, passes signals on and ends it when the status
channel says that the gateway is gone. With ``--wait`` alone it gets the program, and what to add to its environment,
by one line on standard input later, or ends with that.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from hostler.engines.processes.parent import WAIT, die_with_parent, status_fd, told_later

if TYPE_CHECKING:
    import subprocess

NOT_STARTED = 127


def main(argv: Sequence[str]) -> int:
    """Become ``argv``, or run it and return its exit code; 127 when it cannot be started."""
    die_with_parent()
    channel = status_fd()
    if list(argv) == [WAIT]:
        argv, env = told_later()
        os.environ.update(env)
    try:
        if sys.platform == "linux":
            _become(argv, channel)
        else:
            return _stay(argv, channel)
    except OSError as error:
        print(f"error: cannot run {argv[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201 - this is its log
        return NOT_STARTED


def _become(argv: Sequence[str], channel: int | None) -> NoReturn:
    if channel is not None:
        os.set_inheritable(channel, False)
    os.execv(argv[0], list(argv))  # noqa: S606 - no shell is wanted


def _stay(argv: Sequence[str], channel: int | None) -> int:
    # Whoever becomes the program needs neither: each load would wait for their import.
    import subprocess
    import threading

    child = subprocess.Popen(argv)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda sent, _frame: child.send_signal(sent))
    if channel is not None:
        threading.Thread(target=_kill_with_channel, args=(channel, child), daemon=True).start()
    code = child.wait()
    return 128 - code if code < 0 else code


def _kill_with_channel(channel: int, child: subprocess.Popen[bytes]) -> None:
    try:
        while os.read(channel, 64):
            pass
    except OSError:
        pass
    child.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
