"""llama-swap's `filters`: fields of requests that a model sets or leaves out; and how its values stand in notes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostler.config.presets.checking import is_preset, wrong_field
from hostler.importers.draft import Draft
from hostler.importers.yamltree import Item

_SECRET = re.compile(r"api_?key|token$|secret|password", re.IGNORECASE)
_NONE = "no counterpart"


def filters(draft: Draft, item: Item) -> None:
    """Let each of them have its place.

    1. `stripParams`, `setParams`: the same here, as `request`. 2. `setParamsByID`: a preset where the name is the
    model's with a word behind it and says nothing but sampling and effort; else an alias, and what it sets is listed.
    """
    if not item.table:
        draft.note(shown("filters", item), _NONE, item.line)
    strip: list[str] = []
    fields: dict[str, object] = {}
    for key, value in item.table.items():
        if key in ("stripParams", "strip_params") and (names := _names(value)):
            strip = [name for name in names if _may(draft, f"filters.{key} `{name}`", name, value.line)]
        elif key in ("setParams", "set_params") and value.table:
            fields = dict(_fields(draft, value))
        elif key in ("setParamsByID", "set_params_by_id") and value.table:
            for name, params in value.table.items():
                _by_name(draft, name, params)
        else:
            draft.note(f"filters.{key} `{flat(value)}`", _NONE, value.line)
    draft.request(strip, fields)


def _names(item: Item) -> list[str]:
    listed = [each.text for each in item.items] if item.items else item.text.split(",")
    return [name.strip() for name in listed if name.strip()]


def _may(draft: Draft, what: str, name: str, line: int) -> bool:
    wrong = wrong_field(name)
    if wrong is not None:
        draft.note(what, f"left out: {wrong}", line)
    return wrong is None


def _fields(draft: Draft, item: Item) -> Iterator[tuple[str, object]]:
    for name, value in item.table.items():
        what = f"filters.setParams {shown(name, value)}"
        if _has_null(value):
            draft.note(what, "left out: TOML has no null", value.line)
        elif _may(draft, what, name, value.line):
            yield name, _plain(value)


def _by_name(draft: Draft, name: str, params: Item) -> None:
    word = name.removeprefix(f"{draft.name}:")
    values = {"reasoning" if key == "reasoning_effort" else key: _plain(each) for key, each in params.table.items()}
    if word != name and is_preset(word) and draft.preset(word, values):
        draft.note(f"filters for `{name}`", "a preset here: what a client sends wins", params.line, sort="changed")
        return
    draft.alias(name)
    said = ", ".join(f"{key} = {flat(each)}" for key, each in params.table.items())
    draft.note(f"filters for `{name}`", f"an alias now, but not carried over: {said}", params.line, sort="changed")


def _plain(item: Item) -> object:
    if item.table:
        return {key: _plain(each) for key, each in item.table.items()}
    return [_plain(each) for each in item.items] if isinstance(item.value, list) else item.value


def _has_null(item: Item) -> bool:
    return item.value is None or any(map(_has_null, (*item.table.values(), *item.items)))


def shown(key: str, item: Item) -> str:
    """A key with its value, unless that is a secret."""
    secret = _SECRET.search(key)
    return key if secret or not flat(item) else f"{key} `{flat(item)}`"


def flat(item: Item) -> str:
    """A value in one line."""
    if item.table:
        pairs = item.table.items()
        return ", ".join(f"{key}: {'...' if _SECRET.search(key) else flat(each)}" for key, each in pairs)
    return ", ".join(flat(each) for each in item.items) if item.items else " ".join(item.text.split())
