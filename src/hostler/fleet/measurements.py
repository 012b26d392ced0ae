"""What was measured of each way to run a profile: kept over restarts, so that estimates get better."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec

KEPT = 500


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """The last load of an instance key: seconds it took, bytes it held per device, tokens per second."""

    load_s: float
    bytes: dict[str, int]
    tokens_per_s: float | None = None


class Measurements:
    """Measurements by instance key, in one small JSON file; a broken or missing file is an empty one."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known = _read(file)

    def get(self, key: str) -> Measurement | None:
        """What is known of ``key``."""
        return self._known.get(key)

    def put(self, key: str, measurement: Measurement) -> None:
        """Remember, most recent last; the oldest beyond 500 are forgotten."""
        self._known.pop(key, None)
        self._known[key] = measurement
        while len(self._known) > KEPT:
            del self._known[next(iter(self._known))]

    def save(self) -> None:
        """Write the file anew, atomically. Blocking; raises OSError when the folder cannot be written."""
        data = msgspec.json.encode(dict(self._known))
        self._file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._file.parent, prefix=self._file.name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(name, self._file)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise


def _read(file: Path) -> dict[str, Measurement]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Measurement])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return {}
