"""What clients of the usual APIs find in their environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

_LOOPBACK: Final = ("127.", "localhost", "::1")


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


def past_proxies(url: str, environ: Mapping[str, str]) -> Mapping[str, str]:
    """What keeps requests to a gateway on this machine from going out by a proxy that the environment names."""
    host = urlsplit(url).hostname or ""
    if not host.startswith(_LOOPBACK) or not any(name.lower().endswith("_proxy") for name in environ):
        return {}
    before = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    told = ",".join(filter(None, (before, host)))
    return {"NO_PROXY": told, "no_proxy": told}
