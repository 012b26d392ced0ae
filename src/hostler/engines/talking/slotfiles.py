"""The slots of a ready engine: what they hold, and writing one to a file or reading it back.

File names are relative to the folder that the engine was given (`--slot-save-path`).
"""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec

from hostler.engines.protocol import Endpoint
from hostler.engines.talking.exchange import Answer, Broken, ask

T = TypeVar("T")

_UNSUPPORTED = 501


class SlotState(msgspec.Struct, frozen=True):
    """One slot. ``n_prompt_tokens`` are those it holds; 0 as long as no request used it."""

    id: int
    is_processing: bool = False
    n_prompt_tokens: int = 0


class Written(msgspec.Struct, frozen=True):
    """A slot was written: tokens and bytes."""

    n_saved: int
    n_written: int


class Restored(msgspec.Struct, frozen=True):
    """A slot was read back: tokens and bytes."""

    n_restored: int
    n_read: int


class SlotRefused(Exception):
    """The engine did not do it; ``unsupported`` when it never will for this model."""

    def __init__(self, reason: str, *, unsupported: bool = False) -> None:
        super().__init__(reason)
        self.unsupported = unsupported


async def states(endpoint: Endpoint) -> list[SlotState]:
    """All slots. Raises SlotRefused. Unbounded in time, as all here: the caller bounds it."""
    return _read(await _asked(endpoint, "GET", "/slots"), list[SlotState])


async def save(endpoint: Endpoint, slot: int, name: str) -> Written:
    """Write an idle slot to ``name``; one that computes would be waited for. Raises SlotRefused."""
    return _read(await _act(endpoint, slot, "save", name), Written)


async def restore(endpoint: Endpoint, slot: int, name: str) -> Restored:
    """Read a slot back from ``name``. Raises SlotRefused."""
    return _read(await _act(endpoint, slot, "restore", name), Restored)


async def erase(endpoint: Endpoint, slot: int) -> None:
    """Empty a slot. Raises SlotRefused."""
    await _act(endpoint, slot, "erase", "")


async def _act(endpoint: Endpoint, slot: int, action: Literal["save", "restore", "erase"], name: str) -> Answer:
    return await _asked(endpoint, "POST", f"/slots/{slot}?action={action}", {"filename": name} if name else {})


async def _asked(endpoint: Endpoint, method: str, path: str, body: object = None) -> Answer:
    try:
        answer = await ask(endpoint, method, path, body)
    except Broken as error:
        raise SlotRefused(str(error)) from error
    if answer.status != 200:
        raise SlotRefused(_said(answer), unsupported=answer.status == _UNSUPPORTED)
    return answer


def _read(answer: Answer, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SlotRefused(f"its answer cannot be read: {error}") from error


class _Error(msgspec.Struct, frozen=True):
    message: str = ""


class _Body(msgspec.Struct, frozen=True):
    error: _Error = _Error()


def _said(answer: Answer) -> str:
    """The engine's own words, which name no prompt."""
    try:
        said = msgspec.json.decode(answer.body, type=_Body).error.message
    except (msgspec.MsgspecError, UnicodeDecodeError):
        said = ""
    return said[:200] or f"it answered {answer.status}"
