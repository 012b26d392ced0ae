"""Profile names hold `/` and `:`; in a path they become one segment before the router sees them."""

from __future__ import annotations

from urllib.parse import quote, unquote

PREFIX = "/api/profiles/"
WARM_UP = "/api/models/warmup/"
LAST = {
    "POST": ("load", "unload", "switch", "pin"),
    "DELETE": ("pin",),
    "GET": ("plan",),
    "HEAD": ("plan",),
}
EVERY = ("load", "unload", "switch", "pin", "plan")


def routed(method: str, path: str) -> str:
    """The path with a profile's name as one segment; other paths come back as they are.

    The last segment is an action only for POST, a part of the answer only for GET: ``GET /api/profiles/a/load`` asks
    for the profile `a/load`, and ``GET /api/profiles/a/plan`` for the plan of `a`.
    Asked with another method, such as OPTIONS, it is whatever it can be. A slash at the end counts in a name alone.
    """
    if path.startswith(WARM_UP):
        name, slash, last = path.removeprefix(WARM_UP).rpartition("/")
        if method not in ("GET", "HEAD") and slash and last == "benchmark":
            return f"{WARM_UP}{quote(name, safe='')}/{last}"
        return f"{WARM_UP}{quote(path.removeprefix(WARM_UP), safe='')}"
    if not path.startswith(PREFIX) or path == PREFIX:
        return path.rstrip("/")
    rest = path.removeprefix(PREFIX)
    name, slash, last = rest.rpartition("/")
    if slash and last in LAST.get(method, EVERY):
        return f"{PREFIX}{quote(name, safe='')}/{last}"
    return f"{PREFIX}{quote(rest, safe='')}"


def named(segment: str) -> str:
    """The profile's name that :func:`routed` made into ``segment``."""
    return unquote(segment)
