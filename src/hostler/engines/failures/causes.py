"""Every class of failure, as data: how it is known, what Hostler does by itself, what is left to do. Pure.

The id of a cause stands in events, in `ps` and `ls`, and in errors of the APIs; the page on troubleshooting is made
from this table (:mod:`hostler.engines.failures.page`). To know one more, add a row where it belongs: the first row
that fits an engine's end wins.
"""

from __future__ import annotations

import re
import signal
from typing import Final, Literal

import msgspec

from hostler.errors import (
    EngineError,
    EngineLost,
    FlagUnsupported,
    KilledBySignal,
    LoadFailed,
    LoadTimeout,
    OutOfMemory,
)

When = Literal["load", "run", "machine"]


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """One class of failure.

    An end fits it by a line of the log (``log``), or by a signal of ``signals``, ``starved`` only while the kernel was
    ending processes for want of memory. What has neither is seen otherwise: ``seen`` says how, in words. ``error`` is
    what a load fails with, ``says`` its message; ``later`` is said of an engine that was ready, None where that is no
    reason to end. Both may name {profile}, {build}, {model}, {stage}, {signal}, {code}, {size}, {place}, {why} and, as
    {0}, what the first group of ``log`` found. ``event`` tells of it where nothing ends.
    """

    id: str
    title: str
    when: When
    seen: str
    does: str
    do: str
    error: type[EngineError] | None = None
    says: str = ""
    later: str | None = None
    event: str = ""
    log: re.Pattern[str] | None = None
    signals: tuple[int, ...] = ()
    starved: bool = False


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_PAUSES: Final = "Refuses requests for a moment, longer each time; after `load_tries` in a row until something changes."
_AGAIN: Final = "Starts the engine anew with the next request; requests that have no byte yet are tried again."
_DIED: Final = "{build} died by {signal} while loading `{profile}` ({stage})."
_DRIVERS: Final = "{build} cannot use this machine's drivers or libraries: {0}."

