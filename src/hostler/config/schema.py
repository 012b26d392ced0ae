"""The JSON Schema of `hostler.toml`, made from the settings structs."""

from __future__ import annotations

import msgspec

from hostler.config.names import LONGEST_NAME, NAME
from hostler.config.quantities import Bytes, Seconds, encode
from hostler.config.settings import Config
from hostler.config.shape import EXTENDS, NEVER, Field, Leaf, Map, Shape, Table, root

DRAFT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, object]

_PLAIN: dict[type, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
_SIZE = r"^\s*\d+(\.\d+)?\s*([kKmMgGtT]([iI]?[bB])?|[bB])?\s*$"
_DURATION = r"^\s*(\d+(\.\d+)?\s*([mM][sS]|[sS]|[mM]([iI][nN])?|[hH]|[dD])?\s*)+$"
_QUANTITIES: dict[type, Schema] = {
    Bytes: {
        "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": _SIZE}],
        "examples": ["12 GiB", "500 MB", 65536],
    },
    Seconds: {
        "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": _DURATION}],
        "examples": ["10m", "1h30m", 2.5],
    },
}


def json_schema() -> dict[str, object]:
    """The schema, draft 2020-12; one definition for each section."""
    definitions: dict[str, object] = {}
    top = _table(root(), definitions)
    return {"$schema": DRAFT, "title": "hostler.toml", **top, "$defs": dict(sorted(definitions.items()))}


def _table(table: Table, definitions: dict[str, object]) -> Schema:
    schema: Schema = {
        "description": (table.struct.__doc__ or "").strip(),
        "type": "object",
        "properties": {name: _field(field, definitions) for name, field in table.fields.items()},
        "additionalProperties": False,
    }
    required = [name for name, field in table.fields.items() if field.default is msgspec.NODEFAULT]
    if required and EXTENDS in table.fields:
        # A base may give what is required.
        schema["anyOf"] = [{"required": required}, {"required": [EXTENDS]}]
    elif required:
        schema["required"] = required
    return schema


def _field(field: Field, definitions: dict[str, object]) -> Schema:
    schema = _shape(field.shape, definitions)
    if "$ref" not in schema and field.description:
        schema = {"description": field.description, **schema}
    if isinstance(field.shape, Leaf) and field.default is not msgspec.NODEFAULT and field.default is not None:
        schema["default"] = msgspec.to_builtins(field.default, enc_hook=encode)
    return schema


def _shape(shape: Shape, definitions: dict[str, object]) -> Schema:
    if isinstance(shape, Leaf):
        return _leaf(shape)
    if isinstance(shape, Map):
        names: Schema = {"pattern": f"^{NAME.pattern}$", "maxLength": LONGEST_NAME}
        named: Schema = {"propertyNames": names} if isinstance(shape.item, Table) else {}
        return {"type": "object", **named, "additionalProperties": _shape(shape.item, definitions)}
    name = shape.struct.__name__
    if name not in definitions and shape.struct is not Config:
        definitions[name] = _table(shape, definitions)
    return {"$ref": f"#/$defs/{name}"}


def _plain(leaf: Leaf) -> Schema:
    return {"type": _PLAIN[leaf.base]} if leaf.base in _PLAIN else {}


def _leaf(leaf: Leaf) -> Schema:
    schema: Schema = dict(_QUANTITIES.get(leaf.base) or _plain(leaf))
    if leaf.choices:
        schema["enum"] = list(leaf.choices)
    if leaf.least is not None:
        schema["minimum"] = leaf.least
    if leaf.most is not None:
        schema["maximum"] = leaf.most
    if leaf.filled:
        schema["minLength"] = 1
    if words := (*((NEVER,) if leaf.takes_never else ()), *leaf.words):
        schema = {"anyOf": [*({"const": word} for word in words), schema]}
    return {"type": "array", "items": schema} if leaf.many else schema
