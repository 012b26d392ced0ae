"""What is wrong with a field, in words of the API and not of the program that read it."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from hostler.errors import InvalidRequest

_AT: Final = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
_TYPES: Final = re.compile(r"^Expected `(?P<wanted>[^`]+)`, got `(?P<got>[^`]+)`$")
_BOUND: Final = re.compile(r"^Expected `[^`]+` (?P<sign>[<>]=) (?P<bound>\S+)$")
_MISSING: Final = re.compile(r"^Object missing required field `(?P<name>[^`]+)`$")
_KINDS: Final = {
    "str": "a string", "int": "a whole number", "float": "a number", "bool": "true or false", "array": "a list",
    "object": "an object", "null": "null",
}  # fmt: skip
_GOT: Final = _KINDS | {"bool": "a boolean"}


def told(error: msgspec.ValidationError) -> InvalidRequest:
    """The refusal for the client: names the field in ``param`` and says what is wanted."""
    found = _AT.match(str(error))
    what, path = (found["what"], found["path"] or "") if found else (str(error), "")
    if missing := _MISSING.match(what):
        path = f"{path}.{missing['name']}" if path else missing["name"]
        message = f"`{path}` is missing."
    else:
        message = f"{f'`{path}`' if path else 'The body'} {_wrong(what)}."
    refusal = InvalidRequest(message)
    refusal.param = path or None
    return refusal


def _wrong(what: str) -> str:
    if types := _TYPES.match(what):
        wanted = [_KINDS.get(kind, kind) for kind in dict.fromkeys(types["wanted"].split(" | "))]
        if "int" in types["wanted"] and "float" in types["wanted"]:
            wanted.remove("a whole number")
        return f"is {_GOT.get(types['got'], types['got'])}; it has to be {_listed(wanted)}"
    if bound := _BOUND.match(what):
        return f"has to be {'at least' if bound['sign'] == '>=' else 'at most'} {bound['bound'].removesuffix('.0')}"
    if what == "Number out of range":
        return "is a number out of range"
    return f"cannot be: {what[:1].lower()}{what[1:]}"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
