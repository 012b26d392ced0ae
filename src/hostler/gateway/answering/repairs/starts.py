"""Streams that lack their first event.

When the first token is only a part of a character, llama.cpp keeps it back, and with it what it says with the first
token alone: the role in a chat, `message_start` in Anthropic's API. Only the first event is looked at.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from hostler.fleet.learning.defects import Probe
from hostler.gateway.answering.repairs.heard import RARE, heard
from hostler.gateway.answering.repairs.protocol import Asked

#: A first event that is longer passes as it is.
LONGEST: Final = 64 * 2**10


class _First:
    """Keeps back what comes until the first event is whole; comments before it pass."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._held = b""
        self.done = False
        self.counting = False

    def feed(self, data: bytes) -> bytes:
        held = self._held = self._held + data
        if self.counting:
            return b""
        at = _begin(held)
        end = held.find(b"\n\n", at)
        self._held = held[at:]
        if end < 0 and len(held) - at <= LONGEST:
            return held[:at]
        return held[:at] + self._begun(held[at:end]) + self._told()

    def end(self) -> bytes:
        return self._told()

    def counted(self, tokens: int) -> bytes:
        raise NotImplementedError

    def _begun(self, event: bytes) -> bytes:
        """What is missing before ``event``."""
        raise NotImplementedError

    def _told(self) -> bytes:
        if self.counting:
            return b""
        self.done = True
        held, self._held = self._held, b""
        return held


def _begin(held: bytes) -> int:
    """Where the first event begins, behind comments."""
    at = 0
    while held.startswith(b":", at) and (end := held.find(b"\n\n", at)) >= 0:
        at = end + 2
    return at


class _Choice(msgspec.Struct):
    index: int = 0


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    id: Raw | UnsetType = UNSET
    created: Raw | UnsetType = UNSET
    model: Raw | UnsetType = UNSET
    system_fingerprint: Raw | UnsetType = UNSET
    object: Raw | UnsetType = UNSET


_chunk = msgspec.json.Decoder(_Chunk)


class RoleFirst(_First):
    """A chat begins with a chunk that has the role."""

    def _begun(self, event: bytes) -> bytes:
        if b'"role"' in event or b'"delta"' not in event or not event.startswith(b"data:"):
            return b""
        try:
            chunk = _chunk.decode(event[5:])
        except msgspec.MsgspecError:
            return b""
        said = {name: value for name, value in msgspec.structs.asdict(chunk).items() if isinstance(value, Raw)}
        choices = [
            {"finish_reason": None, "index": choice.index, "delta": {"role": "assistant", "content": None}}
            for choice in chunk.choices[:1]
        ]
        return b"data: " + msgspec.json.encode({"choices": choices} | said) + b"\n\n" if choices else b""


class MessageStart(_First):
    """A message begins with `message_start`, which says how many tokens the prompt has."""

    def _begun(self, event: bytes) -> bytes:
        self.counting = event.startswith((b"event: content_block", b"event: message_delta"))
        return b""

    def counted(self, tokens: int) -> bytes:
        self.counting = False
        usage = {"cache_read_input_tokens": 0, "input_tokens": tokens, "output_tokens": 0}
        message: dict[str, object] = {
            "id": f"msg_{self._asked.request}", "type": "message", "role": "assistant", "content": [],
            "model": self._asked.model, "stop_reason": None, "stop_sequence": None, "usage": usage,
        }  # fmt: skip
        start = msgspec.json.encode({"type": "message_start", "message": message})
        return b"event: message_start\ndata: " + start + b"\n\n" + self._told()


# --- whether it is needed -----------------------------------------------------------------------------


class _Delta(msgspec.Struct):
    role: str | None = None
    content: str | None = None
    text: str = ""


class _Spoken(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)


class _Piece(_Spoken):
    choices: list[_Spoken] = []


_piece = msgspec.json.Decoder(_Piece).decode


def keeps_role(status: int, body: bytes) -> bool | None:
    """Whether a chat that begins with :data:`RARE` begins with its role."""
    try:
        deltas = [choice.delta for _, data in heard(body) for choice in _piece(data).choices]
    except msgspec.MsgspecError:
        return None
    if status != 200 or not deltas:
        return None
    if deltas[0].role is None:
        return False
    return True if "".join(delta.content or "" for delta in deltas).startswith(RARE) else None


def keeps_start(status: int, body: bytes) -> bool | None:
    """Whether a message that begins with :data:`RARE` begins with `message_start`."""
    names = [name for name, _ in heard(body)]
    if status != 200 or not names:
        return None
    if names[0] != b"message_start":
        return False if names[0].startswith((b"content_block", b"message_delta")) else None
    try:
        text = "".join(_piece(data).delta.text for name, data in heard(body) if name == b"content_block_delta")
    except msgspec.MsgspecError:
        return None
    return True if text.startswith(RARE) else None


#: A character has four bytes, and may have as many tokens.
_TOKENS: Final = 5
ROLE: Final = Probe(
    "lost_role",
    "/v1/chat/completions",
    {
        "messages": [{"role": "user", "content": "Hi"}], "grammar": f'root ::= "{RARE}"', "max_tokens": _TOKENS,
        "stream": True,
    },
    keeps_role,
)  # fmt: skip
#: That API takes no grammar: a model goes on with what it repeats.
START: Final = Probe(
    "lost_message_start",
    "/v1/messages",
    {
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": RARE * 12}],
        "max_tokens": _TOKENS, "temperature": 0, "stream": True,
    },
    keeps_start,
)  # fmt: skip
