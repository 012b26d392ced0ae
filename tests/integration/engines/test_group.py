"""Ending a process group."""

from __future__ import annotations

import os
import signal
import sys
import time

import anyio
import psutil
import pytest

from hostler.config.quantities import Seconds
from hostler.config.settings import LimitSettings
from hostler.engines.processes.group import end
from hostler.engines.processes.spawned import spawned

pytestmark = pytest.mark.anyio

#: Its child is in no group of ours and reaps nobody; the child of that joins our group.
CARELESS = """
import os, time
ours = os.getpgid(0)
if not os.fork():
    os.setpgid(0, 0)
    member = os.fork()
    if not member:
        os.setpgid(0, ours)
        time.sleep(600)
    os.write(1, f"{os.getpid()} {member}".encode())
    time.sleep(600)
time.sleep(600)
"""


async def test_one_that_has_ended_and_that_nobody_reaps_is_not_waited_for() -> None:
    """In a container whose first process reaps nobody each engine of several processes took all its grace to end, and
    was believed to be there still."""
    with await spawned((sys.executable, "-c", CARELESS), {}) as leader:
        await anyio.wait_readable(leader.output)
        parent, member = map(int, os.read(leader.output, 100).split())
        try:
            with anyio.fail_after(60):
                while os.getpgid(member) != leader.child.pid:
                    await anyio.sleep(0.01)
            began = time.monotonic()
            assert await end(leader.child, LimitSettings(grace_s=Seconds(60), kill_s=Seconds(60)))
            assert time.monotonic() - began < 30.0
            with anyio.fail_after(30):
                while psutil.Process(member).status() != psutil.STATUS_ZOMBIE:
                    await anyio.sleep(0.01)
        finally:
            os.kill(parent, signal.SIGKILL)
