"""How fast main memory and the library's disk are read, measured once per machine.

Memory: every core reads its part of a buffer that no cache holds, with the C library's ``memchr`` looking for a
byte that is not there; the best of five passes. That is a plain read by vector instructions, which is what
decoding does with weights. Disk: up to 256 MiB from the middle of a file, dropped from the page cache before; a file
that another process has mapped stays there, and then this is the speed of memory.

``python -m hostler.hardware.bandwidth FILE...`` measures in a process of its own, so that the gateway does not grow.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from hostler.hardware import host
from hostler.hardware.facts import Figure

MIB = 2**20
BUFFER = 256 * MIB
LARGEST_BUFFER = 1024 * MIB
PASSES = 5
DISK_BYTES = 256 * MIB
_CHUNK = 8 * MIB
TIMEOUT_S = 60.0

_FILLED_WITH, _LOOKED_FOR = 0x5A, 0xA5


class Measured(msgspec.Struct, frozen=True):
    """Bytes per second, with how they were measured; ``at`` is seconds since the Unix epoch."""

    memory: Figure | None
    disk: Figure | None
    at: float


def remembered(cache: Path, fingerprint: str) -> Measured | None:
    """What was measured on the machine of that fingerprint; None when nothing was."""
    try:
        return msgspec.json.decode(_file(cache, fingerprint).read_bytes(), type=Measured)
    except (OSError, msgspec.MsgspecError):
        return None


def remember(cache: Path, fingerprint: str, measured: Measured) -> None:
    """Keep it for the next time; a cache that cannot be written only costs another measurement."""
    file = _file(cache, fingerprint)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(measured))
        fresh.replace(file)
    except OSError:
        return


def _file(cache: Path, fingerprint: str) -> Path:
    return cache / "hardware" / f"{fingerprint}.json"


def measure_apart(files: Sequence[Path] = ()) -> Measured | None:
    """Measure in a child, about a second; ``files`` are those of the library. None when the child fails."""
    command = [sys.executable, "-m", "hostler.hardware.bandwidth", *map(str, files)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=True, stdin=subprocess.DEVNULL)
        return msgspec.json.decode(done.stdout, type=Measured)
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError):
        return None


def measure(files: Sequence[Path] = ()) -> Measured:
    """Memory, and the disk on which the largest of ``files`` lies."""
    return Measured(memory=memory(), disk=disk(files), at=time.time())


def memory(threads: int | None = None, size: int | None = None, passes: int = PASSES) -> Figure | None:
    """The rate at which all cores together read ``size`` bytes; None without the room for them."""
    size = size or min(max(BUFFER, 4 * _last_cache()), LARGEST_BUFFER)
    if size > host.memory().available // 2:
        return None
    threads = threads or host.physical_cores()
    with mmap.mmap(-1, size) as buffer:
        first = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
        # Pages that nobody wrote to are all the same page of zeros.
        ctypes.memset(first, _FILLED_WITH, size)
        best = min(_pass(first, size, threads) for _ in range(passes))
    cores = "1 core" if threads == 1 else f"{threads} cores"
    return Figure(size / best, f"measured: {cores} read {size // MIB} MiB, best of {passes}")


def _pass(first: int, size: int, threads: int) -> float:
    """Seconds in which ``threads`` read the buffer once."""
    search = ctypes.CDLL(None).memchr
    search.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
    search.restype = ctypes.c_void_p
    part = size // threads
    start = threading.Barrier(threads + 1)

    def read(address: int) -> None:
        start.wait()
        search(address, _LOOKED_FOR, part)

    readers = [threading.Thread(target=read, args=(first + part * number,)) for number in range(threads)]
    for reader in readers:
        reader.start()
    start.wait()
    begun = time.perf_counter()
    for reader in readers:
        reader.join()
    return max(time.perf_counter() - begun, 1e-9)


def _last_cache(root: Path = Path("/")) -> int:
    """Bytes of the largest cache of the first core; 0 where the system does not tell."""
    largest = 0
    for file in (root / "sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        if text.endswith("K") and text[:-1].isdecimal():
            largest = max(largest, int(text[:-1]) * 1024)
    return largest


def disk(files: Sequence[Path]) -> Figure | None:
    """The rate at which the largest of ``files`` is read; None without one that can be read."""
    sizes = {path: size for path in files if (size := _size(path))}
    if not sizes:
        return None
    path = max(sizes, key=lambda each: sizes[each])
    wanted = min(DISK_BYTES, sizes[path])
    try:
        done, elapsed = _read(path, (sizes[path] - wanted) // 2 // mmap.PAGESIZE * mmap.PAGESIZE, wanted)
    except OSError:
        return None
    if not done:
        return None
    return Figure(done / elapsed, f"measured: {done // MIB} MiB of a model file, page cache dropped before")


def _read(path: Path, offset: int, wanted: int) -> tuple[int, float]:
    """Bytes that were read and the seconds it took."""
    room = memoryview(bytearray(_CHUNK))
    handle = os.open(path, os.O_RDONLY)
    try:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(handle, offset, wanted, os.POSIX_FADV_DONTNEED)
            os.posix_fadvise(handle, offset, wanted, os.POSIX_FADV_SEQUENTIAL)
        os.lseek(handle, offset, os.SEEK_SET)
        begun, done = time.perf_counter(), 0
        while done < wanted and (count := os.readv(handle, [room[: min(_CHUNK, wanted - done)]])):
            done += count
        return done, max(time.perf_counter() - begun, 1e-9)
    finally:
        os.close(handle)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


if __name__ == "__main__":
    os.nice(5)  # who measures waits for a request, not the other way round
    sys.stdout.buffer.write(msgspec.json.encode(measure([Path(name) for name in sys.argv[1:]])))
