"""A run and its layout as arguments of llama.cpp, each with its reason.

Every argument is explicit and ``--fit off``, because any of ``-ngl``, ``-ts``, ``-ot`` or ``--n-cpu-moe`` would switch
llama.cpp's own fitting off silently (``common_fit_params``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from hostler.hardware.facts import Kind
from hostler.models.shape import ModelShape
from hostler.placement.layout import HOST, Layout, Run
from hostler.placement.plan import Chosen
from hostler.placement.wish import MIB, Site, Wish

#: How llama.cpp's backends call their devices, but for the number.
BACKENDS: dict[Kind, str] = {"nvidia": "CUDA", "amd": "ROCm", "apple": "MTL"}

_EXPERTS = r"ffn_(up|down|gate|gate_up)_(ch|)exps"


def engine_name(device: str, site: Site) -> str:
    """What the engine calls ``device``; by its kind's usual backend when the build is not known.

    CUDA numbers as the PCI bus does, and so do we, because :func:`environment` asks it to.
    """
    if device in site.names:
        return site.names[device]
    kinds = {each.id: each.kind for each in site.machine.devices}
    alike = [each.id for each in site.machine.devices if each.kind == kinds[device]]
    return f"{BACKENDS[kinds[device]]}{alike.index(device)}"


def environment(layout: Layout, site: Site) -> dict[str, str]:
    """What must be in the engine's environment for its devices to be ours."""
    kinds = {each.id: each.kind for each in site.machine.devices}
    if any(kinds[gpu] == "nvidia" for gpu in layout.gpus):
        return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    return {}


def flags_of(shape: ModelShape, run: Run, layout: Layout, site: Site, wish: Wish) -> tuple[Chosen, ...]:
    """Arguments for sizes, types and places."""
    if wish.placement == "engine":
        places: Iterable[Chosen] = _by_engine(layout, site)
    elif wish.placement == "manual":
        places = [Chosen(("--fit", "off"), "the profile's own arguments say where everything goes")]
    else:
        places = _places(shape, layout, site)
    return (*places, *_sizes(shape, run, site, wish), *_cache(run, wish), *_loading(run, wish))


def _places(shape: ModelShape, layout: Layout, site: Site) -> Iterator[Chosen]:
    if not layout.gpus:
        yield Chosen(("--fit", "off"), _why_no_gpu(site))
        if site.names:
            yield Chosen(("--n-gpu-layers", "0"), "nothing goes to a GPU")
        return
    names = [engine_name(gpu, site) for gpu in layout.gpus]
    yield Chosen(("--device", ",".join(names)), _why_devices(layout, site))
    on_gpus = sum(home != HOST for home in layout.layers)
    total = len(layout.layers)
    whole = on_gpus == total
    every = f"all {total} layers and the output lie on GPUs"
    some = f"{on_gpus} of {total} layers and the output fit on GPUs, the first {total - on_gpus} stay on the host"
    yield Chosen(("--n-gpu-layers", str(on_gpus + 1)), every if whole else some)
    if layout.split == "tensor":
        yield Chosen(("--split-mode", "tensor"), "every layer is cut over cards that are alike")
        yield Chosen(("--tensor-split", ",".join(f"{share:g}" for share in layout.shares)), "each card's share")
    elif len(layout.gpus) > 1:
        counts = [sum(home == gpu for home in layout.layers) for gpu in layout.gpus]
        counts[-1] += 1  # the output counts as a layer
        yield Chosen(("--split-mode", "layer"), "each layer lies whole on one card, so little crosses the bus")
        told = ", ".join(f"{count} on {gpu}" for count, gpu in zip(counts, layout.gpus, strict=True))
        yield Chosen(("--tensor-split", ",".join(map(str, counts))), f"layers by card, the output included: {told}")
    else:
        yield Chosen(("--split-mode", "none"), "one card holds everything that is not on the host")
    yield from _experts(shape, layout)
    if layout.projector == HOST:
        yield Chosen(("--no-mmproj-offload",), "the projector would take the room of layers")
    yield Chosen(("--fit", "off"), "this plan decides; llama.cpp's own fitting would be switched off by it anyway")


def _why_no_gpu(site: Site) -> str:
    if site.usable:
        return "no placement on a GPU fits here and is quicker"
    return "there is no GPU that this build can use"


def _why_devices(layout: Layout, site: Site) -> str:
    names = {each.id: each.name.removeprefix("NVIDIA ").removeprefix("GeForce ") for each in site.machine.devices}
    left = [gpu for gpu in site.usable if gpu not in layout.gpus]
    told = ", then ".join(names[gpu] for gpu in layout.gpus)
    return f"{told}; {', '.join(left)} stays free" if left else told


