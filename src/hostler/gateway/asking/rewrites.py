"""Fields that are the profile's to say, whatever a client sends: `request.strip`, then `request.set`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from hostler.fleet.protocol import Served
from hostler.gateway.asking.fields import Edit, Fields
from hostler.gateway.asking.nested import within, without
from hostler.gateway.routes import Route

#: What asks a model something, or renders what would be asked.
_ASKING: Final = frozenset(
    {
        "chat",
        "completions",
        "completion",
        "infill",
        "responses",
        "input_tokens",
        "messages",
        "count_tokens",
        "apply_template",
    }
)


def edit_of(served: Served, route: Route) -> Edit | None:
    """Takes out and sets what the profile says; None where it says nothing."""
    request = served.request
    if request is None or route.api not in _ASKING:
        return None
    strips = [name.split(".") for name in request.strip]
    sets = [(name.split("."), msgspec.json.encode(value)) for name, value in request.set.items()]

    def edit(fields: Fields) -> None:
        for path in strips:
            _strip(fields, path)
        for path, text in sets:
            _set(fields, path, text)

    return edit


def _strip(fields: Fields, path: Sequence[str]) -> None:
    name, *inner = path
    if inner:
        left = without(fields.get(name), inner)
        if left is None:
            return
        fields.set(name, left)
    elif name in fields:
        fields.drop(name)
    else:
        return
    fields.note(f"{'.'.join(path)} left out")


def _set(fields: Fields, path: Sequence[str], text: bytes) -> None:
    name, *inner = path
    if name in fields:
        fields.note(f"{'.'.join(path)} set")
    fields.set(name, within(fields.get(name), inner, text))
