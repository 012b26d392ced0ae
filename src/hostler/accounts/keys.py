"""Who asks: keys, kept only as hashes.

The file is JSON, 0600, in the state folder: ``{"keys": [{"name", "scope", "sha256"}]}``. Without any key
everybody is the local operator; the gateway then listens on loopback only.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from hostler.errors import Conflict, HomeError, Unauthorized

Scope = Literal["inference", "admin"]


class Principal(msgspec.Struct, frozen=True):
    """Who asks. ``admin`` may do everything; ``inference`` may only use models."""

    name: str
    scope: Scope


class StoredKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as the file keeps it; ``sha256`` is hexadecimal."""

    name: str
    scope: Scope
    sha256: str


class KeyFile(msgspec.Struct, frozen=True):
    """The whole file."""

    keys: tuple[StoredKey, ...] = ()


LOCAL: Final = Principal("local", "admin")


class Keyring:
    """All keys, by hash."""

    def __init__(self, path: Path, stored: tuple[StoredKey, ...] = ()) -> None:
        self._path = path
        self._stored = stored
        self._by_hash = {bytes.fromhex(key.sha256): Principal(key.name, key.scope) for key in stored}

    @classmethod
    def load(cls, path: Path) -> Keyring:
        """Read the file; a missing one holds no keys. Raises HomeError when it cannot be read or is not ours."""
        try:
            return cls(path, msgspec.json.decode(path.read_bytes(), type=KeyFile).keys)
        except FileNotFoundError:
            return cls(path)
        except OSError as error:
            raise HomeError(f"The keys in {path} cannot be read: {error.strerror}.") from error
        except (msgspec.DecodeError, ValueError) as error:
            raise HomeError(f"The keys in {path} are damaged: {error}.", hint="Restore or remove that file.") from error

    @property
    def empty(self) -> bool:
        """Whether no key exists; then loopback is open and any other address is refused."""
        return not self._stored

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(key.name for key in self._stored)

    def authenticate(self, headers: Mapping[bytes, bytes]) -> Principal:
        """Who sent these headers (names in lower case); `Authorization: Bearer` or `x-api-key`.

        Raises Unauthorized. One dictionary look-up on a hash, so the time tells nothing of a key.
        """
        if not self._by_hash:
            return LOCAL
        said = headers.get(b"authorization", b"")
        key = said[7:].strip() if said[:7].lower() == b"bearer " else headers.get(b"x-api-key", b"")
        if not key:
            raise Unauthorized("This gateway needs a key.")
        principal = self._by_hash.get(hashlib.sha256(key).digest())
        if principal is None:
            raise Unauthorized("This key is not known.")
        return principal

    def add(self, name: str, scope: Scope = "admin") -> str:
        """Make a key, store its hash, and return the key; it is never shown again. Raises Conflict, HomeError."""
        if name in self.names:
            raise Conflict(f"There is already a key named {name!r}.", hint="Choose another name.")
        key = f"hostler-{secrets.token_urlsafe(24)}"
        digest = hashlib.sha256(key.encode()).digest()
        stored = (*self._stored, StoredKey(name=name, scope=scope, sha256=digest.hex()))
        self._write(stored)
        self._stored = stored
        self._by_hash[digest] = Principal(name, scope)
        return key

    def _write(self, stored: tuple[StoredKey, ...]) -> None:
        """Replace the file in one step; it is 0600 from its first byte."""
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(KeyFile(stored))) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as error:
            raise HomeError(f"The key cannot be stored in {self._path}: {error.strerror}.") from error
