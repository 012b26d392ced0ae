"""Edits of requests, tried one at a time on bodies of every API."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from hostler.config.sampling import Effort, RequestSettings, SamplingSettings
from hostler.config.settings import Speaks
from hostler.fleet.protocol import Served
from hostler.gateway.asking.fields import Edit, Fields
from hostler.gateway.routes import INFERENCE, Route
from hostler.models.reasoning import Thinking

Body = dict[str, object]
ROUTES = {route.api: route for route in INFERENCE.values()}
SAYS: Body = {"messages": [{"role": "user", "content": "hi"}]}
#: The least that each API takes.
LEAST: dict[str, Body] = {
    "chat": SAYS,
    "apply_template": SAYS,
    "messages": {**SAYS, "max_tokens": 5},
    "count_tokens": SAYS,
    "responses": {"input": "hi"},
    "completions": {"prompt": "hi"},
    "completion": {"prompt": "hi"},
    "infill": {"input_prefix": "a", "input_suffix": "b"},
    "embeddings": {"input": "hi"},
}


def profile(
    *,
    sampling: SamplingSettings | None = None,
    thinking: Thinking | None = None,
    reasoning: Effort | None = None,
    request: RequestSettings | None = None,
    speaks: Speaks | None = None,
) -> Served:
    """A chat profile."""
    return Served(
        name="p",
        task="chat",
        embeddings=True,
        sampling=sampling or SamplingSettings(),
        context=4096,
        thinking=thinking,
        reasoning=reasoning,
        request=request,
        speaks=speaks,
    )


def asked(
    maker: Callable[[Served, Route], Edit | None], served: Served, api: str, **said: object
) -> tuple[Body, list[str]]:
    """What the engine gets of a body that says ``said``, without the least that the API wants; and the notes."""
    raw = msgspec.json.encode({**LEAST[api], **said})
    fields = Fields(raw, ROUTES[api].peek(raw, {}))
    edit = maker(served, ROUTES[api])
    if edit is not None:
        edit(fields)
    got: Body = msgspec.json.decode(fields.bytes())
    return {name: value for name, value in got.items() if (name, value) not in LEAST[api].items()}, fields.notes
