"""A profile's sampling defaults, for the fields that a client left out, in the words of each API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from hostler.config.sampling import SamplingSettings
from hostler.fleet.protocol import Served
from hostler.gateway.asking.fields import Edit, Fields
from hostler.gateway.routes import Route

_OWN: Final = {name: (name,) for name in SamplingSettings.__struct_fields__}
_LLAMA: Final = _OWN | {"max_tokens": ("max_tokens", "max_completion_tokens", "n_predict")}
_RESPONSES: Final = _OWN | {"max_tokens": ("max_output_tokens", "max_tokens")}
#: All that Anthropic's API has, and all that llama.cpp reads of it; it wants `max_tokens` of every client.
_MESSAGES: Final = {name: (name,) for name in ("temperature", "top_p", "top_k")}
#: What each setting is called, then other names under which a client may have said the same.
_NAMES: Final[dict[str, Mapping[str, tuple[str, ...]]]] = {
    "chat": _LLAMA,
    "completions": _LLAMA,
    "completion": _LLAMA,
    "infill": _LLAMA,
    "responses": _RESPONSES,
    "messages": _MESSAGES,
}


def edit_of(served: Served, route: Route) -> Edit | None:
    """Adds what the client left out; None for a profile without defaults."""
    names = _NAMES.get(route.api, {})
    texts = [
        (names[name], msgspec.json.encode(value))
        for name, value in msgspec.structs.asdict(served.sampling).items()
        if value is not None and name in names
    ]

    def edit(fields: Fields) -> None:
        for said, text in texts:
            if not any(name in fields for name in said):
                fields.set(said[0], text)

    return edit if texts else None
