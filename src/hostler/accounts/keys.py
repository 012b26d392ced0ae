"""Who asks: keys, kept only as hashes.

The file is JSON, 0600, in the state folder: ``{"keys": [{"name", "scope", "sha256", "created", ...}]}``. Without any
key everybody is the local operator where only this machine can ask, and nobody may come in elsewhere.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, Literal, NoReturn

import msgspec

from hostler import log
from hostler.config.watch import ABSENT, stamp, watch
from hostler.errors import Conflict, HomeError, InvalidRequest, NotFound, Unauthorized

Scope = Literal["inference", "admin"]

FILE_NAME: Final = "keys.json"
LONGEST_NAME: Final = 64


class Principal(msgspec.Struct, frozen=True):
    """Who asks. ``admin`` may do everything; ``inference`` may only use models: those whose names match one of
    ``profiles``, or all when there is none. ``rate`` is requests a minute, None: as the configuration says."""

    name: str
    scope: Scope
    profiles: tuple[str, ...] = ()
    expires: float | None = None
    rate: int | None = None

    def may_use(self, profile: str) -> bool:
        """Whether it may use the profile of that own name."""
        return not self.profiles or any(fnmatchcase(profile, pattern) for pattern in self.profiles)


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What holds a key back: profiles that it may use (patterns; none: all), when it ends (seconds since the Unix
    epoch), and requests a minute."""

    profiles: tuple[str, ...] = ()
    expires: float | None = None
    rate: int | None = None


class StoredKey(Bounds, frozen=True, kw_only=True, omit_defaults=True):
    """A key as the file keeps it; ``sha256`` is hexadecimal, ``created`` seconds since the Unix epoch if known.

    ``lent_by``: the key whose owner started a program with this one; "" of a key that somebody keeps.
    """

    name: str
    scope: Scope
    sha256: str
    created: float | None = None
    lent_by: str = ""


class KeyFile(msgspec.Struct, frozen=True):
    """The whole file."""

    keys: tuple[StoredKey, ...] = ()


LOCAL: Final = Principal("local", "admin")
UNBOUND: Final = Bounds()


class Keyring:
    """All keys, by hash. ``loopback`` says whether only this machine can ask; ``now`` tells the time of day."""

    def __init__(
        self,
        path: Path,
        stored: tuple[StoredKey, ...] = (),
        *,
        loopback: bool = True,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._now = now
        self._loopback = loopback
        self._read_at = ABSENT
        self._hold(stored)

    @classmethod
    def load(cls, path: Path, *, loopback: bool = True) -> Keyring:
        """Read the file; a missing one holds no keys. Raises HomeError when it cannot be read or is not ours."""
        seen = stamp(path)
        ring = cls(path, _read(path) or (), loopback=loopback)
        ring._read_at = seen
        return ring

    def _hold(self, stored: tuple[StoredKey, ...]) -> None:
        self._stored = stored
        self._by_hash = _by_hash(stored)
        self._owners = _owners(stored)

    @property
    def empty(self) -> bool:
        """Whether no key exists; then loopback is open and any other address is refused."""
        return not self._stored

    @property
    def stored(self) -> tuple[StoredKey, ...]:
        """Every key, oldest first."""
        return self._stored

    @property
    def names(self) -> tuple[str, ...]:
        """Every key's name, oldest first."""
        return tuple(key.name for key in self._stored)

    def owner(self, name: str) -> str:
        """Whose a principal's name is: a key that is made anew with an old name is somebody else, one that is lent
        speaks for who lent it."""
        return self._owners.get(name, name)

    def authenticate(self, headers: Mapping[bytes, bytes]) -> Principal:
        """Who sent these headers (names in lower case); `Authorization: Bearer` or `x-api-key`.

        Raises Unauthorized. One dictionary look-up on a hash, so the time tells nothing of a key.
        """
        if not self._by_hash:
            if self._loopback:
                return LOCAL
            self._nobody()
        said = headers.get(b"authorization", b"")
        key = said[7:].strip() if said[:7].lower() == b"bearer " else headers.get(b"x-api-key", b"")
        if not key:
            raise Unauthorized("This gateway needs a key.")
        principal = self._by_hash.get(hashlib.sha256(key).digest())
        if principal is None:
            raise Unauthorized("This key is not known.")
        if principal.expires is not None and principal.expires <= self._now():
            raise Unauthorized("This key has expired.", hint="`hostler key new NAME` makes another.")
        return principal

    def _nobody(self) -> NoReturn:
        """Nobody comes in where no key exists: the last one may have been removed while others can reach us."""
        raise Unauthorized(
            "This gateway can be reached by others and has no key, so it lets nobody in.",
            hint="Create one on its machine with `hostler key new NAME`.",
        )

    async def follow(self, interval_s: float = 1.0) -> None:
        """Take changes of the file, until cancelled; each is in force within two intervals.

        A file that is broken or gone changes nothing: the keys that were read last stay in force.
        """

        async def changed() -> None:
            try:
                stored = _read(self._path)
            except HomeError as error:
                log.warning("keys.rejected", reason=error.message)
                return
            if stored is not None and stored != self._stored:
                self._hold(stored)
                log.info("keys.changed", keys=len(stored))

        await watch(self._path, changed, interval_s, self._read_at)

    def add(self, name: str, scope: Scope = "admin", bounds: Bounds = UNBOUND, lent_by: str = "") -> str:
        """Make a key, store its hash, and return the key; it is never shown again.

        One that is lent lasts no longer than the key that lends it, and asks no more often. Raises InvalidRequest for
        an impossible name or bounds, Conflict for a name that is taken, Unauthorized where the lender is gone,
        HomeError.
        """
        _check_name(name)
        _check_bounds(scope, bounds)
        with self._changing():
            if lent_by:
                bounds = self._within(lent_by, bounds)
            if name in self.names:
                raise Conflict(f"There is already a key named {name!r}.", hint="Choose another name.")
            key = f"hostler-{secrets.token_urlsafe(24)}"
            digest = hashlib.sha256(key.encode()).hexdigest()
            fresh = StoredKey(
                name=name, scope=scope, sha256=digest, created=self._now(), lent_by=lent_by,
                **msgspec.structs.asdict(bounds),
            )  # fmt: skip
            self._store((*self._stored, fresh))
        return key

    def prolong(self, name: str, expires: float) -> float:
        """Have a key that is lent end later, and say when: with the key that lent it at the latest. Raises NotFound,
        HomeError."""
        with self._changing():
            lent = self._lent(name)
            until = self._within(lent.lent_by, Bounds(expires=expires)).expires or expires
            longer = msgspec.structs.replace(lent, expires=until)
            self._store(tuple(longer if key is lent else key for key in self._stored))
        return until

    def take_back(self, name: str) -> None:
        """Forget a key that is lent. Raises NotFound, HomeError."""
        with self._changing():
            self._lent(name)
            self._store(tuple(key for key in self._stored if key.name != name))

    def remove(self, name: str) -> None:
        """Forget a key, and those that were lent with it. Raises NotFound, HomeError."""
        with self._changing():
            if name not in self.names:
                there = f"There are: {', '.join(self.names)}." if self.names else "There are none."
                raise NotFound(f"No key is named {name!r}.", hint=there)
            self._store(tuple(key for key in self._stored if name not in (key.name, key.lent_by)))

    def _lent(self, name: str) -> StoredKey:
        for key in self._stored:
            if key.name == name and key.lent_by:
                return key
        raise NotFound(f"No key that is lent is named {name!r}.", hint="`hostler key rm NAME` removes others.")

    def _within(self, lender: str, bounds: Bounds) -> Bounds:
        """What of ``bounds`` the key of that name can give."""
        own = next((key for key in self._stored if key.name == lender), None)
        if own is None:
            raise Unauthorized("This key is not known.")
        ends = [each for each in (own.expires, bounds.expires) if each is not None]
        rates = [each for each in (own.rate, bounds.rate) if each is not None]
        return msgspec.structs.replace(bounds, expires=min(ends, default=None), rate=min(rates, default=None))

    @contextmanager
    def _changing(self) -> Generator[None, None, None]:
        """Nobody else changes the file meanwhile, and what others changed before is known. What was lent and is over
        is forgotten: whoever had it did not come to give it back. Keys of a file that is gone stay, as ever."""
        lock = _lock(self._path)
        try:
            now, known = self._now(), _read(self._path)
            known = self._stored if known is None else known
            held = (key for key in known if not key.lent_by or (key.expires or now) > now)
            self._hold(tuple(held))
            yield
        finally:
            os.close(lock)

    def _store(self, stored: tuple[StoredKey, ...]) -> None:
        """Replace the file in one step; it is 0600 from its first byte."""
        fresh = self._path.with_name(f"{self._path.name}.new")
        try:
            fresh.unlink(missing_ok=True)
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(KeyFile(stored))) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as error:
            raise _unwritable(self._path, error) from error
        self._hold(stored)


