"""A saved slot as the shelf knows it, and recognising a conversation without keeping a word of it. Pure."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

import msgspec

BLOCK = 64  # tokens of which one mark is kept

_MAGIC = b"qsgg"
_HEAD = struct.Struct("<4sII")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One file. Times in seconds since the Unix epoch.

    ``key`` says with which model, build and flags it was made, ``tenant`` whose it is. ``computing_s`` is what the
    engine would take to read the prompt again, ``saved_s`` what was spared so far. ``marks`` identify the tokens.
    """

    id: str
    key: str
    tenant: str
    profile: str
    tokens: int
    bytes: int
    checksum: int
    saved_at: float
    used_at: float
    computing_s: float
    hits: int = 0
    saved_s: float = 0.0
    marks: tuple[str, ...] = ()


def tokens_in(head: bytes, count: int) -> bytes:
    """The last ``count`` tokens that the beginning of a slot's file lists, four bytes each; empty if it has no such.

    A newer llama.cpp puts a few words of its own before them.
    """
    if len(head) < _HEAD.size:
        return b""
    magic, _version, listed = _HEAD.unpack_from(head)
    end = _HEAD.size + 4 * listed
    if magic != _MAGIC or listed < count or end > len(head):
        return b""
    return head[end - 4 * count : end]


def head_size(count: int) -> int:
    """How much of a file :func:`tokens_in` has to see."""
    return _HEAD.size + 4 * (count + BLOCK)


def marks(tokens: bytes, salt: bytes) -> tuple[str, ...]:
    """One mark for each whole block: a hash of all tokens up to its end, of no use without ``salt``."""
    running, found = hashlib.blake2b(key=salt, digest_size=8), []
    for end in range(4 * BLOCK, len(tokens) + 1, 4 * BLOCK):
        running.update(tokens[end - 4 * BLOCK : end])
        found.append(running.hexdigest())
    return tuple(found)


def shared(one: Sequence[object], other: Sequence[object]) -> int:
    """How many blocks two prompts have in common from their beginning."""
    count = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def continues(newer: Entry, older: Entry) -> bool:
    """Whether ``newer`` has all of ``older`` but its last words, which a template may have set otherwise."""
    if (newer.key, newer.tenant) != (older.key, older.tenant) or len(older.marks) < 2:
        return False
    return shared(newer.marks, older.marks) >= len(older.marks) - max(1, len(older.marks) // 10)


def resumes(newer: Entry, older: Entry) -> bool:
    """Whether ``newer`` has at least half of ``older``: the engine, given that, had something to go on from."""
    if (newer.key, newer.tenant) != (older.key, older.tenant) or not older.marks:
        return False
    return 2 * shared(newer.marks, older.marks) >= len(older.marks)
