"""What was learnt of a machine's speed, kept in the cache folder by its fingerprint and the build's key."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec.structs import replace

from hostler.placement.efficiency import PRIORS, Efficiencies, Fitted


class _Kept(msgspec.Struct, frozen=True):
    """By build, then by device."""

    builds: dict[str, dict[str, Fitted]] = {}


def learnt(cache: Path, fingerprint: str, build: str) -> Efficiencies:
    """The priors, and what was fitted on the machine of that fingerprint with the build of that key."""
    return replace(PRIORS, fitted=_read(cache, fingerprint).builds.get(build, {}))


def keep(cache: Path, fingerprint: str, build: str, efficiencies: Efficiencies) -> bool:
    """Keep what was fitted for that build; whether that went well.

    A cache that cannot be written only costs another measurement, but who asked for this one should be told.
    """
    kept = _read(cache, fingerprint)
    file = _file(cache, fingerprint)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(f".{os.getpid()}.new")
        fresh.write_bytes(msgspec.json.encode(_Kept({**kept.builds, build: efficiencies.fitted})))
        fresh.replace(file)
    except OSError:
        return False
    return True


def keepable(cache: Path) -> bool:
    """Whether :func:`keep` could write there now."""
    folder = cache / "hardware"
    probe = folder / f".{os.getpid()}.probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"?")
        probe.unlink()
    except OSError:
        return False
    return True


def _read(cache: Path, fingerprint: str) -> _Kept:
    try:
        return msgspec.json.decode(_file(cache, fingerprint).read_bytes(), type=_Kept)
    except (OSError, msgspec.MsgspecError):
        return _Kept()


def _file(cache: Path, fingerprint: str) -> Path:
    return cache / "hardware" / f"{fingerprint}.speed.json"
