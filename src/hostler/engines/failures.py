"""Why an engine ended: exit code and last log lines to one typed error that says what to do next. Pure.

The tree is walked in this order, the first that fits wins:

1. it could not get memory (the log says so, whatever way it ended; or it was killed when the kernel ran out);
2. it died by a signal;
3. it could not listen on its port;
4. it refused a flag;
5. the weights: missing tensor, unknown architecture, broken or unreadable file;
6. a driver;
7. anything else, with the last error it logged.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable

import msgspec

from hostler.errors import EngineLost, FlagUnsupported, KilledBySignal, LoadFailed, OutOfMemory, Shortage


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


_SIZE = re.compile(r"([\d.]+) Mi?B|(?:of size |allocate )(\d+)(?![\d.])|(\d+) bytes")
_PLACE = re.compile(r"on device (\d+)|allocate ([A-Za-z]+\d+) buffer")
_OUT_OF_MEMORY = re.compile(
    r"bad_alloc|out of memory|OutOfMemory|ErrorOutOfDeviceMemory|cannot allocate memory|failed to allocate"
    r"|unable to allocate|mmap failed.*allocate|insufficient memory|failed to mlock|failed to fit params",
    re.IGNORECASE,
)
_GPU = re.compile(r"cuda|hip|vulkan|metal|vk::|Device", re.IGNORECASE)
_HOST = re.compile(r"bad_alloc|aligned_malloc|mmap failed|mlock|cannot allocate memory|cpu|_Host buffer", re.IGNORECASE)
_BIND = re.compile(r"couldn't bind|failed to bind|bind.*(?:in use|failed)|address already in use", re.IGNORECASE)
_FLAG = re.compile(r"(?:error: )?(?:invalid argument|unknown argument|error while handling argument).{0,160}")
_MISSING_TENSOR = re.compile(r"missing tensor '([^']+)'")
_WRONG_SHAPE = re.compile(r"tensor '([^']+)' has wrong shape")
_ARCHITECTURE = re.compile(r"unknown (?:model )?architecture: '([^']*)'")
_BROKEN = re.compile(
    r"(failed to open GGUF file.*|invalid magic.*|failed to read (?:header|key-value|tensor|magic).*"
    r"|tensor '[^']+' data is not within the file bounds.*|unsupported .*GGUF version.*|model is corrupted.*)"
)
_DRIVER = re.compile(
    r"(.*(?:CUDA driver version is insufficient|no CUDA-capable device|failed to initialize (?:CUDA|ROCm|Vulkan)"
    r"|libcuda|libnvidia|error while loading shared libraries|no kernel image is available).*)"
)
_PREFIX = re.compile(r"^(?:[\d.]+ )?[IWED] ")

_SIGNAL_HINTS = {
    signal.SIGILL: (
        "This build was made for another CPU: it uses instructions that this one lacks. "
        "Remove `build` from the profile to use the embedded build, or name a build made for this CPU."
    ),
    signal.SIGKILL: (
        "Most likely the kernel's out-of-memory killer. Lower `context` or `slots`, or unload another profile; "
        "`dmesg` says what was killed."
    ),
    signal.SIGBUS: "The model file changed or its disk failed while it was read. Fetch the file again.",
    signal.SIGSEGV: "A defect of this build or a broken model file. Try another build; `hostler logs {profile}`.",
    signal.SIGABRT: "The engine gave up on an inner check; `hostler logs {profile}` shows which.",
}


def at_load(ending: Ending) -> LoadFailed | FlagUnsupported:
    """The error for an engine that ended before it was ready."""
    return (
        _memory(ending)
        or _signal(ending)
        or _port(ending)
        or _flags(ending)
        or _weights(ending)
        or _driver(ending)
        or _anything(ending)
    )


def after_ready(ending: Ending) -> EngineLost:
    """The error for an engine that ended after it was ready."""
    if could_not_allocate(ending.lines):
        why = "ran out of memory"
    elif _ended_by_kernel(ending):
        why = "was ended by the kernel: the machine ran out of memory"
    elif number := signal_of(ending.returncode):
        why = f"died by {name_of(number)}"
    else:
        why = f"ended with code {ending.returncode}"
    last = last_error(ending.lines)
    error = EngineLost(f"The engine of `{ending.profile}` {why}{f' ({last})' if last else ''}.")
    error.shortage = _shortage(ending)
    return error


def could_not_allocate(lines: Iterable[str]) -> bool:
    """Whether the log says that memory could not be had."""
    return any(_OUT_OF_MEMORY.search(line) for line in lines)


def shortage(lines: Iterable[str]) -> Shortage | None:
    """Which device lacked memory and how much was asked for at once; None when memory was not the cause."""
    telling = [line for line in lines if _OUT_OF_MEMORY.search(line)]
    if not telling:
        return None
    devices = filter(None, map(_device_name, telling))
    sizes = filter(None, map(_wanted, telling))
    return Shortage(next(devices, ""), next(sizes, 0))


def could_not_bind(lines: Iterable[str]) -> bool:
    """Whether the log says that the port could not be had."""
    return any(_BIND.search(line) for line in lines)


def signal_of(returncode: int) -> int:
    """The signal that ended a process: -N by the kernel, 128+N by a shell or shim between; 0 for none."""
    if returncode < 0:
        return -returncode
    return returncode - 128 if 128 < returncode <= 128 + 31 else 0


def name_of(number: int) -> str:
    """``4`` as ``SIGILL (illegal instruction)``."""
    try:
        return f"{signal.Signals(number).name} ({(signal.strsignal(number) or '').lower()})"
    except ValueError:
        return f"signal {number}"


def last_error(lines: Iterable[str]) -> str:
    """The first error among the last lines that says why; errors after it only say that it failed."""
    errors = [_PREFIX.sub("", line).strip() for line in lines if _is_error(line)]
    telling = [line for line in errors if "failed to load model" not in line and "exiting due to" not in line]
    return _shortened((telling or errors or [""])[-1])


def _is_error(line: str) -> bool:
    found = _PREFIX.match(line)
    return (found is not None and " E " in f" {found[0]}") or line.lower().startswith("error")


def _shortened(line: str) -> str:
    return re.sub(r"\s+", " ", line)[:240].rstrip(".")


def _memory(ending: Ending) -> OutOfMemory | None:
    line = next((each for each in ending.lines if _OUT_OF_MEMORY.search(each)), None)
    if line is not None:
        error = OutOfMemory(f"The engine of `{ending.profile}` could not get {_size(line)} memory on {_device(line)}.")
    elif _ended_by_kernel(ending):
        why = f"while {ending.stage}: the machine ran out of memory"
        error = OutOfMemory(f"The kernel ended the engine of `{ending.profile}` {why}.")
    else:
        return None
    error.shortage = _shortage(ending)
    return error


def _shortage(ending: Ending) -> Shortage | None:
    return shortage(ending.lines) or (Shortage("host", 0) if _ended_by_kernel(ending) else None)


def _ended_by_kernel(ending: Ending) -> bool:
    """Main memory that is lent out twice cannot be refused: the kernel ends somebody instead."""
    return ending.starved and signal_of(ending.returncode) == signal.SIGKILL


def _device_name(line: str) -> str:
    """The device as its buffers are called; "" when the line only says that it is a GPU's."""
    found = _PLACE.search(line)
    if found is None:
        return "host" if _HOST.search(line) else ""
    if found[2]:
        return found[2]
    return f"{'ROCm' if 'hip' in line.lower() else 'CUDA'}{found[1]}"


