"""What a chat template understands of reasoning, read off its text. Pure.

1. An argument that turns it on and off (``enable_thinking``: Qwen3, GLM, Gemma 4; ``thinking``: DeepSeek, Granite).
2. An argument for how much (``reasoning_effort``: GPT-OSS writes it as `Reasoning: high`).
3. A word in a message that turns it off (``/no_think``: Nemotron).
4. Marks around the thoughts, which the engine can close early: a budget.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

#: From none at all to all that there is.
SCALE: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_SWITCHES: Final = (
    ("enable_thinking", re.compile(r"\benable_thinking\b")),
    ("thinking", re.compile(r"(?:\bif\s+(?:not\s+)?|\bset\s+)thinking\b")),
)
_WORD: Final = re.compile(r"/no_?think\b")
_MARKS: Final = ("</think>", "[/THINK]", "<|channel|>analysis", "</seed:think>", "</thought>")
_USUAL: Final = ("low", "medium", "high")


class Thinking(msgspec.Struct, frozen=True, kw_only=True):
    """What a template understands: ``switch`` and ``word`` are empty and ``levels`` has none where it does not.

    ``levels`` are the values of `reasoning_effort`, the least first. ``bounded``: its thoughts are marked.
    """

    switch: str = ""
    levels: tuple[str, ...] = ()
    word: str = ""
    bounded: bool = False

    @property
    def any(self) -> bool:
        """Whether it reasons at all."""
        return bool(self.switch or self.levels or self.word or self.bounded)


def thinking_of(template: str | None) -> Thinking:
    """What ``template`` understands; nothing of none."""
    text = template or ""
    word = _WORD.search(text)
    return Thinking(
        switch=next((name for name, used in _SWITCHES if used.search(text)), ""),
        levels=_levels(text) if "reasoning_effort" in text else (),
        word=word[0] if word else "",
        bounded=any(mark in text for mark in _MARKS),
    )


def _levels(text: str) -> tuple[str, ...]:
    """The levels that a template names; most name only their default and write whatever they are given."""
    named = tuple(level for level in SCALE[1:] if re.search(rf"""(['"]){level}\1""", text))
    return named if len(named) > 1 else _USUAL


def nearest_level(effort: str, levels: tuple[str, ...]) -> str:
    """The one of ``levels`` that is nearest to ``effort``, of :data:`SCALE`; of two the lesser."""
    wanted = SCALE.index(effort)
    return min(levels, key=lambda level: (abs(SCALE.index(level) - wanted), SCALE.index(level)))
