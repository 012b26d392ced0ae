"""Profiles with `engine.kind = "remote"`: settings that are each right but reach nobody, or would tell a key.

Nothing here repeats an address or the name of a key as it was written: whoever puts the key itself there by mistake
must not find it in a log.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import msgspec

from hostler.config.settings import Config, EngineSettings, Profile
from hostler.config.shape import KeyPath

#: Requests at once where `slots` says nothing: a remote has its own limits and tells when they are reached.
SLOTS = 64
#: Tokens for one request where `context` says nothing.
CONTEXT = 131072

NO_KEY = "none"

_OF_REMOTES = ("url", "speaks", "key_env", "key_ring", "forward_key")
_WAYS = ("key_env", "key_ring", "forward_key")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ENTRY = re.compile(r"[A-Za-z0-9._@ -]{1,64}")
_HOST = re.compile(
    r"[0-9a-f.]*:[0-9a-f:.]*|(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
)
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)*")
#: Names that only lead to machines of one's own network.
_NEAR = (".local", ".lan", ".home", ".internal", ".home.arpa", ".localhost")

#: What else a profile is, where it does not say.
_USUAL: Mapping[str, object] = {
    "task": "chat",
    "context": CONTEXT,
    "slots": SLOTS,
    "abilities": ("tools", "images", "reasoning"),
}

Wrong = tuple[KeyPath, str]


class Address(msgspec.Struct, frozen=True):
    """Where a remote is: ``base`` is what stands before the API's own paths, without a slash at its end."""

    host: str
    port: int
    tls: bool
    base: str

    @property
    def near(self) -> bool:
        """Whether it is this machine, or one on a private network."""
        try:
            number = ipaddress.ip_address(self.host)
        except ValueError:
            return "." not in self.host or self.host.endswith(_NEAR)
        return number.is_loopback or number.is_private or number.is_link_local


def address_of(url: str) -> Address:
    """``url`` taken apart. Without a path it means the usual one. Raises ValueError that says what is wrong."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise ValueError("it is no address; write one such as https://api.openai.com/v1") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it is no address; write one such as https://api.openai.com/v1")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError("it has more than host and path; keys go into `key_env` or `key_ring`")
    if not _HOST.fullmatch(parts.hostname) or not _PATH.fullmatch(parts.path):
        raise ValueError("it has characters that an address cannot have; write them in their escaped form")
    tls = parts.scheme == "https"
    base = parts.path.rstrip("/") or "/v1"
    return Address(parts.hostname, port or (443 if tls else 80), tls, base)


def host_of(engine: EngineSettings) -> str | None:
    """The host that a remote is asked at; None of engines that run here."""
    return address_of(engine.url).host if engine.kind == "remote" else None


def usual_of(engine: object) -> Mapping[str, object]:
    """Defaults of a profile that has this engine, where they differ from those of all."""
    return _USUAL if isinstance(engine, EngineSettings) and engine.kind == "remote" else {}


def wrong_with_remote(profile: Profile) -> Iterator[Wrong]:
    """What is wrong, by the key inside the profile that is to blame; for profiles of every kind."""
    engine, usual = profile.engine, EngineSettings()
    if engine.kind != "remote":
        for key in (key for key in _OF_REMOTES if getattr(engine, key) != getattr(usual, key)):
            yield ("engine", key), 'only a profile with `kind = "remote"` has it'
        return
    for key in engine.__struct_fields__:
        if key not in ("kind", *_OF_REMOTES) and getattr(engine, key) != getattr(usual, key):
            yield ("engine", key), "a `remote` does not take it: nothing is run here"
    if profile.context == "max":
        yield ("context",), "of a `remote` nobody knows how many tokens fit; write a number"
    yield from _wrong_address(engine)
    yield from _wrong_key(engine)


def _wrong_address(engine: EngineSettings) -> Iterator[Wrong]:
    if not engine.url:
        yield ("engine", "kind"), "`url` is missing; a `remote` needs an address such as https://api.openai.com/v1"
        return
    try:
        address = address_of(engine.url)
    except ValueError as error:
        yield ("engine", "url"), str(error)
        return
    ways = _ways(engine)
    if not ways and not address.near:
        yield (
            ("engine", "kind"),
            "no key is named; set `key_env` to the environment variable that has it, `key_ring` to its name in the "
            'keyring, or `forward_key = true`; `key_env = "none"` says that none is needed',
        )
    if ways and engine.key_env != NO_KEY and not address.tls and not address.near:
        yield ("engine", "url"), "its key would go over the net for all to read; write https"


def _wrong_key(engine: EngineSettings) -> Iterator[Wrong]:
    if len(ways := _ways(engine)) > 1:
        yield ("engine", ways[1]), f"`{ways[0]}` says already which key is sent; only one can be"
    if engine.key_env and not _VARIABLE.fullmatch(engine.key_env):
        yield ("engine", "key_env"), "it is no name of a variable; write the name, never the key itself"
    if engine.key_ring and not _ENTRY.fullmatch(engine.key_ring):
        yield ("engine", "key_ring"), "it is no name of an entry; write the name, never the key itself"


def _ways(engine: EngineSettings) -> list[str]:
    """The settings that say which key is sent."""
    return [way for way in _WAYS if getattr(engine, way)]


def missing_keys(config: Config, environ: Mapping[str, str]) -> list[str]:
    """A line for each profile whose key is in a variable that ``environ`` has not."""
    variables = {
        name: profile.engine.key_env for name, profile in config.profiles.items() if profile.engine.kind == "remote"
    }
    return [
        f"profiles.{name}.engine.key_env: {variable} is not set here; the gateway needs it in its environment"
        for name, variable in variables.items()
        if variable not in ("", NO_KEY) and not environ.get(variable)
    ]
