"""One real call, in the shape that a client's API has."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec

from hostler.errors import Unauthorized

if TYPE_CHECKING:
    from hostler.cli.connect.client import Api
    from hostler.client.transport import Transport

ASK: Final = "Say hello."
#: A running gateway takes a new key within two seconds.
KEY_TAKEN_S: Final = 5.0
POLL_S: Final = 0.2


class Message(msgspec.Struct, frozen=True):
    """A turn, the same in all three APIs."""

    role: str
    content: str


class Chat(msgspec.Struct, frozen=True):
    """``POST /v1/chat/completions``, and ``POST /v1/messages``, which needs no more."""

    model: str
    messages: tuple[Message, ...]
    max_tokens: int = 16


class Respond(msgspec.Struct, frozen=True):
    """``POST /v1/responses``."""

    model: str
    input: tuple[Message, ...]
    max_output_tokens: int = 16
    store: bool = False


class Usage(msgspec.Struct, frozen=True):
    """Tokens by either name."""

    prompt_tokens: int | None = None
    input_tokens: int | None = None
    completion_tokens: int | None = None
    output_tokens: int | None = None


class Answer(msgspec.Struct, frozen=True):
    """What all three answers have."""

    model: str = ""
    usage: Usage = Usage()


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What the call came to."""

    path: str
    model: str
    tokens_in: int | None
    tokens_out: int | None
    ms: int


PATHS: Final[dict[Api, str]] = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
}


async def check(transport: Transport, api: Api, model: str, *, fresh_key: bool) -> Checked:
    """Ask once; a ``fresh_key`` may take the gateway a moment. Raises what the gateway refuses with."""
    import anyio

    until = anyio.current_time() + (KEY_TAKEN_S if fresh_key else 0)
    while True:
        try:
            return await _asked(transport, api, model)
        except Unauthorized:
            if anyio.current_time() >= until:
                raise
            await anyio.sleep(POLL_S)


async def _asked(transport: Transport, api: Api, model: str) -> Checked:
    turns = (Message("user", ASK),)
    body = Respond(model, turns) if api == "responses" else Chat(model, turns)
    began = time.monotonic()
    answer = await transport.post(PATHS[api], Answer, body)
    usage = answer.usage
    return Checked(
        path=PATHS[api],
        model=answer.model or model,
        tokens_in=usage.prompt_tokens if usage.input_tokens is None else usage.input_tokens,
        tokens_out=usage.completion_tokens if usage.output_tokens is None else usage.output_tokens,
        ms=round((time.monotonic() - began) * 1000),
    )
