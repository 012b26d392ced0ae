"""YAML with the line of every value, bounded in size. Imports PyYAML when it is used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hostler.errors import ConfigError

if TYPE_CHECKING:
    import yaml

Scalar = str | int | float | bool | None
_MOST_VALUES = 100_000
_DEEPEST = 50
_REMARK = re.compile(r"#+[ \t]*([^\n]*)")


class Item(NamedTuple):
    """A value and where it begins."""

    line: int
    value: Scalar | dict[str, Item] | list[Item]

    @property
    def table(self) -> dict[str, Item]:
        """The mapping; empty where there is none."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> list[Item]:
        """The list; empty where there is none."""
        return self.value if isinstance(self.value, list) else []

    @property
    def text(self) -> str:
        """A scalar as text, as YAML writes it; empty for anything else."""
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        return "" if self.value is None or isinstance(self.value, (dict, list)) else str(self.value)


EMPTY = Item(1, {})


def load(text: str, path: Path) -> Item:
    """The document. Raises ConfigError with file and line for anything that is not plain YAML data."""
    import yaml

    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        return EMPTY if node is None else _Walk(loader, path).item(node, 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(f"{path}:{line}: not valid YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}:1: not valid YAML: {str(error).splitlines()[0]}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}:1: not valid YAML: nested too deeply") from error


def comments(text: str) -> list[tuple[int, str]]:
    """Every comment of valid YAML with its line: what the scanner passes over and is no white space."""
    import yaml

    found, last, line, counted = [], 0, 1, 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        start = max(token.start_mark.index, last)
        for said in _REMARK.finditer(text, last, start):
            line += text.count("\n", counted, said.start())
            counted = said.start()
            found.append((line, said[1].strip()))
        last = max(last, token.end_mark.index)
    return [(line, said) for line, said in found if said]


class _Walk:
    """Nodes to items. Anchors may be named again and again, so what comes out is counted, not what went in."""

    def __init__(self, loader: yaml.SafeLoader, path: Path) -> None:
        self._loader, self._path, self._count = loader, path, 0

    def item(self, node: yaml.Node, depth: int) -> Item:
        line = node.start_mark.line + 1
        self._count += 1
        if self._count > _MOST_VALUES or depth > _DEEPEST:
            raise ConfigError(f"{self._path}:{line}: too large for a configuration, or nested without end")
        if node.id == "mapping":
            return Item(line, self._mapping(node, depth))
        if node.id == "sequence":
            return Item(line, [self.item(each, depth + 1) for each in node.value])
        value: object = self._loader.construct_object(node, deep=True)
        if value is None or isinstance(value, str | int | float | bool):
            return Item(line, value)
        # A date or a blob: as it stands there.
        return Item(line, str(node.value))

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Item]:
        self._refuse_doubles(node)
        self._loader.flatten_mapping(node)
        return {str(key.value): self.item(value, depth + 1) for key, value in node.value}

    def _refuse_doubles(self, node: yaml.MappingNode) -> None:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen and name != "<<":
                raise ConfigError(f"{self._path}:{key.start_mark.line + 1}: `{name}` stands there twice")
            seen.add(name)
