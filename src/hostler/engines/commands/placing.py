"""The flags of llama.cpp that say what lies where: read for profiles that place by hand, refused to all others.

A profile is placed by Hostler, by the engine's own --fit, or by its flags; half of one and half of another ends in
a model that does not fit, mostly without a word. So each such mixture is an error here, before anything is started.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from hostler.config.settings import CacheType, Profile
from hostler.engines.commands.arguments import Given, check_conflicts, parse
from hostler.errors import ConfigError, FlagConflict, FlagUnsupported
from hostler.models.shape import ModelShape
from hostler.placement.layout import HOST
from hostler.placement.manual import Manual, Moved, SplitMode, first_experts

PLACING: Final = frozenset(
    {
        "--n-gpu-layers", "--split-mode", "--tensor-split", "--main-gpu", "--override-tensor", "--cpu-moe",
        "--n-cpu-moe", "--device", "--kv-offload",
    }
)  # fmt: skip
BLOCK: Final = 32  # elements, of every quantised type of the cache
_HALF: Final = ("f32", "f16", "bf16")
_SPLITS: Final[dict[str, SplitMode]] = {"none": "none", "layer": "layer", "row": "row", "tensor": "tensor"}


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What a profile's flags are checked against.

    ``names`` are the GPUs that the build can use: device id to the engine's name, in the engine's order; ``build`` is
    how to call it, empty when it is not known yet. ``present`` are the ids of all GPUs of the machine, whether the
    build can use them or not. ``heads`` are elements of one head's keys and values, () when they are not known.
    """

    profile: str
    settings: Profile
    shape: ModelShape
    names: Mapping[str, str]
    present: Sequence[str] = ()
    build: str = ""
    heads: Sequence[int] = ()


def given_by(extra_args: Sequence[str]) -> list[Given]:
    """The placing flags in ``extra_args``; flags that only a binary of its own knows are left to it."""
    return [given for given in _known(extra_args) if given.flag.name in PLACING and not _says_nothing(given)]


def _known(extra_args: Sequence[str]) -> list[Given]:
    try:
        return parse(extra_args, "llama.cpp")
    except FlagUnsupported:
        return list(_one_by_one(extra_args))


def _one_by_one(extra_args: Sequence[str]) -> Iterable[Given]:
    """As :func:`parse`, past what the table lacks."""
    at = 0
    while at < len(extra_args):
        for length in (2, 1):
            try:
                read = parse(extra_args[at : at + length], "llama.cpp")
            except FlagUnsupported:
                continue
            if len(read) == 1 and at + length <= len(extra_args):
                yield read[0]
                at += length - 1
                break
        at += 1


def _says_nothing(given: Given) -> bool:
    return given.flag.name == "--kv-offload" and given.value is True


def flash_attention(extra_args: Sequence[str]) -> bool:
    """False when the arguments switch flash attention off."""
    said = [given.value for given in _known(extra_args) if given.flag.name == "--flash-attn"]
    return not said or said[-1] != "off"


def draft_of(extra_args: Sequence[str]) -> Path | None:
    """The model that drafts for speculative decoding, if the arguments name one."""
    said = [str(given.value) for given in _known(extra_args) if given.flag.name == "--spec-draft-model"]
    return Path(said[-1]) if said else None


def quantisable(heads: Sequence[int]) -> bool:
    """Whether a cache of heads of these sizes can be quantised (``llama_init_from_model``)."""
    return not any(size % BLOCK for size in heads)


def check(ground: Ground) -> Manual | None:
    """What a profile places by hand, None when it does not.

    Raises FlagConflict or ConfigError for every mixture that ends badly; says why, and what to do.

    1. a GPU in ``devices`` that is not there. 2. types of the cache that need flash attention. 3. placing flags where
    the profile does not place by hand. 4. flags that settings stand for. 5. by hand, flags that do not suit machine or
    model.
    """
    _check_devices(ground)
    _check_cache(ground)
    _check_fit(ground)
    check_conflicts(ground.settings.engine.extra_args, ground.profile)
    if ground.settings.placement == "manual":
        return manual_of(ground)
    _check_nothing_placed(ground)
    return None


