"""Whether a request fits into the context of its profile. Nothing is ever cut off in silence.

1. A token is at least one byte of the prompt, and the prompt has at most the bytes of the body (whose JSON takes more
   for each message than any chat template) and :data:`TEMPLATE`. A request within that is sent as it is, uncounted.
2. Where the client bounds its answer and the bound may not fit behind the prompt, it becomes what is left of the
   context, and the client hears of it. The engine's own tokenizer counts for that, before it is asked; but not for a
   short prompt with a bound beyond all context, which is an agent's way to say that it has none.
3. Else the engine counts as it reads the prompt, and refuses before it computes (`answering/overflow.py`).

Of programs and remotes nobody knows the context here; they refuse by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw

from hostler.engines.protocol import Endpoint
from hostler.errors import EngineLost
from hostler.fleet.protocol import Needs, Served
from hostler.gateway.asking.checks.kinds import Checked
from hostler.gateway.asking.exceeded import ContextExceeded
from hostler.gateway.asking.fields import Fields
from hostler.gateway.asking.needs import IMAGE_TOKENS, needs
from hostler.gateway.asking.peek import Peek
from hostler.gateway.relay.fetching import fetched
from hostler.gateway.relay.heads import engine_lines
from hostler.gateway.relay.upstream import Pool
from hostler.gateway.routes import Route

#: Tokens that a chat template may add besides: its default system text, its words around tools.
TEMPLATE: Final = 1024
#: Bytes that fit into any context.
SHORT: Final = 1024
COUNT_S: Final = 10.0

_LIMITS: Final = {
    "chat": ("max_tokens", "max_completion_tokens", "n_predict"),
    "completions": ("max_tokens", "n_predict"),
    "completion": ("n_predict", "max_tokens"),
    "messages": ("max_tokens",),
    "responses": ("max_output_tokens",),
    "infill": (),
}
_NUMBERS: Final = (int, float)
_COUNTERS: Final = {
    "chat": b"/v1/chat/completions/input_tokens",
    "messages": b"/v1/messages/count_tokens",
    "responses": b"/v1/responses/input_tokens",
}


class Room(msgspec.Struct, frozen=True):
    """A request of which bytes alone do not tell that it fits. ``context`` is 0 where nobody knows it; ``limits`` are
    the bounds of its answer that may be too large; ``counted`` says whether the engine is to count for them."""

    api: str
    asked: Peek
    context: int = 0
    limits: tuple[tuple[str, int], ...] = ()
    counted: bool = False

    def done(self) -> Room:
        """The same once it was counted."""
        return msgspec.structs.replace(self, counted=False)


def room_of(served: Served, route: Route, asked: Peek, body: bytes) -> Room | None:
    """What has to be looked at; None for a request that fits, and for APIs without a prompt."""
    names = _LIMITS.get(route.api)
    if names is None:
        return None
    if not served.counts or served.speaks is not None:
        return Room(route.api, asked) if len(body) > SHORT else None
    limits, longest = [], 0
    ours = () if served.request is None else (*served.request.strip, *served.request.set)
    for name in names:
        limit = getattr(asked, name, None)
        if limit.__class__ in _NUMBERS and name not in ours:  # most requests have one or none
            limits.append((name, int(limit)))
            longest = max(longest, int(limit))
    pictures = _pictures(asked) if "images" in served.abilities else 0
    prompt, context = len(body) + TEMPLATE + pictures * IMAGE_TOKENS, served.context
    if prompt + longest <= context:
        return None
    tight = tuple(each for each in limits if prompt + each[1] > context)
    surely = prompt <= context and all(limit >= context for _, limit in tight)
    return Room(route.api, asked, context, tight, bool(tight) and not pictures and not surely)


def _pictures(asked: Peek) -> int:
    return sum(1 for _ in asked.pictures()) if isinstance(asked, Checked) else 0


def bounded(room: Room, body: bytes, tokens: int | None) -> tuple[bytes, tuple[str, ...]]:
    """``body`` with bounds that fit behind a prompt of so many tokens, and what to tell the client of it. A prompt that
    nobody counted has one token at least. Raises ContextExceeded."""
    if not room.context:
        return body, ()
    if tokens is not None and tokens >= room.context:
        raise ContextExceeded.of(tokens, room.context)
    left = room.context - (tokens or 1)
    fields = Fields(body, room.asked)
    for name, limit in room.limits:
        if limit > left:
            fields.set(name, b"%d" % left)
            fields.note(f"{name}={left}")
    return fields.bytes(), tuple(fields.notes)


def wider(choose: Callable[[Needs], tuple[Served, ...]], route: Route, body: bytes, least: int) -> Served | None:
    """The profile of an `auto` name for a request that does not fit into ``least`` tokens; None if it has none."""

    def suits(one: Served) -> bool:
        return one.context > least and route.suits(one)

    asked = msgspec.structs.replace(needs(route, body), suits=suits)
    return next((one for one in choose(asked) if suits(one)), None)


# --- counting -----------------------------------------------------------------------------------------


class _Prompt(msgspec.Struct):
    prompt: Raw


class _Count(msgspec.Struct):
    input_tokens: int | None = None
    tokens: list[Raw] | None = None


_prompt = msgspec.json.Decoder(_Prompt)
_numbers = msgspec.json.Decoder(list[int])
_count = msgspec.json.Decoder(_Count)


async def counted(pool: Pool, endpoint: Endpoint, room: Room, request: str, body: bytes) -> int | None:
    """Tokens of the prompt, by the engine that will get it; None when it does not tell. Cancelling hangs up."""
    target, asked = _COUNTERS.get(room.api, b"/tokenize"), body
    try:
        if target == b"/tokenize":
            prompt = bytes(_prompt.decode(body).prompt)
            if prompt.startswith(b"["):  # tokens already; several prompts have a context each
                return len(_numbers.decode(prompt))
            asked = b'{"add_special":true,"parse_special":true,"content":%b}' % prompt
        async with asyncio.timeout(COUNT_S):
            lines = engine_lines(target, endpoint, request, len(asked))
            reply = await fetched(pool, endpoint, lines + asked)
        said = _count.decode(reply.body)
    except (EngineLost, TimeoutError, msgspec.MsgspecError):
        return None
    return said.input_tokens if said.tokens is None else len(said.tokens)
