"""Which conversation a request belongs to; only looked at for instances with several slots.

1. `X-Hostler-Conversation`. 2. `prompt_cache_key`. 3. The headers in which agents name their session. 4. Anthropic's
`metadata.user_id` (Claude Code's has its session in it), OpenAI's `user`. And always its messages, so that a next turn
is known without a name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


class _Names(msgspec.Struct, gc=False):
    prompt_cache_key: Absent = UNSET
    user: Absent = UNSET
    metadata: Absent = UNSET


class _Chat(_Names, kw_only=True, gc=False):
    messages: list[Raw]


class _Any(_Names, gc=False):
    messages: Absent = UNSET
    input: Absent = UNSET
    prompt: Absent = UNSET


class _Metadata(msgspec.Struct):
    user_id: Absent = UNSET


_chat = msgspec.json.Decoder(_Chat).decode
_any = msgspec.json.Decoder(_Any).decode
_list = msgspec.json.Decoder(list[Raw]).decode
_metadata = msgspec.json.Decoder(_Metadata).decode
_AGENTS: Final = frozenset(AGENTS)

_UNNAMED: Final = Conversation()


def conversation_for(served: Served, route: Route, headers: Mapping[bytes, bytes], body: bytes) -> Conversation | None:
    """The conversation of a request; None where its engine cannot be told which slot to take."""
    if not route.slotted or served.speaks is not None:
        return None
    return _UNNAMED if served.slots == 1 else conversation_of(headers, body)


def conversation_of(headers: Mapping[bytes, bytes], body: bytes) -> Conversation:
    """What ``body``, which is a JSON object, and the head tell of its conversation."""
    named, said = _read(body)
    mark = size = 0
    marks = []
    for message in said:
        mark = crc32(message, mark)
        size += len(memoryview(message))
        marks.append(mark)
    return Conversation(_key(headers, named), tuple(marks), size)


def _read(body: bytes) -> tuple[_Names, Sequence[Raw]]:
    """What names it, and its messages; whatever is no list of them is one."""
    try:
        chat = _chat(body)
        return chat, chat.messages
    except msgspec.ValidationError:
        other = _any(body)
    said = next((field for field in (other.messages, other.input, other.prompt) if isinstance(field, Raw)), None)
    if said is None:
        return other, ()
    try:
        return other, _list(said)
    except msgspec.MsgspecError:
        return other, (said,)


def _key(headers: Mapping[bytes, bytes], named: _Names) -> str:
    key = headers.get(OWN) or _said(named.prompt_cache_key)
    if not key and not _AGENTS.isdisjoint(headers):
        key = next((headers[name] for name in AGENTS if headers.get(name)), b"")
    if not key and (named.metadata is not UNSET or named.user is not UNSET):
        key = _user_id(named.metadata) or _said(named.user)
    return key[:LONGEST_KEY].decode("latin-1") if key else ""


def _said(field: Absent) -> bytes:
    """A field's text as it is written; empty for none, null and ""."""
    text = bytes(field) if isinstance(field, Raw) else b""
    return b"" if text in (b"null", b'""') else text


def _user_id(metadata: Absent) -> bytes:
    if not isinstance(metadata, Raw):
        return b""
    try:
        return _said(_metadata(metadata).user_id)
    except msgspec.MsgspecError:  # no object: the engine will tell
        return b""
