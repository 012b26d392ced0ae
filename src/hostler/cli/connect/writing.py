"""Puts a client's files where they belong, and takes them back.

Each is replaced in one step, what was there before is kept beside it, and a record in Hostler's folder for clients says
what was written, so that an undo knows. Nothing is written through a link that leads out of the user's folder.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from hostler.cli.connect.client import Form, Places, Wanted
from hostler.cli.connect.composing import composed, without_block
from hostler.errors import HomeError, InvalidRequest

RECORD: Final = "written.json"
PRIVATE: Final = 0o600


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A file to be written: what it holds now (None: there is none), and what it will."""

    path: Path
    form: Form
    current: str | None
    fresh: str

    @property
    def differs(self) -> bool:
        """Whether there is anything to write."""
        return self.current != self.fresh


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was written for a client; ``kept`` is what was there before, if there was anything.

    ``edited`` is what somebody had made of it between this time and the time before.
    """

    client: str
    path: Path
    form: Form
    sha256: str
    kept: Path | None = None
    edited: Path | None = None


class Undone(msgspec.Struct, frozen=True, kw_only=True):
    """What an undo did to a file; ``edited`` is where changes went that somebody made since."""

    path: Path
    restored: bool
    edited: Path | None = None


def planned(wanted: Wanted, places: Places) -> Change:
    """What writing ``wanted`` would change. Raises InvalidRequest: it cannot be merged, or a link leads elsewhere."""
    path = _real(wanted.path, places)
    current = _read(path)
    return Change(path=path, form=wanted.form, current=current, fresh=composed(wanted, current))


def write(client: str, changes: list[Change], places: Places, *, private: bool) -> tuple[Written, ...]:
    """Write what differs; ``private`` files hold a key and are the user's alone. Raises HomeError."""
    record = list(_record(places))
    known = {each.path: each for each in record}
    done: list[Written] = []
    try:
        for change in changes:
            written = _written(client, change, known.get(change.path))
            _replace(change.path, change.fresh, PRIVATE if private else _mode(change.path))
            done.append(written)
            known[change.path] = written
            _remember(tuple(known.values()), places)
    except OSError as error:
        raise HomeError(f"{error.filename} cannot be written: {error.strerror}.") from error
    return tuple(done)


def _written(client: str, change: Change, before: Written | None) -> Written:
    """The entry in the record, once what an undo must not lose is put aside."""
    kept = before.kept if before else _aside(change, "before-hostler")
    edited = _aside(change, "edited") if before and change.differs and _is_edited(before, change.current) else None
    sha256 = _hash(change.fresh)
    return Written(client=client, path=change.path, form=change.form, sha256=sha256, kept=kept, edited=edited)


def configured(places: Places) -> frozenset[str]:
    """Clients whose files were written and are still there."""
    return frozenset(each.client for each in _record(places) if each.path.exists())


def undo(client: str, places: Places) -> tuple[Undone, ...]:
    """Take back what was written for ``client``. Raises InvalidRequest when nothing was, HomeError."""
    record = _record(places)
    ours = [each for each in record if each.client == client]
    if not ours:
        raise InvalidRequest(f"Nothing was written for {client} from here.", hint="`hostler connect` lists what was.")
    done: list[Undone] = []
    try:
        for each in ours:
            done.append(_undone(each))
            # At once: what was put back is the user's own, and no edit of what we wrote, if a later file fails.
            record = tuple(other for other in record if other != each)
            _remember(record, places)
    except OSError as error:
        raise HomeError(f"{error.filename} cannot be put back: {error.strerror}.") from error
    return tuple(done)


def _undone(written: Written) -> Undone:
    current = _read(written.path)
    if written.form == "block":
        return _cut(written, current or "")
    edited = None
    gone = written.kept is not None and not written.kept.exists()  # then what is here has all that there is of it
    if current is not None and (gone or _is_edited(written, current)):
        edited = _free(written.path, "edited")
        _replace(edited, current, _mode(written.path))
    if written.kept is not None and written.kept.exists():
        written.kept.replace(written.path)
        return Undone(path=written.path, restored=True, edited=edited)
    written.path.unlink(missing_ok=True)
    return Undone(path=written.path, restored=False, edited=edited)


def _cut(written: Written, current: str) -> Undone:
    """Only our block goes: lines that others wrote into the file since stay."""
    rest = without_block(current)
    if rest.strip():
        _replace(written.path, rest, _mode(written.path))
    else:
        written.path.unlink(missing_ok=True)
    if written.kept is not None and _read(written.kept) == rest:
        written.kept.unlink()
    return Undone(path=written.path, restored=bool(rest.strip()))


def _real(path: Path, places: Places) -> Path:
    """Where ``path`` really lies. Raises InvalidRequest when a link leads out of the user's and Hostler's folders."""
    try:
        real = path.resolve()
    except (OSError, RuntimeError) as error:  # a loop is a RuntimeError before Python 3.13
        raise InvalidRequest(f"{path} leads nowhere: {error}.", hint="Remove the link; nothing was written.") from error
    inside = any(real.is_relative_to(folder.resolve()) for folder in (places.home, places.own))
    linked = path.is_symlink() or path.is_relative_to(places.home)
    if linked and not inside:
        raise InvalidRequest(
            f"{path} leads to {real}, outside of {places.home}.", hint="Remove the link; nothing was written."
        )
    return real


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8")  # as it is: text mode would change its line ends
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}.") from error


def _is_edited(written: Written, current: str | None) -> bool:
    """Whether somebody changed it since; what is outside of a block is never lost."""
    return written.form != "block" and current is not None and _hash(current) != written.sha256


def _aside(change: Change, word: str) -> Path | None:
    """Put what is there beside it; None when nothing is there."""
    if change.current is None:
        return None
    beside = _free(change.path, word)
    _replace(beside, change.current, _mode(change.path))
    return beside


def _free(path: Path, word: str) -> Path:
    """A name beside ``path`` that nothing has."""
    return next(name for name in _names(path, word) if not name.exists())


def _names(path: Path, word: str) -> Iterator[Path]:
    yield path.with_name(f"{path.name}.{word}")
    number = 2
    while True:
        yield path.with_name(f"{path.name}.{word}-{number}")
        number += 1


def _mode(path: Path) -> int:
    with suppress(OSError):
        return stat.S_IMODE(path.stat().st_mode)
    return 0o644


def _replace(path: Path, text: str, mode: int) -> None:
    """Replace the file in one step; nobody else can read it before it has its mode."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:  # it would name a file that nobody knows
        raise OSError(error.errno, error.strerror, str(path.parent)) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _record(places: Places) -> tuple[Written, ...]:
    """What was written until now; a record that cannot be read says nothing."""
    try:
        return msgspec.json.decode((places.own / RECORD).read_bytes(), type=tuple[Written, ...], dec_hook=_path)
    except (OSError, msgspec.DecodeError):
        return ()


def _path(kind: type, value: object) -> object:
    return kind(value)


def _remember(record: tuple[Written, ...], places: Places) -> None:
    text = msgspec.json.format(msgspec.json.encode(record, enc_hook=str), indent=2).decode()
    _replace(places.own / RECORD, f"{text}\n", PRIVATE)
