"""What Hostler knows of a client: its program, the API it speaks, the files that point it to a gateway."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

Api = Literal["chat", "responses", "messages"]
#: How a file takes what we want in it: tables merged into what is there, a marked block, or the whole text.
Form = Literal["json", "toml", "block", "text"]
Tree = Mapping[str, object]

#: Clients want a key, even where the gateway does not.
NO_KEY: Final = "hostler"
#: The environment variable that holds the user's key, for this command line and for clients that can refer to it.
VARIABLE: Final = "HOSTLER_KEY"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What a client is told of the gateway.

    ``model`` does the work, ``small`` titles and summaries. ``context`` is the model's, in tokens, None when nobody
    knows. ``key`` is one that was made for this client; without it ``keyed`` says whether the user's own is in
    ``HOSTLER_KEY``, to be referred to and never copied.
    """

    url: str
    model: str
    small: str
    context: int | None
    key: str | None = None
    keyed: bool = False

    @property
    def openai(self) -> str:
        """The base address of the OpenAI API."""
        return f"{self.url}/v1"

    def secret(self, reference: str) -> str:
        """The key as a client's file has it: itself, the client's way to name a variable, or a filler."""
        return self.key or (reference if self.keyed else NO_KEY)

    @property
    def output(self) -> int | None:
        """The longest answer worth asking for: a quarter of the context, so that the rest is left for the work."""
        return None if self.context is None else max(self.context // 4, 1)


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where files lie: the user's folder, Hostler's folder for clients, and the variables that move things."""

    home: Path
    own: Path
    environ: Mapping[str, str]

    def moved(self, variable: str, *usual: str) -> Path:
        """The folder that ``variable`` names, else ``usual`` in the user's folder."""
        named = self.environ.get(variable)
        return Path(named) if named else self.home.joinpath(*usual)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A file as a client needs it; ``tree`` for json and toml, ``text`` for the others."""

    path: Path
    form: Form
    text: str = ""
    tree: Tree = {}


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """One client. ``start`` is the command line that uses the files; ``after`` is said below it.

    An ``agent`` sends long instructions and tools with every request.
    """

    name: str
    title: str
    program: str
    install: str
    api: Api
    files: Callable[[Target, Places], tuple[Wanted, ...]]
    start: Callable[[Target, Places], str]
    after: str = ""
    agent: bool = True


def shown(path: Path, places: Places) -> str:
    """``path`` as people write it, with ``~``, quoted for a shell where it must be."""
    import shlex

    if path.is_relative_to(places.home):
        rest = str(path.relative_to(places.home))
        return f"~/{shlex.quote(rest)}"
    return shlex.quote(str(path))
