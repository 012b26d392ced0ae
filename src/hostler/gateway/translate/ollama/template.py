"""Templates of `/api/generate`: the part of Go's templates that those for one prompt use.

`{{ .System }}`, `{{ .Prompt }}`, `{{ .Suffix }}`, `{{ .Response }}` (where the answer begins), `{{ if .X }}`,
`{{ else }}`, `{{ end }}`, and `{{-`, `-}}` that take the white space beside them away.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from hostler.errors import InvalidRequest

#: An action is short, so that looking for one stays quick in whatever a client sends.
_ACTION: Final = re.compile(r"\{\{(-?)([^{}]{1,200}?)(-?)\}\}")
_VALUE: Final = re.compile(r"\.([A-Z][A-Za-z]*)")
_IF: Final = re.compile(r"if \.([A-Z][A-Za-z]*)")
DEEPEST: Final = 16


def rendered(template: str, values: Mapping[str, str]) -> str:
    """The prompt that ``template`` makes of ``values``, up to where the answer begins. Raises InvalidRequest."""
    out: list[str] = []
    shown: list[bool] = []  # of each `if` that is open: whether this branch counts
    at, trim = 0, False
    for action in _ACTION.finditer(template):
        if all(shown):
            out.append(_trimmed(template[at : action.start()], before=trim, behind=bool(action[1])))
        at, trim = action.end(), bool(action[3])
        said = action[2].strip()
        if said == ".Response" and all(shown):
            return "".join(out)
        _act(said, values, out, shown)
    if shown:
        raise _not_understood("an `if` without its `end`")
    return "".join((*out, _trimmed(template[at:], before=trim, behind=False)))


def _trimmed(text: str, *, before: bool, behind: bool) -> str:
    text = text.lstrip() if before else text
    return text.rstrip() if behind else text


def _act(said: str, values: Mapping[str, str], out: list[str], shown: list[bool]) -> None:
    if condition := _IF.fullmatch(said):
        if len(shown) >= DEEPEST:
            raise _not_understood("too many `if` in each other")
        shown.append(bool(values.get(condition[1])))
    elif said == "else" and shown:
        shown[-1] = not shown[-1]
    elif said == "end" and shown:
        shown.pop()
    elif (value := _VALUE.fullmatch(said)) and (value[1] in values or value[1] == "Response"):
        if all(shown):
            out.append(values.get(value[1], ""))
    elif not said.startswith("/*"):
        raise _not_understood(f"`{{{{ {said[:40]} }}}}`")


def _not_understood(what: str) -> InvalidRequest:
    return InvalidRequest(
        f"The template has {what}, which is not understood here.",
        hint="Leave `template` out: the model brings its own. Or render the prompt, and send it with `raw`.",
    )
