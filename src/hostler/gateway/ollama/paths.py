"""The paths of Ollama's API that are no inference: methods, and the scope of a key that each needs."""

from __future__ import annotations

from typing import Final, NamedTuple

from hostler.accounts.keys import Scope


class OllamaPath(NamedTuple):
    """Which methods a path takes; a scope of None is open to everybody."""

    methods: tuple[str, ...]
    scope: Scope | None = "inference"


_READ: Final = ("GET", "HEAD")
_POST: Final = ("POST",)

OLLAMA: Final[dict[str, OllamaPath]] = {
    "/api/version": OllamaPath(_READ, None),
    "/api/tags": OllamaPath(_READ),
    "/api/ps": OllamaPath(_READ),
    "/api/show": OllamaPath(_POST),
    "/api/pull": OllamaPath(_POST),
    "/api/delete": OllamaPath(("DELETE",), "admin"),
    "/api/create": OllamaPath(_POST),
    "/api/copy": OllamaPath(_POST),
    "/api/push": OllamaPath(_POST),
    "/api/me": OllamaPath(_POST),
    "/api/signout": OllamaPath(_POST),
    "/api/status": OllamaPath(_READ),
}
#: Refused as a whole, whatever follows.
OLLAMA_FOLDERS: Final = {
    "/api/blobs/": OllamaPath(("HEAD", "POST")),
    "/api/experimental/": OllamaPath(("GET", "HEAD", "POST")),
}
