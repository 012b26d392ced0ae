"""Which turns a chat template takes, read off its text. Pure."""

from __future__ import annotations

from typing import Final

#: What templates of Gemma, Mistral and Llama 2 say when they refuse.
_REFUSALS: Final = ("roles must alternate", "must alternate user/assistant")


def alternates(template: str | None) -> bool:
    """Whether it refuses two turns of one side in a row, and a system that does not come first."""
    text = (template or "").lower()
    return "raise_exception" in text and any(refusal in text for refusal in _REFUSALS)
