"""The settings tree as data: which keys exist, of which type, with which default and meaning.

Read off the structs in :mod:`hostler.config.settings`; the loader, the JSON Schema and the reference page all
walk this one description.
"""

from __future__ import annotations

import json
import math
import re
import types
from functools import cache
from typing import Annotated, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta, structs

from hostler.config.quantities import Bytes, Seconds, decode, exact_bytes, exact_seconds
from hostler.config.settings import Config, Profile, Settings

KeyPath = tuple[str, ...]

NEVER = "never"
EXTENDS = "extends"
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_KEY_PART = re.compile(r""""(?:\\.|[^"\\])*"|'[^']*'|[^."']+""")
_WORDS: dict[object, tuple[str, str]] = {
    str: ("text", "texts"),
    int: ("an integer", "integers"),
    float: ("a number", "numbers"),
    bool: ("true or false", "booleans"),
    Bytes: ('a size: bytes, or text such as "12 GiB"', "sizes"),
    Seconds: ('a duration: seconds, or text such as "10m"', "durations"),
    object: ("any value that JSON has", "values"),
}


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """One value. ``declared`` is the annotation, ``base`` the plain type inside (of the items if ``many``).

    ``words`` may be written instead of a value of that type.
    """

    declared: object
    base: type
    choices: tuple[str, ...] = ()
    many: bool = False
    optional: bool = False
    least: float | None = None
    most: float | None = None
    filled: bool = False
    words: tuple[str, ...] = ()

    def read(self, value: object) -> object:
        """``value`` as the declared type; ValueError when it is not one, or out of range."""
        if value == NEVER and self.takes_never:
            return None
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            raise ValueError(f"expected {self.describe()}")
        try:
            return msgspec.convert(value, self.declared, dec_hook=decode)
        except (msgspec.ValidationError, ValueError, OverflowError) as error:
            raise ValueError(f"expected {self.describe()}") from error

    @property
    def takes_never(self) -> bool:
        """Whether "never" may be written for no bound at all."""
        return self.optional and self.base is Seconds

    def describe(self) -> str:
        """What may be written, for people: ``an integer from 0 to 65535``."""
        if self.choices:
            return "one of " + ", ".join(f'"{choice}"' for choice in self.choices)
        one, several = _WORDS[self.base]
        if self.many:
            return f"a list of {several}"
        if self.filled:
            return f"{one} that is not empty"
        words = (*self.words, *((NEVER,) if self.takes_never else ()))
        return one + self._range() + "".join(f', or "{word}"' for word in words)

    def _range(self) -> str:
        if self.least is not None and self.most is not None:
            return f" from {self.least:g} to {self.most:g}"
        if self.least is not None:
            return f" of at least {self.least:g}"
        return "" if self.most is None else f" of at most {self.most:g}"


class Map(msgspec.Struct, frozen=True, kw_only=True):
    """A table whose keys the user chooses; every value has the shape ``item``."""

    item: Leaf | Table


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One key of a table. ``default`` is NODEFAULT when it must be written. ``extends`` alone is not in the struct."""

    shape: Leaf | Map | Table
    default: object
    description: str


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A section: the struct it becomes and its keys in order."""

    struct: type[Settings]
    fields: dict[str, Field]


Shape = Leaf | Map | Table


def root() -> Table:
    """The whole file."""
    return table(Config)


@cache
def table(struct: type[Settings]) -> Table:
    """The keys of one struct."""
    fields = {
        info.encode_name: Field(shape=_shape(info.type), default=_default(info), description=_description(info.type))
        for info in structs.fields(struct)
    }
    if struct is Profile:
        text = "Profile whose settings this one starts from; its `aliases` and `pin` are not taken over."
        fields[EXTENDS] = Field(shape=Leaf(declared=str, base=str), default=None, description=text)
    return Table(struct=struct, fields=fields)


def _default(info: structs.FieldInfo) -> object:
    if info.default_factory is not msgspec.NODEFAULT:
        return info.default_factory()
    return info.default


def _shape(declared: object) -> Shape:
    bare = _bare(declared)
    if isinstance(bare, type) and issubclass(bare, Settings):
        return table(bare)
    if get_origin(bare) is dict:
        item = _shape(get_args(bare)[1])
        if isinstance(item, Map):
            raise TypeError(f"a table of tables of one's own is not supported: {declared}")
        return Map(item=item)
    return _leaf(declared)


def _leaf(declared: object) -> Leaf:
    members, metas = _inside(declared)
    inner = next(member for member in members if member is not type(None))
    many = get_origin(inner) is tuple
    base = get_args(inner)[0] if many else inner
    choices = get_args(base) if get_origin(base) is Literal else ()
    return Leaf(
        declared=declared,
        base=base if isinstance(base, type) else str,
        choices=choices,
        many=many,
        optional=type(None) in members,
        least=next((meta.ge for meta in metas if meta.ge is not None), None),
        most=next((meta.le for meta in metas if meta.le is not None), None),
        filled=any(meta.min_length for meta in metas),
        words=()
        if choices
        else tuple(word for each in members if get_origin(each) is Literal for word in get_args(each)),
    )


def _inside(declared: object) -> tuple[list[object], list[Meta]]:
    """The members of a union and all that annotates it or them."""
    if get_origin(declared) is Annotated:
        bare, *extras = get_args(declared)
        members, metas = _inside(bare)
        return members, [*(extra for extra in extras if isinstance(extra, Meta)), *metas]
    if get_origin(declared) not in (Union, types.UnionType):
        return [declared], []
    pairs = [_inside(member) for member in get_args(declared)]
    return [member for members, _ in pairs for member in members], [meta for _, metas in pairs for meta in metas]


def _bare(declared: object) -> object:
    return get_args(declared)[0] if get_origin(declared) is Annotated else declared


def _description(declared: object) -> str:
    bare = _bare(declared)
    if isinstance(bare, type) and issubclass(bare, Settings):
        return (bare.__doc__ or "").strip()
    return next((meta.description for meta in _inside(declared)[1] if meta.description), "")


def dotted(path: KeyPath) -> str:
    """``("profiles", "a.b")`` as TOML writes it: ``profiles."a.b"``."""
    return ".".join(part if _BARE.fullmatch(part) else quote(part) for part in path)


def split(key: str) -> KeyPath:
    """The inverse of :func:`dotted`."""
    return tuple(_unquote(part.strip()) for part in _KEY_PART.findall(key))


def _unquote(part: str) -> str:
    if part.startswith('"'):
        text: object = json.loads(part)
        return str(text)
    return part[1:-1] if part.startswith("'") else part


def quote(text: str) -> str:
    """``text`` as a TOML basic string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_text(value: object) -> str:
    """A settings value as TOML, exact; `unset` for None, which TOML cannot say."""
    match value:
        case None:
            return "unset"
        case bool():
            return "true" if value else "false"
        case Bytes():
            return toml_text(exact_bytes(value))
        case Seconds():
            return toml_text(exact_seconds(value))
        case str():
            return quote(value)
        case list() | tuple():
            return "[" + ", ".join(toml_text(item) for item in value) + "]"
        case dict():
            inner = ", ".join(f"{dotted((str(key),))} = {toml_text(item)}" for key, item in value.items())
            return f"{{ {inner} }}" if inner else "{}"
        case _:
            return repr(value)