def _check_devices(ground: Ground) -> None:
    for wanted in ground.settings.devices:
        if wanted != HOST and wanted not in ground.present:
            there = ", ".join(ground.present) or "no GPU"
            raise ConfigError(
                f"Profile {ground.profile!r} wants {wanted}, but this machine has {there}.",
                hint="Correct `devices` in the profile; `hostler hardware` lists them.",
            )
    gpus = [wanted for wanted in ground.settings.devices if wanted != HOST]
    if ground.settings.devices and ground.settings.placement == "manual":
        raise ConfigError(
            f"Profile {ground.profile!r} places by hand and has `devices` too.",
            hint="Name them by `--device` in `extra_args`, as the engine calls them, and remove `devices`.",
        )
    if ground.settings.devices and not gpus and ground.settings.placement == "engine":
        raise ConfigError(
            f"Profile {ground.profile!r} leaves placement to llama.cpp, but `devices` leaves it no GPU.",
            hint="Remove `placement` or `devices`.",
        )
    if gpus and ground.build and not set(gpus) & set(ground.names):
        raise ConfigError(
            f"Profile {ground.profile!r} may use only {', '.join(gpus)}, which {ground.build} cannot use.",
            hint="`hostler engine ls` shows what builds can use; name another in `engine.build`, or correct `devices`.",
        )


def _check_cache(ground: Ground) -> None:
    keys, values = _cache_types(ground.settings)
    mla = any(layer.memory == "mla" for layer in ground.shape.layers)
    if mla and keys != values:
        raise ConfigError(
            f"Profile {ground.profile!r} caches keys as {keys} and values as {values}, but {ground.shape.architecture} "
            "keeps both in one row.",
            hint="Set `cache_type_k` and `cache_type_v` to the same type, or only `kv`.",
        )
    coarse = [kind for kind in (keys, values) if kind not in (*_HALF, "auto")]
    if coarse and not quantisable(ground.heads):
        sizes = " and ".join(str(size) for size in dict.fromkeys(ground.heads))
        raise ConfigError(
            f"Profile {ground.profile!r} caches as {coarse[0]}, but the heads of its model have {sizes} elements: "
            f"llama.cpp quantises them only in whole blocks of {BLOCK}.",
            hint="Set `kv` (or `cache_type_k` and `cache_type_v`) to f16.",
        )
    if flash_attention(ground.settings.engine.extra_args) or values in (*_HALF, "auto"):
        return
    what = "keeps keys and values in one row, and quantised" if mla else "caches values quantised"
    raise FlagConflict(
        f"Profile {ground.profile!r} {what} ({values}); llama.cpp can read that only with flash attention, which "
        "`extra_args` switches off.",
        hint="Remove `--flash-attn off`, or set `cache_type_v` (and with one row `cache_type_k` too) to f16.",
    )


def _cache_types(profile: Profile) -> tuple[CacheType | str, CacheType | str]:
    engine = profile.engine
    return engine.cache_type_k or profile.kv, engine.cache_type_v or profile.kv


def _check_nothing_placed(ground: Ground) -> None:
    placed = given_by(ground.settings.engine.extra_args)
    if not placed:
        return
    first, engine = placed[0], ground.settings.placement == "engine"
    if engine and first.flag.name == "--split-mode" and first.value in ("row", "tensor"):
        why = f"llama.cpp's --fit cannot place a model that is split by {first.value}"
    elif engine:
        why = "llama.cpp gives up its --fit without an error as soon as that is set, and fills the GPU until it fails"
    else:
        why = "Hostler places this profile, and both cannot"
    raise FlagConflict(
        f"`{first.spelling}` in `extra_args` of {ground.profile!r} places the model, but `placement` is "
        f'"{ground.settings.placement}": {why}.',
        hint='Set `placement = "manual"` to place by hand, or remove the flag.',
    )


def _check_fit(ground: Ground) -> None:
    extra_args = ground.settings.engine.extra_args
    placed = given_by(extra_args)
    fits = [given for given in _known(extra_args) if given.flag.name == "--fit" and given.value == "on"]
    if placed and fits:
        raise FlagConflict(
            f"`{placed[0].spelling}` and `{fits[0].spelling} on` in `extra_args` of {ground.profile!r} exclude each "
            "other: llama.cpp gives up its --fit without an error as soon as the other is set.",
            hint='Set `placement = "engine"` and remove both, or `placement = "manual"` and remove `--fit`.',
        )


def manual_of(ground: Ground) -> Manual:
    """The flags of a profile that places by hand; raises FlagConflict or ConfigError for what cannot be meant."""
    given = {each.flag.name: each for each in given_by(ground.settings.engine.extra_args)}
    gpus = _gpus(given.get("--device"), ground)
    split = _SPLITS[str(given["--split-mode"].value)] if "--split-mode" in given else "layer"
    if split == "tensor" and not flash_attention(ground.settings.engine.extra_args):
        raise FlagConflict(
            f"`--split-mode tensor` of {ground.profile!r} needs flash attention, which `extra_args` switches off.",
            hint="Remove `--flash-attn off`.",
        )
    main = _main(given.get("--main-gpu"), len(gpus), ground)
    return Manual(
        gpus=gpus,
        layers=_layers(given.get("--n-gpu-layers"), ground),
        split=split,
        shares=_shares(given.get("--tensor-split"), len(gpus), ground),
        main=main,
        moved=_moved(ground, gpus[max(main, 0) : main + 1] if split == "none" else gpus),
        cache_on_host="--kv-offload" in given,
    )


