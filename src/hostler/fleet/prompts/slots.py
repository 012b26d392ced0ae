"""Whose words the slots of one instance hold, and which of them a request goes to. Pure.

llama.cpp itself takes the slot whose prompt has the longest beginning in common with the new one. That is wrong in two
ways: a new conversation with the same system prompt as another overwrites that one's slot while an empty one stands
beside it, and it goes on from what another tenant said. So the slot is chosen here and named to the engine.

A slot that may hold words of somebody else is only used without what is in it (`cache_prompt` false).

Every request passes here, and an engine can have hundreds of slots: they are never looked through. Free ones lie in the
order in which they were put down, by whose words they hold, and are found by their conversation's end and name.
"""

from __future__ import annotations

from collections.abc import Sequence

from hostler.fleet.prompts.entries import shared
from hostler.fleet.protocol import Conversation, Place

#: A conversation of so many bytes is worth keeping when a request that goes on from nothing needs a slot.
WORTH_KEEPING = 4096

ENGINES_CHOICE = -1

_UNKNOWN = Conversation()
_NOBODY: frozenset[str] = frozenset()


class _Slot:
    __slots__ = ("busy", "conversation", "held", "names", "number", "put", "shelf")

    def __init__(self, number: int, held: _Held) -> None:
        self.number = number
        self.held = held
        self.shelf = held.short  # of its held ones, while it is free
        self.conversation = _UNKNOWN
        self.names: Sequence[int | str] = ()  # by which its conversation is found
        self.busy = False
        self.put = 0  # when it was put down, in moves

    @property
    def worth(self) -> bool:
        return self.conversation.size >= WORTH_KEEPING


_NOTHING: dict[int, _Slot] = {}


class _Held:
    """The slots that hold words of the same tenants: how many, and the free ones in the order in which they were put
    down, those with a long conversation apart."""

    __slots__ = ("count", "long", "short", "tenants")

    def __init__(self, tenants: frozenset[str]) -> None:
        self.tenants = tenants
        self.count = 0
        self.short: dict[int, _Slot] = {}
        self.long: dict[int, _Slot] = {}

    def first(self) -> _Slot | None:
        """Who goes first of those that nobody goes on from: what is short, then what was put down longest ago."""
        for slots in (self.short, self.long):
            for slot in slots.values():
                return slot
        return None