def _read(path: Path) -> tuple[StoredKey, ...] | None:
    """The keys in the file; None when there is none. Raises HomeError."""
    try:
        stored = msgspec.json.decode(path.read_bytes(), type=KeyFile).keys
        _by_hash(stored)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HomeError(f"The keys in {path} cannot be read: {error.strerror}.") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise HomeError(f"The keys in {path} are damaged: {error}.", hint="Restore or remove that file.") from error
    return stored


def _owners(stored: tuple[StoredKey, ...]) -> dict[str, str]:
    own = {key.name: f"{key.name} {key.sha256[:16]}" for key in stored}
    return {key.name: own.get(key.lent_by, own[key.name]) for key in stored}


def _by_hash(stored: tuple[StoredKey, ...]) -> dict[bytes, Principal]:
    """Raises ValueError when a hash is not hexadecimal."""
    return {
        bytes.fromhex(key.sha256): Principal(key.name, key.scope, key.profiles, key.expires, key.rate) for key in stored
    }


def _check_name(name: str) -> None:
    if name == LOCAL.name:
        raise InvalidRequest(f"{name!r} is who asks without a key.", hint="Choose another name.")
    if not name.isprintable() or name != name.strip() or not 0 < len(name) <= LONGEST_NAME:
        raise InvalidRequest(
            f"{name!r} cannot name a key.", hint=f"A name is a line of 1 to {LONGEST_NAME} printable characters."
        )


def _check_bounds(scope: Scope, bounds: Bounds) -> None:
    if scope == "admin" and bounds.profiles:
        raise InvalidRequest(
            "A key of scope admin may do everything.", hint="Leave its profiles out, or make a key of scope inference."
        )
    if not all(bounds.profiles):
        raise InvalidRequest("An empty name allows no profile.")


def _lock(path: Path) -> int:
    """Wait for the lock beside ``path``; closing the handle frees it. Raises HomeError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from error
    fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def _unwritable(path: Path, error: OSError) -> HomeError:
    return HomeError(
        f"The keys in {path} cannot be changed: {error.strerror}.",
        hint="Make its folder writable, or set HOSTLER_HOME to one that is.",
    )