def _gpus(given: Given | None, ground: Ground) -> tuple[str, ...]:
    if given is None:
        return tuple(ground.names)
    if given.value == "none":
        return ()
    return tuple(_device(name.strip(), given.spelling, ground) for name in str(given.value).split(","))


def _device(name: str, spelling: str, ground: Ground) -> str:
    """The id of the device that the engine calls ``name``."""
    for gpu, theirs in ground.names.items():
        if theirs == name:
            return gpu
    there = ", ".join(ground.names.values()) or "no GPU"
    raise FlagConflict(
        f"`{spelling}` of {ground.profile!r} names {name}, but this build can use {there} here.",
        hint="Correct it; `hostler engine ls` shows what each build can use.",
    )


def _layers(given: Given | None, ground: Ground) -> int | None:
    if given is None or given.value in ("all", "auto"):
        return None
    try:
        count = int(str(given.value))
    except ValueError:
        raise FlagUnsupported(
            f"`{given.spelling} {given.value}` of {ground.profile!r}: expected a whole number, `auto` or `all`.",
            hint="Correct the value.",
        ) from None
    return None if count < 0 else count


def _shares(given: Given | None, gpus: int, ground: Ground) -> tuple[float, ...]:
    if given is None:
        return ()
    try:
        shares = tuple(float(part) for part in re.split("[,/]+", str(given.value)))
    except ValueError:
        raise FlagUnsupported(
            f"`{given.spelling} {given.value}` of {ground.profile!r}: expected numbers with commas between them.",
            hint="Correct the value.",
        ) from None
    if len(shares) != gpus or min(shares) < 0 or not 0 < sum(shares) < float("inf"):
        raise FlagConflict(
            f"`{given.spelling} {given.value}` of {ground.profile!r} has {len(shares)} shares for "
            f"{gpus} {'GPU' if gpus == 1 else 'GPUs'}: a share that is missing counts as 0.",
            hint="Give one share per GPU, 0 for one that shall get nothing.",
        )
    return shares


def _main(given: Given | None, gpus: int, ground: Ground) -> int:
    main = int(given.value) if given is not None else 0
    if given is not None and main >= max(gpus, 1):
        raise FlagConflict(
            f"`{given.spelling} {main}` of {ground.profile!r} names a GPU that is not there: there are {gpus}, and "
            "they are counted from 0.",
            hint="Correct it; `hostler hardware` lists them.",
        )
    return main


def _moved(ground: Ground, gpus: Sequence[str]) -> tuple[Moved, ...]:
    """Everything that says where tensors lie, in the order in which the engine looks; nothing outside ``gpus``."""
    moved: list[Moved] = []
    for given in given_by(ground.settings.engine.extra_args):
        if given.flag.name in ("--cpu-moe", "--n-cpu-moe"):
            _check_experts(given, ground)
            moved.append(first_experts(None if given.flag.name == "--cpu-moe" else max(0, int(given.value))))
        elif given.flag.name == "--override-tensor":
            moved += [_override(part, given.spelling, ground) for part in str(given.value).split(",")]
    for each in moved:
        if each.device not in (*gpus, HOST):
            raise FlagConflict(
                f"`extra_args` of {ground.profile!r} put `{each.pattern}` on {ground.names[each.device]}, which the "
                "engine may not use otherwise.",
                hint="Name it in `--device` too, or another device.",
            )
    return tuple(moved)


def _check_experts(given: Given, ground: Ground) -> None:
    if not ground.shape.experts:
        raise FlagConflict(
            f"`{given.spelling}` of {ground.profile!r} keeps experts on the host, but its model has none: all of it "
            "would go to the GPU.",
            hint="Remove it, or lower `--n-gpu-layers` instead.",
        )


def _override(text: str, spelling: str, ground: Ground) -> Moved:
    pattern, _, buffer = text.partition("=")
    if not buffer:
        raise FlagUnsupported(f"`{spelling} {text}` of {ground.profile!r}: expected PATTERN=DEVICE.")
    try:
        re.compile(pattern)
    except re.error as error:
        raise FlagUnsupported(
            f"`{spelling} {text}` of {ground.profile!r}: not a regular expression ({error}).", hint="Correct the value."
        ) from None
    host = buffer == "CPU" or buffer.endswith("_Host")
    return Moved(pattern, HOST if host else _device(buffer, spelling, ground))
