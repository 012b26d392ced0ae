"""What clients of the usual APIs find in their environment."""

from __future__ import annotations

from collections.abc import Mapping


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
