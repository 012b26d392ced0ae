"""Whose words the slots of one instance hold, and which of them a request goes to. Pure.

llama.cpp itself takes the slot whose prompt has the longest beginning in common with the new one. That is wrong in two
ways: a new conversation with the same system prompt as another overwrites that one's slot while an empty one stands
beside it, and it goes on from what another tenant said. So the slot is chosen here and named to the engine.

A slot that may hold words of somebody else is only used without what is in it (`cache_prompt` false).
"""

from __future__ import annotations

from collections.abc import Sequence

from hostler.fleet.prompts.entries import shared
from hostler.fleet.protocol import Conversation, Place

#: A conversation of so many bytes is worth keeping when a request that goes on from nothing needs a slot.
WORTH_KEEPING = 4096

ENGINES_CHOICE = -1


class _Slot:
    __slots__ = ("busy", "conversation", "number", "restored", "tenants", "used")

    def __init__(self, number: int) -> None:
        self.number = number
        self.tenants: set[str] = set()
        self.conversation = Conversation()
        self.busy = False
        self.restored = False  # and nobody knows which conversation it is
        self.used = 0

    def last(self) -> tuple[bool, int]:
        """Who goes first of those that nobody goes on from: what is short, then what was used longest ago."""
        return self.conversation.size >= WORTH_KEEPING, self.used


class Slots:
    """The slots of one instance; ``count`` of them, from 0."""

    def __init__(self, count: int) -> None:
        self._slots = [_Slot(number) for number in range(count)]
        self._uses = 0

    def enter(self, tenant: str, conversation: Conversation | None) -> Place | None:
        """Where a request of ``tenant`` goes that may reach the engine from now on; None when nothing is to be said.

        Without ``conversation`` the engine cannot be told: it may go to any slot.
        """
        if conversation is None or len(self._slots) == 1:
            crossed = self._anywhere(tenant)
            return Place(ENGINES_CHOICE, fresh=True) if crossed and conversation is not None else None
        slot = self._chosen(tenant, conversation)
        if slot is None:
            return Place(ENGINES_CHOICE, fresh=self._anywhere(tenant))
        fresh = bool(slot.tenants - {tenant})
        self._uses += 1
        slot.tenants.add(tenant)
        slot.conversation, slot.used, slot.restored, slot.busy = conversation, self._uses, False, True
        return Place(slot.number, fresh)

    def leave(self, place: Place | None) -> None:
        """A request is out of its slot."""
        if place is not None and place.slot >= 0:
            self._slots[place.slot].busy = False

    def finished(self, tenant: str, place: Place | None) -> None:
        """The engine said what a request of ``tenant`` took: it was the last in its slot, if that is known."""
        if place is not None and place.slot >= 0:
            self._slots[place.slot].tenants = {tenant}
        elif len(self._slots) == 1:
            self._slots[0].tenants = {tenant}

    def restored(self, number: int, tenant: str, conversation: Conversation | None) -> None:
        """What ``tenant`` had saved is put into that slot now."""
        slot = self._slots[number]
        slot.tenants.add(tenant)
        slot.conversation = conversation or Conversation()
        slot.restored = slot.conversation == Conversation()

    def owner(self, number: int) -> str | None:
        """The one tenant that everything in the slot belongs to; None when that is not certain."""
        tenants = self._slots[number].tenants if number < len(self._slots) else ()
        return next(iter(tenants)) if len(tenants) == 1 else None

    @property
    def owned(self) -> bool:
        """Whether any slot is certain to be one tenant's."""
        return any(len(slot.tenants) == 1 for slot in self._slots)

    def conversation(self, number: int) -> Conversation:
        """What is known of the conversation in that slot."""
        return self._slots[number].conversation

    def _anywhere(self, tenant: str) -> bool:
        """The engine chooses among the free ones; whether another tenant's words are in any of them."""
        free = [slot for slot in self._slots if not slot.busy] or self._slots
        crossed = any(slot.tenants - {tenant} for slot in free)
        for slot in free:
            slot.tenants.add(tenant)
        return crossed

    def _chosen(self, tenant: str, conversation: Conversation) -> _Slot | None:
        """1. The one that this goes on from. 2. One that the engine finds, among those restored for the tenant alone.
        3. An empty one. 4. The tenant's own, if it has its share of them. 5. That of whoever has the most."""
        free = [slot for slot in self._slots if not slot.busy]
        alone = {tenant}
        own = [slot for slot in free if slot.tenants == alone]
        if (known := _going_on(conversation, own)) is not None:
            return known
        if any(slot.restored for slot in own):
            if all(slot.tenants <= {tenant} for slot in free):
                self._forget_one_restored(own)
                return None
            return max((slot for slot in own if slot.restored), key=lambda slot: slot.number)
        empty = [slot for slot in free if not slot.tenants]
        if empty:
            return empty[0]
        others = [slot for slot in free if slot.tenants != alone]
        if own and (not others or self._has_its_share(tenant)):
            return min(own, key=_Slot.last)
        return min(others, key=lambda slot: (-self._most(slot), *slot.last()), default=None)

    def _forget_one_restored(self, own: Sequence[_Slot]) -> None:
        """As many unknown conversations are left to the engine as were restored."""
        next(slot for slot in own if slot.restored).restored = False

    def _has_its_share(self, tenant: str) -> bool:
        tenants = {tenant}.union(*(slot.tenants for slot in self._slots))
        return self._held(tenant) >= max(1, len(self._slots) // len(tenants))

    def _held(self, tenant: str) -> int:
        alone = {tenant}
        return sum(1 for slot in self._slots if slot.tenants == alone)

    def _most(self, slot: _Slot) -> int:
        return max((self._held(tenant) for tenant in slot.tenants), default=0)


def _going_on(conversation: Conversation, own: Sequence[_Slot]) -> _Slot | None:
    """The slot whose conversation this is: its next turn by its beginning, else one of its name that is not longer.

    What an agent asks beside its work under the same name, such as a title, is short.
    """
    later = [
        slot
        for slot in own
        if continues(conversation.marks, slot.conversation.marks) and not _other(conversation, slot.conversation)
    ]
    if not later and conversation.key:
        named = (slot for slot in own if slot.conversation.key == conversation.key)
        later = [slot for slot in named if conversation.size >= slot.conversation.size]
    return max(later, key=lambda slot: (shared(conversation.marks, slot.conversation.marks), slot.used), default=None)


def _other(one: Conversation, other: Conversation) -> bool:
    return bool(one.key and other.key and one.key != other.key)


def continues(newer: Sequence[int], older: Sequence[int]) -> bool:
    """Whether ``newer`` begins with all messages of ``older``: each mark is of all messages up to its own."""
    count = len(older)
    return 0 < count <= len(newer) and newer[count - 1] == older[-1]
