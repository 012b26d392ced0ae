"""What a request asks of a profile, estimated from its body; only looked at for `auto` names."""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import UNSET

from hostler.config.settings import Ability
from hostler.fleet.protocol import Needs, Served
from hostler.gateway.asking.peek import Absent
from hostler.gateway.routes import Route

#: Fewer bytes a token than most texts have, so that a prompt is rather thought too long than too short.
BYTES_PER_TOKEN: Final = 3
IMAGE_TOKENS: Final = 1000
#: Agents allow answers of any length and get short ones; more than this of an answer is not planned for.
LONGEST_ANSWER: Final = 4096

_IMAGE = re.compile(rb'"image_url"\s*:|"type"\s*:\s*"image"')
_INLINE = re.compile(rb'data:image/[^"]*|"data"\s*:\s*"[^"]{256,}"')
_NOTHING: Final = (b"null", b"[]", b"false", b'"none"')


class _Wishes(msgspec.Struct, gc=False):
    tools: Absent = UNSET
    reasoning: Absent = UNSET
    reasoning_effort: Absent = UNSET
    thinking: Absent = UNSET
    max_tokens: int | float | None = None
    max_completion_tokens: int | float | None = None
    max_output_tokens: int | float | None = None
    n_predict: int | float | None = None
    n_ctx: int | float | None = None
    num_ctx: int | float | None = None


_decoder = msgspec.json.Decoder(_Wishes)


def chosen(served: Served, route: Route, body: bytes, context: int = 0) -> tuple[Served, ...]:
    """The profile for this request and those to fall back to; ``served`` alone unless the name is an `auto` name.
    ``context`` is what its client wants room for besides what the body says."""
    return (served,) if served.choose is None else served.choose(needs(route, body, context))


def needs(route: Route, body: bytes, context: int = 0) -> Needs:
    """What ``body``, which is JSON, asks for."""
    try:
        wishes = _decoder.decode(body)
    except msgspec.MsgspecError:  # a field of the wrong type, which the engine will tell
        wishes = _Wishes()
    images = len(_IMAGE.findall(body))
    text = len(body) - (sum(map(len, _INLINE.findall(body))) if images else 0)
    limits = (wishes.max_tokens, wishes.max_completion_tokens, wishes.max_output_tokens, wishes.n_predict)
    answer = max((min(int(limit), LONGEST_ANSWER) for limit in limits if limit), default=0)
    wanted: list[tuple[Ability, bool]] = [
        ("tools", _asked(wishes.tools)),
        ("images", images > 0),
        ("reasoning", any(map(_asked, (wishes.reasoning, wishes.reasoning_effort))) or _thinks(wishes.thinking)),
    ]
    return Needs(
        suits=route.suits,
        tokens=text // BYTES_PER_TOKEN + images * IMAGE_TOKENS + max(answer, 0),
        context=max(context, int(wishes.n_ctx or 0), int(wishes.num_ctx or 0)),
        abilities=frozenset(ability for ability, asked in wanted if asked),
    )


def _asked(value: Absent) -> bool:
    return isinstance(value, msgspec.Raw) and bytes(value) not in _NOTHING


def _thinks(value: Absent) -> bool:
    return _asked(value) and b'"disabled"' not in bytes(value)  # type: ignore[arg-type]
