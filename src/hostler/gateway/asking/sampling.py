"""A profile's sampling defaults, for the fields that a client left out."""

from __future__ import annotations

from typing import Final

import msgspec

from hostler.fleet.protocol import Served
from hostler.gateway.asking.fields import Edit, Fields
from hostler.gateway.routes import Route

#: Other names under which a client may have said the same.
_SYNONYMS: Final = {"max_tokens": ("max_completion_tokens", "n_predict")}


def edit_of(served: Served, route: Route) -> Edit | None:
    """Adds what the client left out; None for a profile without defaults."""
    if not route.sampled:
        return None
    said = msgspec.structs.asdict(served.sampling).items()
    texts = [(name, msgspec.json.encode(value), _SYNONYMS.get(name, ())) for name, value in said if value is not None]

    def edit(fields: Fields) -> None:
        for name, text, synonyms in texts:
            if not any(synonym in fields for synonym in synonyms):
                fields.default(name, text)

    return edit if texts else None
