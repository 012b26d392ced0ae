"""Starting and ending a process group: what is started here ends here."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

import anyio
import anyio.abc
import anyio.to_thread

from hostler.config.settings import LimitSettings
from hostler.engines.processes.parent import PARENT_PID, STATUS_FD
from hostler.errors import BuildUnusable

GROUP_POLL_S = 0.01
PID_PLACE = "${PID}"

_STATE, _GROUP, _THREADS = 0, 2, 17  # after the name in `/proc/PID/stat`


async def spawn(
    argv: Sequence[str], env: Mapping[str, str], status: int, output: int, stdin: int = subprocess.DEVNULL
) -> anyio.abc.Process:
    """Start ``argv`` in a session of its own, both outputs to ``output``; ``status`` is its status channel.

    Shielded, so that nothing can be started and forgotten. Called on the event loop's thread, which is what
    the child's tie to its parent needs. Raises BuildUnusable.
    """
    ties = {PARENT_PID: str(os.getpid()), STATUS_FD: str(status)}
    try:
        with anyio.CancelScope(shield=True):
            child = await anyio.open_process(
                list(argv),
                stdin=stdin,
                stdout=output,
                stderr=output,
                env={**_inherited(), **env, **ties},
                start_new_session=True,
                pass_fds=(status,),
            )
    except OSError as error:
        raise BuildUnusable(f"{argv[0]} cannot be started: {error.strerror}.") from error
    return child


def _inherited() -> dict[str, str]:
    """Our environment without what would change the engine behind our back."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("LLAMA_ARG_", "HOSTLER_"))}


async def ask_to_stop(stop: Sequence[str], pid: int | None) -> bool:
    """Run a program's own way to stop, whatever comes of it; ``${PID}`` in it is its process.

    Without a process only what names none is run: another may have its pid by now. Whether it was run; unbounded.
    """
    if pid is None and any(PID_PLACE in word for word in stop):
        return False
    argv = [word.replace(PID_PLACE, str(pid)) for word in stop]
    try:
        await anyio.run_process(argv, stdin=subprocess.DEVNULL, check=False)
    except OSError:
        return False
    return True


async def end(child: anyio.abc.Process, limits: LimitSettings, *, abrupt: bool = False) -> bool:
    """Terminate, grace, kill, reap: the whole group; ``abrupt`` begins with the kill.

    False when even SIGKILL did not end it in time.
    """
    ways = ((signal.SIGTERM, limits.grace_s), (signal.SIGKILL, limits.kill_s))
    for number, patience_s in ways[abrupt:]:
        if not _signal_group(child, number):
            return True
        with anyio.move_on_after(patience_s):
            await child.wait()
            while await _stays(child):  # noqa: ASYNC110 - the kernel tells nobody when a group is empty
                await anyio.sleep(GROUP_POLL_S)
            return True
    return False


def _signal_group(child: anyio.abc.Process, number: int) -> bool:
    """Signal every process of the child's group; False when there is none left."""
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        # macOS says so of a group that holds only zombies.
        return child.returncode is None
    return True


async def _stays(child: anyio.abc.Process) -> bool:
    """Whether anything of the child's group is left that runs."""
    return _signal_group(child, 0) and await anyio.to_thread.run_sync(_runs, child.pid)


def _runs(group: int) -> bool:
    """Whether a process of the group does. One that has ended stays in it until it is reaped, which the first process
    of a container may never do. Looks at every process of the machine."""
    if sys.platform != "linux":
        return True
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b") ")[2].split()
                # Its first thread may have ended before others, which hold its memory.
                ended = fields[_STATE] in b"ZX" and int(fields[_THREADS]) <= 1
                if int(fields[_GROUP]) == group and not ended:
                    return True
    return False
