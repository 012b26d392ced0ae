"""The program: read the command line, pretend to load, listen, serve until told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

from hostler.testing.fake_engine import flags, switches
from hostler.testing.fake_engine.flags import Options
from hostler.testing.fake_engine.generation import crash
from hostler.testing.fake_engine.routes import Engine
from hostler.testing.fake_engine.switches import Switches
from hostler.testing.fake_engine.wire import Connection

_STARTED = time.monotonic()


def log(level: str, text: str) -> None:
    """One line to stderr in llama.cpp's form: minutes.seconds.milliseconds.microseconds, level, text."""
    micros = int((time.monotonic() - _STARTED) * 1e6)
    seconds, micros = divmod(micros, 10**6)
    minutes, seconds = divmod(seconds, 60)
    stamp = f"{minutes}.{seconds:02}.{micros // 1000:03}.{micros % 1000:03}"
    sys.stderr.write(f"{stamp} {level} {text}\n")
    sys.stderr.flush()


class LoadError(Exception):
    """The model cannot be loaded; the text is llama.cpp's."""


def check_model(path: str) -> int:
    """Size of the model file in bytes; raises LoadError when it is missing or not a GGUF."""
    try:
        with open(path, "rb") as file:
            magic = file.read(4)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise LoadError(f"gguf_init_from_file: failed to open GGUF file '{path}' ({error.strerror})") from error
    if len(magic) < 4:
        raise LoadError("gguf_init_from_reader: failed to read magic")
    if magic != b"GGUF":
        shown = magic.decode("latin-1")
        raise LoadError(f"gguf_init_from_reader: invalid magic characters: '{shown}', expected 'GGUF'")
    return size


def fail_load(path: str, first: str) -> None:
    """Log what llama.cpp logs when a load fails, and exit 1."""
    log("E", first)
    log("E", f"llama_model_load: error loading model: llama_model_loader: failed to load model from {path}")
    log("E", "llama_model_load_from_file_impl: failed to load model")
    log("E", f"cmn  common_init_: failed to load model '{path}'")
    log("E", f"srv    load_model: failed to load model, '{path}'")
    log("E", "srv          init: exiting due to model loading error")
    sys.exit(1)


def fail_allocation(path: str, oom: str) -> None:
    """Log an allocation that failed on DEVICE:MIB, and exit 1."""
    device, _, mib = oom.partition(":")
    size = float(mib or 1)
    if device == "CPU":
        log("E", f"ggml_aligned_malloc: insufficient memory (attempted to allocate {size:.2f} MB)")
    else:
        number = "".join(filter(str.isdigit, device)) or "0"
        log(
            "E",
            f"ggml_backend_cuda_buffer_type_alloc_buffer: allocating {size:.2f} MiB on device {number}: "
            "cudaMalloc failed: out of memory",
        )
    log("E", f"alloc_tensor_range: failed to allocate {device} buffer of size {int(size * 2**20)}")
    fail_load(path, "llama_model_load: error loading model: unable to allocate " + device + " buffer")


def tell_buffers(options: Options, size: int) -> None:
    """The lines from which a driver learns what is held where."""
    kv = options.context * 0.02197265625
    log("I", f"srv    load_model: loading model '{options.model}'")
    log("I", f"llama_model_loader: loaded meta data with 33 key-value pairs and 272 tensors from {options.model}")
    log("I", "load_tensors: loading model tensors, this can take a while... (load_mode = mmap)")
    log("I", f"load_tensors:   CPU_Mapped model buffer size = {size / 2**20:8.2f} MiB")
    log("I", "llama_context: constructing llama_context")
    log("I", "llama_context:        CPU  output buffer size =     0.38 MiB")
    log("I", f"llama_kv_cache:        CPU KV buffer size = {kv:8.2f} MiB")
    log("I", "sched_reserve:        CPU compute buffer size =    16.64 MiB")
    log("I", "cmn  common_init_: warming up the model with an empty run - please wait ... (--no-warmup to disable)")


def runs_short(options: Options, told: Switches) -> bool:
    """Whether memory ends: always with ``oom`` alone, with bounds when one of the sizes is above its bound."""
    sizes = {"ubatch": options.ubatch, "context": options.slot_context, "layers": options.layers}
    if told.bounds:
        return any(sizes[name] > bound for name, bound in told.bounds.items())
    return bool(told.oom)


async def misbehave_at_load(options: Options, told: Switches) -> None:
    """Fail the way the switches say, if they do."""
    if told.load_log:
        log("E", told.load_log)
    short = runs_short(options, told)
    if told.die_at_load or told.exit_at_load or short:
        await asyncio.sleep(told.die_after_ms / 1e3)
    if short:
        fail_allocation(options.model, told.oom or "CPU:512")
    if told.die_at_load or told.exit_at_load:
        crash(told.die_at_load or str(told.exit_at_load))


async def load(options: Options, told: Switches, size: int) -> bytes:
    """Take as long, and hold as much memory, as told; the memory is returned to be kept."""
    tell_buffers(options, size)
    await misbehave_at_load(options, told)
    held = b"\x01" * (told.memory_mib * 2**20)
    await asyncio.sleep(told.slow_start_s + told.load_ms_per_mib * size / 2**20 / 1e3)
    log("I", f"srv    load_model: initializing, n_slots = {options.slots}, n_ctx_slot = {options.slot_context}")
    return held


async def run(options: Options, told: Switches) -> None:
    """Serve until SIGTERM or SIGINT."""
    try:
        size = check_model(options.model) if options.model else 0
    except LoadError as error:
        fail_load(options.model, str(error))
        return
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, (lambda: None) if told.ignore_term else stop.set)
    engine = Engine(options, size)
    try:
        server = await loop.create_server(
            lambda: Connection(told, engine.serve), options.host, options.port, backlog=512
        )
    except OSError:
        log("E", f"srv         start: couldn't bind HTTP server socket, hostname: {options.host}, port: {options.port}")
        sys.exit(1)
    held = await load(options, told, size)
    engine.loaded = not told.never_ready
    port = server.sockets[0].getsockname()[1]
    log("I", "srv          init: model loaded")
    log("I", f"srv          init: server is listening on http://{options.host}:{port}")
    log("I", "srv  update_slots: all slots are idle")
    await stop.wait()
    log("I", f"srv    operator(): cleaning up before exit... {len(held)}")
    server.close()


def tell(argv: list[str], told: Switches) -> bool:
    """Print what was asked for instead of serving, if anything was."""
    if "--version" in argv:
        sys.stderr.write("version: 0.0.0-fake (build 0, commit unknown)\nbuilt with Python for testing\n")
    elif "--help" in argv or "-h" in argv:
        sys.stdout.write(f"{flags.describe(told.lacking)}\n\n----- misbehaviour -----\n\n{switches.describe()}\n")
    elif "--list-devices" in argv:
        gpus = filter(None, told.devices.split(","))
        lines = (f"  {name}: a made-up card (24564 MiB, 24000 MiB free)\n" for name in gpus)
        sys.stdout.write("".join(("Available devices:\n", *lines)))
    else:
        return False
    return True


def main(argv: list[str]) -> int:
    """The exit code."""
    try:
        told, rest = switches.take_switches(argv)
        if tell(rest, told):
            return 0
        options = flags.parse(rest, told.lacking)
    except (flags.BadFlag, switches.UnknownSwitch) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    try:
        import uvloop

        uvloop.install()
    except ImportError:
        pass
    asyncio.run(run(options, told))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
