"""Engine builds: the embedded wheel, and `llama-server` binaries that the config names."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread
import msgspec

from hostler.engines.building.installed import program
from hostler.engines.failures import name_of, signal_of
from hostler.errors import BuildUnusable, HostlerError, KilledBySignal

PROBE_S = 15.0

#: How an ordinary model drafts (`--spec-type`); builds have had other words for it.
DRAFT_SIMPLE = "draft-simple"

_FLAG = re.compile(r"(?<![\w-])--?[A-Za-z][\w-]*")
_DEVICE = re.compile(r"^\s+(\w+): .*MiB", re.MULTILINE)


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """One installed engine.

    ``version`` is the build's own text. ``flags`` are those in its ``--help``, and whether it knows how an ordinary
    model drafts; empty when that says nothing (and for the embedded build, whose flags are the table's). ``devices``
    are the GPUs it can use.
    """

    name: str
    kind: Literal["embedded", "binary"]
    version: str
    path: Path | None = None
    sha256: str = ""
    flags: frozenset[str] = frozenset()
    devices: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What stays the same while the build does, wherever it lies: what was learnt with it is kept under this."""
        return f"{self.version} {self.sha256[:12]}".strip()

    @property
    def title(self) -> str:
        """How messages call it."""
        if self.kind == "embedded":
            return f"the embedded build ({self.version})"
        return f"{self.path}"


class _Cached(msgspec.Struct, frozen=True):
    """A probed build and what its file looked like then."""

    size: int
    mtime_ns: int
    build: Build


class Builds:
    """Finds and probes builds; probes are kept in ``cache``/builds by path, size and time of the file.

    ``made`` is where builds that were made here live, ``default`` tells the one for profiles that name none.
    """

    def __init__(self, cache: Path, made: Path | None = None, default: Callable[[], str | None] = lambda: None) -> None:
        self._cache = cache / "builds"
        self._made = made
        self._default = default
        self._known: dict[Path, _Cached] = {}
        self._embedded: Build | None = None

    async def get(self, name: str | None) -> Build:
        """The build that a profile's ``engine.build`` names; None is the default one.

        A name is `embedded`, that of a build made here, a path, or a program on PATH. Raises BuildUnusable, or
        KilledBySignal when it dies when asked for its version.
        """
        found = self._resolved(name)
        if isinstance(found, Build):
            return found
        known = self._still(found)
        if known is None:
            status = _status(found)
            known = _Cached(status.st_size, status.st_mtime_ns, await probe(found))
            self._write(found, known)
            self._known[found] = known
        return known.build

    def remembered(self, name: str | None) -> Build | None:
        """As :meth:`get`, without asking the binary: None when it was never asked, or changed since."""
        found = self._resolved(name)
        if isinstance(found, Build):
            return found
        known = self._still(found)
        return None if known is None else known.build

    def check(self, name: str | None) -> None:
        """Raise BuildUnusable where that name means no program; it is not asked anything."""
        found = self._resolved(name)
        if isinstance(found, Path):
            _status(found)
            _check_program(found)

    def mark(self, name: str | None) -> str:
        """Text that changes when another build is meant by that name, or its binary is replaced. Never raises."""
        try:
            found = self._resolved(name)
            return found.version if isinstance(found, Build) else f"{found} {_status(found).st_mtime_ns}"
        except HostlerError as error:
            return error.message

    def _resolved(self, name: str | None) -> Build | Path:
        name = self._default() if name is None else name
        if name is None or name == "embedded":
            return self.embedded()
        made = program(self._made, name) if self._made is not None else None
        return made or _located(name)

    def _still(self, path: Path) -> _Cached | None:
        """What was learnt of ``path`` earlier, if it is still the same file."""
        status = _status(path)
        known = self._known.get(path) or self._read(path)
        if known is None or (known.size, known.mtime_ns) != (status.st_size, status.st_mtime_ns):
            return None
        self._known[path] = known
        return known

    def embedded(self) -> Build:
        """The build inside the `xllamacpp` wheel. Raises BuildUnusable when it is not installed."""
        if self._embedded is None:
            from importlib.metadata import PackageNotFoundError, version

            try:
                text = f"xllamacpp {version('xllamacpp')}"
            except PackageNotFoundError:
                raise BuildUnusable(
                    "The embedded build is not installed.",
                    hint="Install the package `xllamacpp`, or name a `llama-server` in the profile's `engine.build`.",
                ) from None
            # The wheel for Apple silicon computes on its GPU.
            devices = ("Metal",) if sys.platform == "darwin" else ()
            self._embedded = Build(name="embedded", kind="embedded", version=text, devices=devices)
        return self._embedded

    def _file(self, path: Path) -> Path:
        return self._cache / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.json"

    def _read(self, path: Path) -> _Cached | None:
        try:
            return msgspec.json.decode(self._file(path).read_bytes(), type=_Cached, dec_hook=_path)
        except (OSError, msgspec.MsgspecError):
            return None

    def _write(self, path: Path, known: _Cached) -> None:
        """Keep the probe; a cache that cannot be written only costs the next start a probe."""
        file = self._file(path)
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            fresh = file.with_suffix(".new")
            fresh.write_bytes(msgspec.json.encode(known, enc_hook=str))
            fresh.replace(file)
        except OSError:
            return


def find_on_path() -> Path | None:
    """A `llama-server` on PATH, if any; `doctor` shows it, nothing uses it unless the config names it."""
    found = shutil.which("llama-server")
    return Path(found) if found else None


async def probe(path: Path) -> Build:
    """Ask the binary at ``path`` what it is; each question is bounded by 15 s.

    Raises BuildUnusable when it cannot be run or does not answer, KilledBySignal when it dies by a signal.
    """
    _check_program(path)
    version = await _asked(path, "--version")
    flags = _flags_in(await _asked(path, "--help"))
    devices = await _asked(path, "--list-devices") if "--list-devices" in flags else ""
    return Build(
        name=path.name,
        kind="binary",
        version=_version_in(version),
        path=path,
        sha256=await anyio.to_thread.run_sync(_sha256, path),
        flags=flags,
        devices=tuple(name for name in _DEVICE.findall(devices) if name != "CPU"),
    )


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise BuildUnusable(f"The build {path} cannot be read: {error.strerror}.") from error


def _check_program(path: Path) -> None:
    if path.is_dir():
        raise BuildUnusable(f"The build {path} is a folder.", hint="Name the `llama-server` in it.")
    if not path.is_file() or not os.access(path, os.X_OK):
        raise BuildUnusable(f"The build {path} is not an executable file.", hint=f"chmod +x {path}")


def _path(_kind: type, text: object) -> Path:
    return Path(str(text))


def _located(name: str) -> Path:
    if os.sep in name or name.startswith("~"):
        return Path(name).expanduser().absolute()
    found = shutil.which(name)
    if found is None:
        raise BuildUnusable(
            f"There is no build `{name}`, and no such program on PATH.",
            hint="`hostler engine ls` lists them; correct `build` in the profile, or `default_build` in `[engines]`.",
        )
    return Path(found).absolute()


async def _asked(path: Path, question: str) -> str:
    """What ``path question`` prints, whatever its exit code. Cancelling kills it."""
    try:
        with anyio.fail_after(PROBE_S):
            done = await anyio.run_process(
                [str(path), question],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.STDOUT,
                check=False,
                start_new_session=True,
            )
    except TimeoutError:
        raise BuildUnusable(f"The build {path} did not answer `{question}` within {PROBE_S:.0f} s.") from None
    except OSError as error:
        why = "is made for another kind of machine" if error.errno == errno.ENOEXEC else f"cannot run: {error.strerror}"
        raise BuildUnusable(f"The build {path} {why}.") from error
    if number := signal_of(done.returncode):
        raise KilledBySignal(
            f"The build {path} died by {name_of(number)} at `{question}`.",
            hint="It does not suit this machine; name another in the profile's `engine.build`, or remove that.",
        )
    return done.stdout.decode("utf-8", "replace")


def _flags_in(text: str) -> frozenset[str]:
    lines = (line for line in text.splitlines() if line.lstrip().startswith("-"))
    found = frozenset(flag for line in lines for flag in _FLAG.findall(line))
    return found | {DRAFT_SIMPLE} if DRAFT_SIMPLE in text else found


def _version_in(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "version" in line.lower()), lines[0] if lines else "unknown")[:200]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
