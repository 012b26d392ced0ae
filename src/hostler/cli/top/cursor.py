"""Where the selection and the first visible line are, while lines come and go. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class View(msgspec.Struct, frozen=True):
    """Of a list of keys: the selected one and its place (it may be gone by now), and the first visible line.

    ``follow``: the last line is to be seen; else ``anchor`` is the key of the first visible one.
    """

    selected: str = ""
    at: int = 0
    top: int = 0
    follow: bool = True
    anchor: str = ""


def settled(view: View, keys: Sequence[str], height: int, *, tail: bool) -> View:
    """``view`` for these ``keys`` in ``height`` lines: what was selected stays so, wherever it moved."""
    if tail:
        return _tail(view, keys, height)
    at = keys.index(view.selected) if view.selected in keys else min(view.at, max(0, len(keys) - 1))
    selected = keys[at] if keys else ""
    top = min(max(view.top, at - height + 1), at, max(0, len(keys) - height))
    return msgspec.structs.replace(view, selected=selected, at=at, top=max(0, top))


def _tail(view: View, keys: Sequence[str], height: int) -> View:
    last = max(0, len(keys) - height)
    if view.follow:
        return msgspec.structs.replace(view, top=last, anchor="")
    top = min(keys.index(view.anchor), last) if view.anchor in keys else 0
    return msgspec.structs.replace(view, top=top)


def moved(view: View, keys: Sequence[str], height: int, steps: int, *, tail: bool) -> View:
    """``steps`` lines further (negative: back), and settled. A tail that reaches its end follows again."""
    if not keys:
        return view
    if not tail:
        at = min(max(0, view.at + steps), len(keys) - 1)
        return settled(msgspec.structs.replace(view, selected=keys[at], at=at), keys, height, tail=False)
    last = max(0, len(keys) - height)
    top = min(max(0, view.top + steps), last)
    return View(top=top, follow=top == last, anchor="" if top == last else keys[top])