def _experts(shape: ModelShape, layout: Layout) -> Iterator[Chosen]:
    pairs = enumerate(zip(layout.layers, layout.experts, strict=True))
    away = [index for index, (home, experts) in pairs if home != HOST and experts == HOST]
    if not away:
        return
    size = sum(shape.layers[index].experts for index in away) / MIB / 1024
    reason = f"experts of {len(away)} layers ({size:.1f} GiB) stay on the host, what every token uses does not"
    if away == list(range(len(away))):
        yield Chosen(("--n-cpu-moe", str(len(away))), reason)
        return
    yield Chosen(("--override-tensor", rf"blk\.({ranges(away)})\.{_EXPERTS}=CPU"), reason)


def ranges(numbers: Sequence[int]) -> str:
    """An alternation that matches exactly ``numbers``, short where tens are whole: ``[0-9]|1[0-5]``."""
    parts = []
    for ten, group in groupby(sorted(numbers), key=lambda number: number // 10):
        digits = [number % 10 for number in group]
        parts.append(f"{ten or ''}{_digits(digits)}")
    return "|".join(parts)


def _digits(digits: Sequence[int]) -> str:
    if len(digits) == 1:
        return str(digits[0])
    if digits == list(range(digits[0], digits[-1] + 1)):
        return f"[{digits[0]}-{digits[-1]}]"
    return f"[{''.join(map(str, digits))}]"


def _by_engine(layout: Layout, site: Site) -> Iterator[Chosen]:
    yield Chosen(("--fit", "on"), "the profile leaves placement to llama.cpp")
    gpus = [gpu for gpu in site.usable if gpu in site.rooms]
    if gpus:
        # What residents hold is taken already when the engine looks; what it must leave is the margin.
        margins = [str(site.rooms[gpu].margin // MIB) for gpu in gpus]
        yield Chosen(("--device", ",".join(engine_name(gpu, site) for gpu in gpus)), "every GPU that it may use")
        yield Chosen(("--fit-target", ",".join(margins)), "MiB to leave free on each")


def _sizes(shape: ModelShape, run: Run, site: Site, wish: Wish) -> Iterator[Chosen]:
    slots = "one request at a time" if run.slots == 1 else f"{run.slots} requests at once, {run.context} tokens each"
    chosen = f"the largest that fits (trained for {shape.context})" if wish.context == "max" else "as asked"
    yield Chosen(("--ctx-size", str(run.context * run.slots)), f"{chosen}; {slots}")
    yield Chosen(("--parallel", str(run.slots)), slots)
    yield Chosen(("--no-kv-unified",), "each request has its own context, whatever the others do")
    yield Chosen(("--batch-size", str(run.batch)), _why_batch(run, wish))
    yield Chosen(("--ubatch-size", str(run.ubatch)), _why_ubatch(run, wish))
    threads = "as asked" if wish.threads else _why_threads(site)
    yield Chosen(("--threads", str(run.threads)), threads)
    yield Chosen(("--threads-batch", str(run.threads)), threads)


def _why_batch(run: Run, wish: Wish) -> str:
    if wish.batch:
        return "as asked"
    return "a whole input fits" if wish.pooled else "computed in at most 2 s, so that a hang-up is noticed soon"


def _why_ubatch(run: Run, wish: Wish) -> str:
    if wish.ubatch:
        return "as asked"
    if run.ubatch > 512 and not (wish.pooled or wish.whole_inputs):
        return "experts on the host cross the bus once per step, so larger steps read prompts faster"
    return "a whole input fits" if wish.pooled or wish.whole_inputs else "enough to keep the arithmetic busy"


def _why_threads(site: Site) -> str:
    cpu = site.machine.cpu
    if cpu.efficiency_cores:
        return f"the fast cores; {cpu.efficiency_cores} slow ones would be waited for"
    return "the physical cores; a second thread per core shares the same arithmetic"


def _cache(run: Run, wish: Wish) -> Iterator[Chosen]:
    reason = "chosen: makes room or speed" if wish.open_cache and run.cache_k != "f16" else "as asked"
    if wish.open_cache and run.cache_k == "f16":
        reason = "chosen: there is room for the exact one"
    yield Chosen(("--cache-type-k", run.cache_k), reason)
    yield Chosen(("--cache-type-v", run.cache_v), reason)
    if not run.flash_attention:
        yield Chosen(("--flash-attn", "off"), "as asked")
    elif run.cache_v in ("f32", "f16", "bf16"):
        yield Chosen(("--flash-attn", "auto"), "used wherever the device can")
    else:
        yield Chosen(("--flash-attn", "on"), f"{run.cache_v} values need it")


def _loading(run: Run, wish: Wish) -> Iterator[Chosen]:
    mode = "dio" if run.direct else "mmap" if run.mapped else "none"
    if wish.load_mode != "auto":
        yield Chosen(("--load-mode", mode), wish.load_why)
    elif run.mapped:
        yield Chosen(("--load-mode", mode), "the page cache keeps the file for the next load")
    else:
        yield Chosen(("--load-mode", mode), "experts that cross the bus are read faster from memory of its own")