class Slots:
    """The slots of one instance; ``count`` of them, from 0."""

    def __init__(self, count: int) -> None:
        nobodys = _Held(_NOBODY)
        nobodys.count = count
        self._held = {_NOBODY: nobodys}
        self._known: dict[int | str, dict[int, _Slot]] = {}  # free ones, by last mark and by name
        self._restored: set[int] = set()  # and nobody knows which conversation it is
        self._moves = 0
        self._slots = [_Slot(number, nobodys) for number in range(count)]
        for slot in self._slots:
            self._put_down(slot)

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
        before = slot.held.tenants
        self._pick_up(slot)
        slot.busy = True
        self._restored.discard(slot.number)
        self._fill(slot, before if tenant in before else before | {tenant}, conversation)
        return Place(slot.number, fresh=not before <= {tenant})

    def leave(self, place: Place | None) -> None:
        """A request is out of its slot."""
        if place is not None and place.slot >= 0 and (slot := self._slots[place.slot]).busy:
            slot.busy = False
            self._put_down(slot)

    def finished(self, tenant: str, place: Place | None) -> None:
        """The engine said what a request of ``tenant`` took: it was the last in its slot, if that is known."""
        if place is not None and place.slot >= 0:
            slot = self._slots[place.slot]
            if slot.held.tenants != {tenant}:
                self._fill(slot, frozenset((tenant,)))
        elif len(self._slots) == 1:
            self._fill(self._slots[0], frozenset((tenant,)))

    def restored(self, number: int, tenant: str, conversation: Conversation | None) -> None:
        """What ``tenant`` had saved is put into that slot now."""
        slot = self._slots[number]
        self._fill(slot, slot.held.tenants | {tenant}, conversation or _UNKNOWN)
        if slot.conversation == _UNKNOWN:
            self._restored.add(number)
        else:
            self._restored.discard(number)

    def owner(self, number: int) -> str | None:
        """The one tenant that everything in the slot belongs to; None when that is not certain."""
        tenants = self._slots[number].held.tenants if number < len(self._slots) else _NOBODY
        return next(iter(tenants)) if len(tenants) == 1 else None

    @property
    def owned(self) -> bool:
        """Whether any slot is certain to be one tenant's."""
        return any(len(tenants) == 1 for tenants in self._held)

    @property
    def empty(self) -> bool:
        """Whether nobody's words are in any slot."""
        return self._held.keys() == {_NOBODY}

    def conversation(self, number: int) -> Conversation:
        """What is known of the conversation in that slot."""
        return self._slots[number].conversation

    # --- who goes where ---------------------------------------------------------------------------------

    def _chosen(self, tenant: str, conversation: Conversation) -> _Slot | None:
        """1. The one that this goes on from. 2. One that the engine finds, among those restored for the tenant alone.
        3. An empty one. 4. The tenant's own, if it has its share of them. 5. That of whoever has the most."""
        own = self._held.get(frozenset((tenant,)))
        if own is not None and (slot := self._going_on(conversation, own)) is not None:
            return slot
        if self._restored and own is not None and (found := self._restored_of(own)):
            if all(held.tenants <= own.tenants for held in self._held.values() if held.first() is not None):
                self._restored.remove(found[0])  # as many unknown ones are left to the engine as were restored
                return None
            return self._slots[found[-1]]
        empty = self._held.get(_NOBODY)
        if empty is not None and (slot := empty.first()) is not None:
            return slot
        mine = None if own is None else own.first()
        others = [slot for held in self._held.values() if held is not own and (slot := held.first()) is not None]
        if own is not None and mine is not None and (not others or self._is_a_share(own.count)):
            return mine
        return min(others, key=lambda slot: (-self._most(slot), slot.worth, slot.put), default=None)

    def _going_on(self, conversation: Conversation, own: _Held) -> _Slot | None:
        """The slot whose conversation this is: its next turn by its beginning, else one of its name that is not longer;
        of several the one with most of it, put down last.

        What an agent asks beside its work under the same name, such as a title, is short.
        """
        key, marks = conversation.key, conversation.marks
        for count in range(len(marks), 0, -1):
            if begun := self._known.get(marks[count - 1]):
                for slot in reversed(begun.values()):
                    there = slot.conversation
                    if slot.held is own and there.marks == marks[:count] and not _other(key, there.key):
                        return slot
        named = self._known.get(key, _NOTHING).values() if key else ()
        later = [slot for slot in named if slot.held is own and conversation.size >= slot.conversation.size]
        return max(later, key=lambda slot: (shared(marks, slot.conversation.marks), slot.put), default=None)

    def _restored_of(self, own: _Held) -> list[int]:
        slots = (self._slots[number] for number in sorted(self._restored))
        return [slot.number for slot in slots if slot.held is own and not slot.busy]

    def _is_a_share(self, count: int) -> bool:
        return count >= max(1, len(self._slots) // len(_NOBODY.union(*self._held)))

    def _most(self, slot: _Slot) -> int:
        """The most slots that one of its tenants has alone."""
        alone = (self._held.get(frozenset((tenant,))) for tenant in slot.held.tenants)
        return max((held.count for held in alone if held is not None), default=0)

    # --- where they lie ---------------------------------------------------------------------------------

    def _anywhere(self, tenant: str) -> bool:
        """The engine chooses among the free ones; whether another tenant's words are in any of them."""
        alone = frozenset((tenant,))
        if len(self._held) == 1 and alone in self._held:
            return False
        free = [slot for slot in self._slots if not slot.busy] or self._slots
        crossed = any(not slot.held.tenants <= alone for slot in free)
        for slot in free:
            self._fill(slot, slot.held.tenants | alone)
        return crossed

    def _fill(self, slot: _Slot, tenants: frozenset[str], conversation: Conversation | None = None) -> None:
        """The slot holds words of ``tenants`` now, and another conversation if one is given."""
        before = slot.held
        if tenants == before.tenants and conversation is None:
            return
        if not slot.busy:
            self._pick_up(slot)
        if tenants != before.tenants:
            before.count -= 1
            if not before.count:
                del self._held[before.tenants]
            if (held := self._held.get(tenants)) is None:
                held = self._held[tenants] = _Held(tenants)
            held.count += 1
            slot.held = held
        if conversation is not None:
            slot.conversation, slot.names = conversation, _names(conversation)
        if not slot.busy:
            self._put_down(slot)

    def _put_down(self, slot: _Slot) -> None:
        self._moves += 1
        slot.put = self._moves
        slot.shelf = slot.held.long if slot.worth else slot.held.short
        slot.shelf[slot.number] = slot
        for name in slot.names:
            self._known.setdefault(name, {})[slot.number] = slot

    def _pick_up(self, slot: _Slot) -> None:
        del slot.shelf[slot.number]
        for name in slot.names:
            slots = self._known[name]
            del slots[slot.number]
            if not slots:
                del self._known[name]


def _names(conversation: Conversation) -> Sequence[int | str]:
    """By what a conversation is found."""
    return (*conversation.marks[-1:], conversation.key) if conversation.key else conversation.marks[-1:]


def _other(key: str, another: str) -> bool:
    return key != another and bool(key and another)
