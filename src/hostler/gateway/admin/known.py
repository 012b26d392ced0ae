"""Which paths there are, and what each takes: asked before the framework, whose own refusals say neither."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from hostler.errors import MethodNotAllowed, NotFound

#: Ollama's paths under `/api` are served elsewhere and never come here.
LM_STUDIO: Final = ("/api/v0", "/api/v1")
_ORDER: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Known:
    """Built from ``routes``: each path, with `{name}` for what may stand there, and its methods."""

    def __init__(self, routes: Iterable[tuple[str, Iterable[str]]]) -> None:
        self._exact: dict[str, set[str]] = {}
        self._others: list[tuple[re.Pattern[str], set[str]]] = []
        for path, methods in routes:
            takes = {*methods, "OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
            if "{" in path:
                self._others.append((re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), takes))
            else:
                self._exact.setdefault(path, set()).update(takes)

    def methods(self, path: str) -> tuple[str, ...]:
        """What the path takes; nothing when there is none such."""
        found = set(self._exact.get(path, ()))
        if not found:
            found.update(*(takes for pattern, takes in self._others if pattern.fullmatch(path)))
        return tuple(sorted(found, key=_ORDER.index))

    def check(self, method: str, path: str, asked: str) -> None:
        """Raise NotFound or MethodNotAllowed, in the words of ``asked``, the path as the client wrote it."""
        methods = self.methods(path)
        if not methods:
            raise NotFound(f"There is nothing at {asked}.", hint=self._hint(asked))
        if method not in methods:
            raise MethodNotAllowed(
                f"{asked} does not take {method}.", hint=f"It takes {', '.join(methods)}; /api/docs shows how."
            )

    def _hint(self, path: str) -> str:
        if path.startswith(LM_STUDIO):
            return "That is LM Studio's API, which this version does not speak; use /v1/chat/completions."
        near = get_close_matches(path, self._exact, n=2, cutoff=0.8)
        return f"Did you mean {' or '.join(near)}?" if near else "/api/docs shows every path."
