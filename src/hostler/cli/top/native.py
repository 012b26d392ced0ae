"""Colours by name are the terminal's own. Pure."""

from __future__ import annotations

from rich.style import Style
from rich.text import Span, Text


def native(line: Text) -> Text:
    """``line`` with its styles as values: by name, the window's library would take them for colours of the web."""
    whole = _value(line.style)
    spans = [Span(span.start, span.end, _value(span.style)) for span in line.spans]
    return Text(line.plain, style=whole, spans=spans, no_wrap=line.no_wrap, overflow=line.overflow)


def _value(style: str | Style) -> Style:
    return Style.parse(style) if isinstance(style, str) else style
