"""Processes that are found by their mark: ended, and not waited for longer than that takes."""

from __future__ import annotations

import secrets
import sys
import time

import anyio
import psutil
import pytest

from hostler.engines.processes.leftovers import MARK, Leftovers, end_marked

pytestmark = pytest.mark.anyio

#: Starts a marked process in a session of its own, which tells its pid, and never asks how it ended.
CARELESS = f"""
import os, subprocess, sys, time
env = {{**os.environ, {MARK!r}: sys.argv[1]}}
told = "import os, time; os.write(1, str(os.getpid()).encode()); time.sleep(600)"
there = subprocess.Popen([sys.executable, "-c", told], env=env, start_new_session=True)
time.sleep(600)
"""


async def test_one_that_nobody_reaps_is_not_waited_for() -> None:
    """In a container whose first process reaps nobody each end took as long as an engine that does not hear."""
    async with await anyio.open_process([sys.executable, "-c", CARELESS, mark := secrets.token_hex(8)]) as parent:
        try:
            assert parent.stdout is not None
            pid = int(await parent.stdout.receive())
            began = time.monotonic()
            ended = await end_marked(mark, grace_s=60.0, kill_s=60.0)
            assert time.monotonic() - began < 30.0
            with anyio.fail_after(30):
                while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                    await anyio.sleep(0.01)
            assert ended.left == ()
            assert len(ended.found) == 1
            assert f"(pid {pid})" in ended.found[0]
        finally:
            parent.kill()


async def test_without_any_there_is_nothing_to_tell() -> None:
    assert await end_marked("m2", grace_s=60.0, kill_s=60.0) == Leftovers()
