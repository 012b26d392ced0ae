"""Fields of the engine's that are not a client's to say: they reach past its own request.

`id_slot` would name a slot with somebody else's words in it. `lora` would change the adapters with which a slot's
prompt was computed, and what is saved of it is known by the profile's own.
"""

from __future__ import annotations

from typing import Final

from hostler.fleet.protocol import Served
from hostler.gateway.asking.fields import Edit, Fields
from hostler.gateway.routes import Route

_OURS: Final = ("id_slot", "lora")


def edit_of(served: Served, route: Route) -> Edit | None:
    """Takes them out of what goes to an engine of ours; None for others."""
    return _edit if route.slotted and served.thinking is not None else None


def _edit(fields: Fields) -> None:
    for name in () if fields.lack(_OURS) else _OURS:
        if name in fields:
            fields.drop(name)
            fields.note(f"{name} left out")