CAUSES: Final = (
    Cause(
        id="out_of_memory",
        title="It could not get its memory",
        when="load",
        error=OutOfMemory,
        says="The engine of `{profile}` could not get {size} memory on {place}.",
        later="ran out of memory",
        seen="the log says that an allocation failed, on which device and of how much",
        log=_words(
            r"bad_alloc|out of memory|OutOfMemory|ErrorOutOfDeviceMemory|cannot allocate memory|failed to allocate"
            r"|unable to allocate|mmap failed.*allocate|insufficient memory|failed to mlock|failed to fit params"
        ),
        does="Tries again with less, as `rungs` of the profile allow, and remembers what worked.",
        do="Lower `context` or `slots`, or unload another profile.",
    ),
    Cause(
        id="illegal_instruction",
        title="The build was made for another CPU",
        when="load",
        error=KilledBySignal,
        says=_DIED,
        later="died by {signal}",
        seen="SIGILL ended the process",
        signals=(signal.SIGILL,),
        does=_PAUSES,
        do="This build was made for another CPU: it uses instructions that this one lacks. Remove `build` from the "
        "profile to use the embedded build, or name a build made for this CPU.",
    ),
    Cause(
        id="killed_by_kernel",
        title="The kernel ended it: the machine ran out of memory",
        when="load",
        error=OutOfMemory,
        says="The kernel ended the engine of `{profile}` while {stage}: the machine ran out of memory.",
        later="was ended by the kernel: the machine ran out of memory",
        seen="SIGKILL ended the process, and meanwhile the kernel counted an end for want of memory",
        signals=(signal.SIGKILL,),
        starved=True,
        does="Tries again with less, as when an allocation fails.",
        do="Lower `context` or `slots`, unload another profile, or set a `budget` or a larger `reserve` in `[memory]`.",
    ),
    Cause(
        id="port_taken",
        title="Something else took its port",
        when="load",
        error=LoadFailed,
        says="The engine of `{profile}` could not listen on its port.",
        seen="the log says that the address could not be bound",
        log=_words(r"couldn't bind|failed to bind|bind.*(?:in use|failed)|address already in use"),
        does="Takes another port, once.",
        do="Something else took it at the same moment; try again.",
    ),
    Cause(
        id="driver_lost",
        title="It lost its GPU",
        when="run",
        error=LoadFailed,
        says="The engine of `{profile}` lost its device while {stage}: {why}.",
        later="lost its device",
        seen="the log says that the device is lost, hung or failing",
        log=_words(
            r"(?:ErrorDeviceLost|DeviceLostError|device (?:is |was )?lost|GPU is lost|fallen off the bus|GPU Hang"
            r"|GPU Timeout|unspecified launch failure|launch timed out|uncorrectable ECC|hardware stack error"
            r"|devices? is/are busy or unavailable|CUDA error: unknown error)"
        ),
        does=_AGAIN,
        do="`hostler hardware` shows whether the device answers. If not, load the driver again or restart the machine; "
        "the kernel's log (`dmesg`) says what happened to it.",
    ),
    Cause(
        id="gpu_unsupported",
        title="The build has no code for this GPU",
        when="load",
        error=LoadFailed,
        says=_DRIVERS,
        seen="the log says that it has no kernel for the device",
        log=_words(r"(no kernel image is available.*|device kernel image is invalid.*|unsupported toolchain.*)"),
        does=_PAUSES,
        do="`hostler engine build --use` makes a build for the GPUs of this machine; the embedded build needs none.",
    ),
    Cause(
        id="missing_tensor",
        title="The model lacks a tensor",
        when="load",
        error=LoadFailed,
        says="{model} lacks the tensor `{0}`.",
        seen="the log names the tensor",
        log=re.compile(r"missing tensor '([^']+)'|tensor '([^']+)' not found"),
        does=_PAUSES,
        do="The file is incomplete or made for another version of the engine; fetch it again or try another build.",
    ),
    Cause(
        id="wrong_shape",
        title="A tensor of the model has the wrong shape",
        when="load",
        error=LoadFailed,
        says="{model}: the tensor `{0}` has the wrong shape.",
        seen="the log names the tensor",
        log=re.compile(r"tensor '([^']+)' has wrong shape"),
        does=_PAUSES,
        do="Fetch it again.",
    ),
    Cause(
        id="unsupported_architecture",
        title="The build does not know the model's architecture",
        when="load",
        error=LoadFailed,
        says="{build} does not know the architecture `{0}` of {model}.",
        seen="the log names the architecture",
        log=re.compile(r"unknown (?:model )?architecture: '([^']*)'"),
        does=_PAUSES,
        do="Use a newer build (`[profiles.NAME.engine] build`), or another model.",
    ),
    Cause(
        id="model_corrupt",
        title="The model file cannot be read",
        when="load",
        error=LoadFailed,
        says="{model} cannot be read: {0}.",
        seen="the header does not hold what it should, which is mostly found before anything is started, or the log "
        "says so",
        log=re.compile(
            r"(failed to open GGUF file.*|invalid magic.*|failed to read (?:header|key-value|tensor|magic).*"
            r"|tensor '[^']+' data is not within the file bounds.*|unsupported .*GGUF version.*|model is corrupted.*)"
        ),
        does="Refuses it before anything leaves for it, where the header shows it.",
        do="Fetch the file again, or correct `model` in the profile.",
    ),
    Cause(
        id="model_lost",
        title="The model file changed or vanished while it was read",
        when="run",
        error=KilledBySignal,
        says=_DIED,
        later="died by {signal}",
        seen="SIGBUS ended the process: a page of a mapped file could not be had",
        signals=(signal.SIGBUS,),
        does=_AGAIN,
        do="The model file changed or its disk failed while it was read. Fetch the file again.",
    ),
    Cause(
        id="killed",
        title="Somebody killed it",
        when="run",
        error=KilledBySignal,
        says=_DIED,
        later="died by {signal}",
        seen="SIGKILL or SIGTERM ended the process, and not by Hostler",
        signals=(signal.SIGKILL, signal.SIGTERM),
        does=_AGAIN,
        do="Most likely the kernel's out-of-memory killer, where the kernel does not count them. Lower `context` or "
        "`slots`, or unload another profile; `dmesg` says what was killed.",
    ),
    Cause(
        id="crash",
        title="It crashed",
        when="run",
        error=KilledBySignal,
        says=_DIED,
        later="died by {signal}",
        seen="any other signal ended the process; the last assertion or error of the log is the evidence",
        signals=tuple(range(1, 65)),
        does=f"{_AGAIN} A second crash in a row pauses the profile, longer each time; many in a row until something "
        "changes.",
        do="A defect of this build or a broken model file. Try another build; `hostler logs {profile}`.",
    ),
    Cause(
        id="bad_flags",
        title="The build refuses a flag",
        when="load",
        error=FlagUnsupported,
        says="{build}: {0}.",
        seen="the flags that the build knows, asked before anything leaves for the load; else the log says so",
        log=re.compile(r"(?:error: )?((?:invalid argument|unknown argument|error while handling argument).{0,160})"),
        does="Refuses the load before anything leaves for it.",
        do="Remove it, or name a build that takes it in `[profiles.NAME.engine] build`.",
    ),
    Cause(
        id="missing_library",
        title="A library is missing",
        when="load",
        error=LoadFailed,
        says=_DRIVERS,
        seen="the loader of the system names the library",
        log=re.compile(
            r"(.*(?:error while loading shared libraries|cannot open shared object file|Library not loaded|libcuda"
            r"|libnvidia|version `GLIBC[^']*' not found).*)"
        ),
        does=_PAUSES,
        do="`hostler doctor` shows drivers and builds; the embedded build needs neither.",
    ),
    Cause(
        id="driver_too_old",
        title="The driver is older than the build needs",
        when="load",
        error=LoadFailed,
        says=_DRIVERS,
        seen="the log says that the driver's version is insufficient",
        log=_words(r"(.*(?:driver version is insufficient|forward compatibility was attempted).*)"),
        does=_PAUSES,
        do="Update the driver, or build for the one that is there: `hostler doctor` says which go together.",
    ),
    Cause(
        id="no_device",
        title="The build finds no GPU",
        when="load",
        error=LoadFailed,
        says=_DRIVERS,
        seen="the log says that there is no device",
        log=re.compile(r"(.*(?:no CUDA-capable device|failed to initialize (?:CUDA|ROCm|Vulkan)|invalid device: ).*)"),
        does=_PAUSES,
        do="`hostler doctor` shows drivers and builds; the embedded build needs neither.",
    ),
    Cause(
        id="disk_full",
        title="The disk is full",
        when="machine",
        error=LoadFailed,
        says="The engine of `{profile}` found no space on the disk: {why}.",
        later="found no space on the disk",
        seen="the system says so when a folder or a file is made, or the log does",
        log=_words(r"no space left on device|disk quota exceeded"),
        does="Goes on without what it could not write: rows of the ledger are dropped and counted, saved prompts are "
        "given up, engines keep their files in the folder for temporary ones.",
        do="Free some space: `hostler cache clear` removes saved prompts, `hostler doctor` shows each folder.",
    ),
    Cause(
        id="ended",
        title="It ended by itself",
        when="load",
        error=LoadFailed,
        says="The engine of `{profile}` ended while {stage}: {why}.",
        later="ended with code {code}",
        seen="the process ended, and nothing above fits; the last error of the log is the evidence",
        does=_PAUSES,
        do="`hostler logs {profile}` shows what the engine said.",
    ),
    Cause(
        id="slow_load",
        title="It was not ready in time",
        when="load",
        error=LoadTimeout,
        seen="no token was generated within `load_s`; the message has the stage",
        does="Ends the engine; refuses requests as after any failed load.",
        do="`hostler logs {profile}` shows the stage. Raise `[limits] load_s` if the disk is slow, or correct `health` "
        "of a `command`.",
    ),
    Cause(
        id="not_working",
        title="It loaded, but does not work",
        when="load",
        error=LoadFailed,
        says="The engine of `{profile}` loaded, but does not work: {why}.",
        seen="the first request, Hostler's own, got no result",
        does=_PAUSES,
        do="`hostler logs {profile}` shows what the engine said.",
    ),
    Cause(
        id="hang",
        title="It hangs",
        when="run",
        error=EngineLost,
        says="The engine of `{profile}` hangs: {why}.",
        event="engine.trouble",
        seen="requests run, and for `stall_s` its slots neither read a token of a prompt nor generated one; or, idle, "
        "it did not generate one when asked to. A long prefill is no hang: its slots show that it goes on",
        does="Gives it no more requests, ends it and starts it anew; requests that have no byte yet are tried again.",
        do="Raise `stall_s` in `[limits]` if a single batch takes so long; else try another build.",
    ),
    Cause(
        id="wedged_slot",
        title="A slot stays busy after its client has left",
        when="run",
        event="engine.trouble",
        seen="`/slots` shows it busy about 20 s after its connection was closed",
        does="Takes no new requests on it; it is started anew once its last request has ended.",
        do="Nothing. Should it happen often, a smaller `batch` in `[profiles.NAME.engine]` lets it notice sooner.",
    ),
    Cause(
        id="memory_held",
        title="Memory did not come back",
        when="machine",
        event="memory.held",
        seen="after an engine was ended, a device has less free than it should; the event names who holds it",
        does="Plans the next loads with what is free.",
        do="End the process that is named. If none is, a container or a driver holds it: `hostler doctor`.",
    ),
    Cause(
        id="throttling",
        title="A device is slower than it could be",
        when="machine",
        event="device.throttling",
        seen="the driver names the reasons (temperature, power) for some seconds on end",
        does="Tells so, and in `ps`; what is measured meanwhile teaches nothing.",
        do="Better cooling, or a lower power limit. `hostler hardware` shows temperatures and limits.",
    ),
    Cause(
        id="device_lost",
        title="A device does not answer any more",
        when="machine",
        event="device.lost",
        seen="its driver fails or lists it no longer",
        does="Plans without it until it answers again.",
        do="Load the driver again or restart the machine; the kernel's log (`dmesg`) says what happened.",
    ),
    Cause(
        id="slept",
        title="The machine slept",
        when="machine",
        event="machine.slept",
        seen="the clock on the wall went on while the other one stood still",
        does="Lets every idle engine generate a token, and starts those anew that cannot.",
        do="Nothing. `systemd-inhibit hostler up` or `caffeinate -i hostler up` keeps a machine awake.",
    ),
)

BY_ID: Final = {cause.id: cause for cause in CAUSES}
