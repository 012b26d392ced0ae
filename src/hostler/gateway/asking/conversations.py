"""Which conversation a request belongs to; only looked at for instances with several slots.

1. `X-Hostler-Conversation`. 2. `prompt_cache_key`. 3. The headers in which agents name their session. 4. Anthropic's
`metadata.user_id` (Claude Code's has its session in it), OpenAI's `user`. And always its messages, so that a next turn
is known without a name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final
from zlib import crc32

import msgspec
from msgspec import UNSET, Raw

from hostler.fleet.protocol import Conversation, Served
from hostler.gateway.asking.peek import Absent
from hostler.gateway.routes import Route

OWN: Final = b"x-hostler-conversation"
AGENTS: Final = (b"x-session-affinity", b"x-session-id", b"x-claude-code-session-id", b"thread-id", b"session-id")
LONGEST_KEY: Final = 200


class _Named(msgspec.Struct, gc=False):
    messages: Absent = UNSET
    input: Absent = UNSET
    prompt: Absent = UNSET
    prompt_cache_key: Absent = UNSET
    user: Absent = UNSET
    metadata: Absent = UNSET


class _Metadata(msgspec.Struct):
    user_id: Absent = UNSET


_messages = msgspec.json.Decoder(list[Raw])
_decoder = msgspec.json.Decoder(_Named)
_metadata = msgspec.json.Decoder(_Metadata)


_UNNAMED: Final = Conversation()


def conversation_for(served: Served, route: Route, headers: Mapping[bytes, bytes], body: bytes) -> Conversation | None:
    """The conversation of a request; None where its engine cannot be told which slot to take."""
    if not route.slotted or served.speaks is not None:
        return None
    return _UNNAMED if served.slots == 1 else conversation_of(headers, body)


def conversation_of(headers: Mapping[bytes, bytes], body: bytes) -> Conversation:
    """What ``body``, which is a JSON object, and the head tell of its conversation."""
    named = _decoder.decode(body)
    said = next((field for field in (named.messages, named.input, named.prompt) if isinstance(field, Raw)), None)
    if said is None:
        return Conversation(_key(headers, named))
    return Conversation(
        _key(headers, named), tuple(accumulate(map(bytes, _parts(said)), _mark, initial=0))[1:], len(bytes(said))
    )


def _parts(said: Raw) -> Sequence[Raw]:
    """The messages; whatever is no list of them is one."""
    try:
        return _messages.decode(said)
    except msgspec.MsgspecError:
        return (said,)


def _mark(before: int, message: bytes) -> int:
    return crc32(message, before)


def _key(headers: Mapping[bytes, bytes], named: _Named) -> str:
    key = headers.get(OWN) or _said(named.prompt_cache_key)
    key = key or next((headers[name] for name in AGENTS if headers.get(name)), b"")
    return (key or _user_id(named.metadata) or _said(named.user))[:LONGEST_KEY].decode("latin-1")


def _said(field: Absent) -> bytes:
    """A field's text as it is written; empty for none, null and ""."""
    text = bytes(field) if isinstance(field, Raw) else b""
    return b"" if text in (b"null", b'""') else text


def _user_id(metadata: Absent) -> bytes:
    if not isinstance(metadata, Raw):
        return b""
    try:
        return _said(_metadata.decode(metadata).user_id)
    except msgspec.MsgspecError:  # no object: the engine will tell
        return b""
