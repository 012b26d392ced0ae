"""How much to reason: one knob, however a client calls it, in the words that the model's chat template understands.

1. What was said: `reasoning_effort`, `reasoning.effort`, `output_config.effort`, `thinking` (Anthropic's: off, a
   budget); else what the profile says.
2. What that is for the template: `hostler.models.reasoning.Thinking`.
3. How llama.cpp is told: by arguments of the template (`chat_template_kwargs`), by a budget, by a word in the system
   prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from hostler.fleet.protocol import Served
from hostler.gateway.asking.fields import Edit, Fields
from hostler.gateway.asking.nested import fields_of, without
from hostler.gateway.asking.system_line import in_messages, in_system
from hostler.gateway.routes import Route
from hostler.models.reasoning import SCALE, Thinking, nearest_level

#: Tokens of thought for efforts of models that know no levels; more than these are not bounded.
BUDGETS: Final = {"minimal": 512, "low": 2048}
#: From a budget to the effort of models that know levels and no budget.
_MEDIUM, _HIGH = 2048, 16384
_FIELDS: Final = ("reasoning_effort", "reasoning", "thinking", "output_config")
#: The least budget: of none at all, llama.cpp's server loses the first token of the mark that ends the thoughts.
_ENDED: Final = 1
_text = msgspec.json.Decoder(str)


class Wish(NamedTuple):
    """What is wanted: an effort of the scale, a budget in tokens, or both; None where it is not said."""

    effort: str | None
    budget: int | None = None


class Meant(NamedTuple):
    """What a wish is for one template: nothing where it is as the template has it anyway.

    ``on`` and ``level`` are for its arguments, ``budget`` for the engine, ``word`` for a message; ``note`` tells the
    client what is not as it said.
    """

    on: bool | None = None
    level: str = ""
    budget: int | None = None
    word: str = ""
    note: str = ""


def meant(wish: Wish, thinking: Thinking) -> Meant:
    """What ``wish`` is for a template that understands ``thinking``."""
    if not thinking.any:
        return Meant(note="" if wish.effort == "none" else "reasoning left out: the model has none")
    if wish.effort == "none":
        return _off(thinking)
    on = True if thinking.switch else None
    if thinking.levels:
        level = nearest_level(wish.effort or _effort(wish.budget), thinking.levels)
        return Meant(on, level, wish.budget, note=_other(wish.effort, level))
    budget = wish.budget if wish.budget is not None else BUDGETS.get(wish.effort or "")
    return Meant(on, budget=budget if thinking.bounded else None)


def _off(thinking: Thinking) -> Meant:
    if thinking.switch:
        return Meant(on=False)
    if thinking.word:
        return Meant(word=thinking.word)
    if thinking.levels:
        level = nearest_level("none", thinking.levels)
        return Meant(level=level, note=_other("none", level))
    return Meant(budget=_ENDED)


def _effort(budget: int | None) -> str:
    if budget is None:
        return "medium"
    return "low" if budget < _MEDIUM else "medium" if budget < _HIGH else "high"


def _other(said: str | None, level: str) -> str:
    return "" if said in (None, level) else f"reasoning {said} is {level} here"


def said_in(fields: Fields) -> Wish | None:
    """What a client said, None when it said nothing; an effort that is none is left to the model."""
    if fields.lack(_FIELDS):
        return None
    own, reasoning, thinking, output = (fields.get(name) for name in _FIELDS)
    thought = fields_of(thinking)
    kind, budget = _word(thought.get("type")), _whole(thought.get("budget_tokens"))
    if kind == "disabled":
        return Wish("none")
    told = (own, fields_of(reasoning).get("effort"), fields_of(output).get("effort"))
    effort = next((word for each in told if (word := _word(each)) in SCALE), None)
    if effort is None and budget is None:
        return Wish("medium") if kind == "enabled" else None
    return Wish(effort, budget)


def _word(text: bytes | Raw | None) -> str:
    try:
        return _text.decode(text).lower() if text is not None else ""
    except msgspec.MsgspecError:
        return ""


def _whole(text: Raw | None) -> int | None:
    try:
        return None if text is None else max(msgspec.json.decode(text, type=int), _ENDED)
    except msgspec.MsgspecError:
        return None


def edit_of(served: Served, route: Route) -> Edit | None:
    """Tells the engine how much to reason; None where nobody here knows its template, or there is nothing to tell."""
    tell = _TELLS.get(route.api)
    default = Wish(served.reasoning) if served.reasoning is not None else None
    thinking = served.thinking
    if tell is None:
        return None
    if thinking is None:
        return _by_default(served, route)
    known = thinking

    def edit(fields: Fields) -> None:
        wish = said_in(fields) or default
        if not known.any:
            _leave_out(fields)
        if wish is not None:
            told = meant(wish, known)
            tell(fields, known, told)
            if told.note:
                fields.note(told.note)

    return edit


def _leave_out(fields: Fields) -> None:
    """Takes every way to say it out of a body; what else Anthropic's `output_config` says stays."""
    if fields.lack(_FIELDS):
        return
    for name in _FIELDS[:-1]:
        fields.drop(name)
    output = without(fields.get("output_config"), ["effort"])
    if output is not None:
        fields.set("output_config", output)


def _by_default(served: Served, route: Route) -> Edit | None:
    """What the profile says, for an engine that reads the client's own words."""
    effort = msgspec.json.encode(served.reasoning)
    if served.reasoning is None or route.api not in ("chat", "responses"):
        return None
    if route.api == "chat":
        return lambda fields: fields.default("reasoning_effort", effort)
    return lambda fields: fields.default("reasoning", b'{"effort":%b}' % effort)


def _arguments(fields: Fields, thinking: Thinking, told: Meant) -> None:
    """What the template hears; what the client says of its arguments itself stays."""
    arguments: dict[str, bool | str] = {}
    if told.on is not None:
        arguments = {"enable_thinking": told.on, thinking.switch: told.on}
    if told.level:
        arguments["reasoning_effort"] = told.level
    if arguments:
        given = fields_of(fields.get("chat_template_kwargs"))
        fields.set("chat_template_kwargs", msgspec.json.encode({**arguments, **given}))


def _in_chat(fields: Fields, thinking: Thinking, told: Meant) -> None:
    _arguments(fields, thinking, told)
    if told.level and "reasoning_effort" in fields and _word(fields.get("reasoning_effort")) != told.level:
        # llama.cpp hands the field to the template as it is, before its arguments.
        fields.set("reasoning_effort", msgspec.json.encode(told.level))
    if told.budget is not None:
        fields.default("thinking_budget_tokens", b"%d" % told.budget)
    if told.word:
        messages = fields.get("messages")
        if messages is not None:
            fields.set("messages", in_messages(messages, told.word))
        else:
            fields.set("instructions", in_system(fields.get("instructions"), told.word))


def _in_messages(fields: Fields, thinking: Thinking, told: Meant) -> None:
    """Some builds hand on no arguments from `/v1/messages`: there, off is a budget too."""
    _arguments(fields, thinking, told)
    budget = _ENDED if told.on is False else told.budget
    if budget is not None and _whole(fields_of(fields.get("thinking")).get("budget_tokens")) != budget:
        fields.set("thinking", b'{"type":"enabled","budget_tokens":%d}' % budget)
    if told.word:
        fields.set("system", in_system(fields.get("system"), told.word))


_TELLS: Final[dict[str, Callable[[Fields, Thinking, Meant], None]]] = {
    "chat": _in_chat,
    "responses": _in_chat,
    "apply_template": _in_chat,
    "input_tokens": _in_chat,
    "messages": _in_messages,
    "count_tokens": _in_messages,
}
