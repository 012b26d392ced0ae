"""Fields of the engine's that are not a client's to say: they reach past its own request.

`id_slot` would name a slot with somebody else's words in it. `lora` would change the adapters with which a slot's
prompt was computed, and what is saved of it is known by the profile's own. A context, and where and how the model is
loaded, would have it loaded anew.
"""

from __future__ import annotations

from typing import Final

from hostler.fleet.protocol import Served
from hostler.gateway.asking.fields import Edit, Fields
from hostler.gateway.routes import Route

_OURS: Final = (
    "id_slot", "lora", "n_gpu_layers", "num_gpu", "main_gpu", "n_threads", "num_thread", "n_batch", "num_batch",
    "use_mmap", "use_mlock",
)  # fmt: skip
_CONTEXT: Final = ("n_ctx", "num_ctx")
#: The APIs whose bodies are read anyway, so that these fields cost no second look.
_APIS: Final = frozenset({"chat", "completions", "completion", "infill", "responses", "messages", "embeddings"})


def edit_of(served: Served, route: Route) -> Edit | None:
    """Takes them out of what goes to an engine of ours, and tells; None for others."""
    if route.api not in _APIS or served.thinking is None:
        return None
    ours = (*_OURS, *_CONTEXT)
    told = {name: f"{name} left out" for name in _OURS} | {name: f"{name}={served.context}" for name in _CONTEXT}

    def edit(fields: Fields) -> None:
        for name, note in () if fields.lack(ours) else told.items():
            if name in fields:
                fields.drop(name)
                fields.note(note)

    return edit
