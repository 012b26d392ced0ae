"""Profiles as Ollama's API lists models: its shapes, and how they are filled."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from hostler.config.names import LATEST
from hostler.config.remotes import host_of
from hostler.fleet.protocol import Entry
from hostler.models.facts import GgufFacts, Model
from hostler.models.header import Header, Skipped, Value
from hostler.wire.management import Instance

#: The API that is spoken here is that of this version: clients ask, and leave out what an older one lacks.
VERSION: Final = "0.13.5"
#: Written where a model leaves only when its memory is needed.
NEVER: Final = "2300-01-01T00:00:00Z"
#: What leaves later than this never does; a calendar ends too.
_LIFETIME_S: Final = 100 * 365.25 * 86_400
#: The longest array of a header that is shown.
ITEMS: Final = 5

_CAPABILITIES: Final = {"tools": "tools", "images": "vision", "reasoning": "thinking"}
_SUFFIXED: Final = ("tokenizer.ggml.suffix_token_id", "tokenizer.ggml.fim_suf_token_id")
_HIDDEN: Final = ("tokenizer.chat_template", "general.name")
#: As many decimals as the API writes.
_UNITS: Final = ((1e9, "B", 1), (1e6, "M", 2), (1e3, "K", 0))


class Details(msgspec.Struct, frozen=True):
    """What its header says of a model, in short."""

    parent_model: str = ""
    format: str = ""
    family: str = ""
    families: tuple[str, ...] = ()
    parameter_size: str = ""
    quantization_level: str = ""


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of ``/api/tags``. ``digest`` tells one state of its files from another; it is not a hash of them."""

    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    details: Details
    capabilities: tuple[str, ...]
    remote_model: str | UnsetType = UNSET
    remote_host: str | UnsetType = UNSET


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of ``/api/ps``; ``size_vram`` is what of its ``size`` lies on GPUs."""

    name: str
    model: str
    size: int
    digest: str
    details: Details
    expires_at: str
    size_vram: int
    context_length: int


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of ``/api/show``."""

    license: str
    modelfile: str
    parameters: str
    template: str
    details: Details
    model_info: dict[str, object]
    capabilities: tuple[str, ...]
    modified_at: str
    tensors: tuple[dict[str, object], ...] | UnsetType = UNSET


def tagged(name: str) -> str:
    """A profile's name as this API writes names: with a tag."""
    return name if ":" in name.rpartition("/")[2] else name + LATEST


def tag_of(entry: Entry, abilities: frozenset[str]) -> Tag:
    """A profile in the list. Looks at its files' times."""
    remote = host_of(entry.profile.engine)
    return Tag(
        name=tagged(entry.name),
        model=tagged(entry.name),
        modified_at=_modified(entry.model),
        size=0 if entry.model is None else entry.model.size,
        digest=digest_of(entry),
        details=details_of(entry.facts),
        capabilities=capabilities(entry, abilities, inserts=False),
        remote_model=UNSET if remote is None else entry.profile.model,
        remote_host=UNSET if remote is None else remote,
    )


def running(entry: Entry, instance: Instance, now: float) -> Running:
    """A loaded profile, at ``now`` seconds since the Unix epoch."""
    return Running(
        name=tagged(entry.name),
        model=tagged(entry.name),
        size=sum(instance.bytes.values()),
        digest=digest_of(entry),
        details=details_of(entry.facts),
        expires_at=_expiry(instance, now),
        size_vram=sum(size for device, size in instance.bytes.items() if device != "host"),
        context_length=instance.context,
    )


def shown(entry: Entry, abilities: frozenset[str], header: Header | None, *, verbose: bool) -> Shown:
    """All that is told of a profile; ``header`` is that of its file, None where there is none to read."""
    facts = entry.facts
    inserts = header is not None and any(key in header.metadata for key in _SUFFIXED)
    tensors = () if header is None else header.tensors
    return Shown(
        license=(facts.licence if facts else None) or "",
        modelfile=f"# A profile of Hostler.\nFROM {entry.profile.model.rpartition('/')[2]}\n",
        parameters=_parameters(entry),
        template=(facts.chat_template if facts else None) or "",
        details=details_of(facts),
        model_info=_info(entry, header),
        capabilities=capabilities(entry, abilities, inserts=inserts),
        modified_at=_modified(entry.model),
        tensors=tuple({"name": one.name, "type": one.type, "shape": one.shape} for one in tensors)
        if verbose
        else UNSET,
    )


def details_of(facts: GgufFacts | None) -> Details:
    """Nothing of a model that runs elsewhere, or cannot be read."""
    if facts is None:
        return Details()
    return Details(
        format="gguf",
        family=facts.architecture,
        families=(facts.architecture,),
        parameter_size=human(facts.parameters),
        quantization_level=facts.quantisation,
    )


def human(count: int) -> str:
    """``134.52M``, ``7.2B``, ``8B``."""
    for size, unit, decimals in _UNITS:
        if count >= size:
            return f"{count / size:.{0 if count % size == 0 else decimals}f}{unit}"
    return str(count)


def capabilities(entry: Entry, abilities: frozenset[str], *, inserts: bool) -> tuple[str, ...]:
    """What a profile can do."""
    speaks = entry.task in ("chat", "completion")
    found = ["completion"] if speaks else []
    found += [_CAPABILITIES[ability] for ability in _CAPABILITIES if ability in abilities and speaks]
    found += ["insert"] if inserts and speaks else []
    return (*found, *(["embedding"] if entry.task == "embedding" or entry.profile.embeddings else []))


def digest_of(entry: Entry) -> str:
    """64 hexadecimal digits; another one when a file is another."""
    return hashlib.sha256("\n".join((entry.profile.model, *_stamps(entry.model))).encode()).hexdigest()


def _stamps(model: Model | None) -> Iterable[str]:
    for path in model.files if model is not None else ():
        try:
            stat = os.stat(path)
        except OSError:
            continue
        yield f"{path.name} {stat.st_size} {stat.st_mtime_ns}"


def _modified(model: Model | None) -> str:
    """When its newest file was written; the beginning of time where there is none."""
    times = [0.0]
    for path in model.files if model is not None else ():
        try:
            times.append(os.stat(path).st_mtime)
        except OSError:
            continue
    return _stamp(max(times))


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _expiry(instance: Instance, now: float) -> str:
    if instance.ttl_s is None or instance.pinned:
        return NEVER
    left_s = max(0.0, instance.ttl_s - (instance.idle_s or 0.0))
    return NEVER if left_s > _LIFETIME_S else _stamp(now + left_s)


def _parameters(entry: Entry) -> str:
    """Sampling defaults and the context, one a line, as this API has them."""
    told = {"num_ctx": entry.context, **msgspec.structs.asdict(entry.profile.sampling)}
    told["num_predict"] = told.pop("max_tokens", None)
    return "\n".join(f"{name:<30} {value}" for name, value in told.items() if isinstance(value, int | float))


def _info(entry: Entry, header: Header | None) -> dict[str, object]:
    """The header's keys; the context is what requests have, not what the model was trained for."""
    facts = entry.facts
    if facts is None:
        return {}
    told = {} if header is None else {key: _told(value) for key, value in header.metadata.items()}
    told = {key: value for key, value in told.items() if key not in _HIDDEN}
    told |= {"general.architecture": facts.architecture, "general.parameter_count": facts.parameters}
    return told | {f"{facts.architecture}.context_length": entry.context or facts.context_length}


def _told(value: Value) -> object:
    """Long arrays are left out, as this API does it."""
    return [] if isinstance(value, Skipped) or (isinstance(value, tuple) and len(value) > ITEMS) else value