def _device(line: str) -> str:
    if found := _PLACE.search(line):
        return f"device {found[1]}" if found[1] else found[2]
    return "the GPU" if _GPU.search(line) else "host"


def _size(line: str) -> str:
    mib = _wanted(line) / 2**20
    if not mib:
        return "enough"
    return f"{mib / 1024:.1f} GiB of" if mib >= 1024 else f"{mib:.0f} MiB of"


def _wanted(line: str) -> int:
    """Bytes that the line asks for; 0 when it does not say."""
    found = _SIZE.search(line)
    if found is None:
        return 0
    return int(float(found[1]) * 2**20) if found[1] else int(found[2] or found[3])


def _signal(ending: Ending) -> KilledBySignal | None:
    number = signal_of(ending.returncode)
    if not number:
        return None
    message = f"{ending.build} died by {name_of(number)} while loading `{ending.profile}` ({ending.stage})."
    hint = _SIGNAL_HINTS.get(signal.Signals(number)) if number in set(signal.Signals) else None
    return KilledBySignal(message, hint=hint.format(profile=ending.profile) if hint else None)


def _port(ending: Ending) -> LoadFailed | None:
    if not could_not_bind(ending.lines):
        return None
    return LoadFailed(
        f"The engine of `{ending.profile}` could not listen on its port.",
        hint="Something else took it at the same moment; try again.",
    )


def _flags(ending: Ending) -> FlagUnsupported | None:
    if ending.code == FlagUnsupported.code:
        return FlagUnsupported(ending.said)
    found = next(filter(None, map(_FLAG.search, ending.lines)), None)
    return FlagUnsupported(f"{ending.build}: {_shortened(found[0])}.") if found else None


def _weights(ending: Ending) -> LoadFailed | None:
    text = "\n".join(ending.lines)
    if found := _MISSING_TENSOR.search(text):
        hint = "The file is incomplete or made for another version of the engine; fetch it again or try another build."
        return LoadFailed(f"{ending.model} lacks the tensor `{found[1]}`.", hint=hint)
    if found := _WRONG_SHAPE.search(text):
        return LoadFailed(f"{ending.model}: the tensor `{found[1]}` has the wrong shape.", hint="Fetch it again.")
    if found := _ARCHITECTURE.search(text):
        hint = "Use a newer build (`[profiles.NAME.engine] build`), or another model."
        return LoadFailed(f"{ending.build} does not know the architecture `{found[1]}` of {ending.model}.", hint=hint)
    if found := _BROKEN.search(text):
        hint = "Fetch the file again, or correct `model` in the profile."
        return LoadFailed(f"{ending.model} cannot be read: {_shortened(found[1])}.", hint=hint)
    return None


def _driver(ending: Ending) -> LoadFailed | None:
    found = next(filter(None, map(_DRIVER.search, ending.lines)), None)
    if found is None:
        return None
    message = f"{ending.build} cannot use this machine's drivers or libraries: {_shortened(found[1])}."
    return LoadFailed(message, hint="`hostler doctor` shows drivers and builds; the embedded build needs neither.")


def _anything(ending: Ending) -> LoadFailed:
    why = last_error(ending.lines) or ending.said or f"exit code {ending.returncode}"
    return LoadFailed(f"The engine of `{ending.profile}` ended while {ending.stage}: {_shortened(why)}.")
