"""What clients of the usual APIs find in their environment."""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

#: What a proxy on the way out cannot know.
_NEAR: Final = ("localhost", ".localhost", ".local", ".internal", ".lan", ".home.arpa")


def usual(url: str, key: str, profile: str) -> Mapping[str, str]:
    """The variables of the OpenAI, Anthropic and Ollama libraries, and ours."""
    return {
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_BASE": f"{url}/v1",
        "OPENAI_API_KEY": key,
        "OPENAI_MODEL": profile,
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_AUTH_TOKEN": key,
        "ANTHROPIC_MODEL": profile,
        "OLLAMA_HOST": url,
        "HOSTLER_URL": url,
        "HOSTLER_PROFILE": profile,
    }


def direct(url: str) -> str:
    """The host of a gateway that is asked directly, whatever proxies the environment names: this machine, or one of
    the same network. "" for any other."""
    host = urlsplit(url).hostname or ""
    try:
        near = not ipaddress.ip_address(host.partition("%")[0]).is_global
    except ValueError:
        near = "." not in host or host.endswith(_NEAR)
    return host if near else ""


def past_proxies(url: str, environ: Mapping[str, str]) -> Mapping[str, str]:
    """What keeps requests to a gateway that is near from going out by a proxy that the environment names. Both
    spellings: programs look at one or the other. `*` is every host, but only where it stands alone."""
    host = direct(url)
    if not host or not any(name.lower().endswith("_proxy") for name in environ):
        return {}
    before = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    names = [name.strip() for name in before.split(",")]
    told = before if names == ["*"] or host in names else ",".join(filter(None, (before, host)))
    return {"NO_PROXY": told, "no_proxy": told}


def directly(url: str, environ: Mapping[str, str], line: str) -> str:
    """``line`` of a shell with that before it."""
    return "".join(f"{name}={shlex.quote(value)} " for name, value in past_proxies(url, environ).items()) + line
