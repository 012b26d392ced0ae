"""JSON texts with something inside them changed; all else stays as it was written. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Raw

_object = msgspec.json.Decoder(dict[str, Raw])


def fields_of(text: bytes | None) -> dict[str, Raw]:
    """The fields of an object; none of anything else."""
    try:
        return {} if text is None else _object.decode(text)
    except msgspec.MsgspecError:
        return {}


def within(text: bytes | None, path: Sequence[str], value: bytes) -> bytes:
    """``text`` with ``value`` at ``path`` in it; what is no object on the way there becomes one."""
    if not path:
        return value
    held = fields_of(text)
    held[path[0]] = Raw(within(_bytes(held.get(path[0])), path[1:], value))
    return msgspec.json.encode(held)


def without(text: bytes | None, path: Sequence[str]) -> bytes | None:
    """``text`` without what is at ``path`` in it; None when there is nothing."""
    held = fields_of(text)
    name, *inner = path
    if name not in held:
        return None
    if not inner:
        del held[name]
    elif (left := without(_bytes(held[name]), inner)) is not None:
        held[name] = Raw(left)
    else:
        return None
    return msgspec.json.encode(held)


def _bytes(raw: Raw | None) -> bytes | None:
    return None if raw is None else bytes(raw)
