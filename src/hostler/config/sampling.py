"""What a profile changes in requests: sampling defaults, presets of them, reasoning, and fields set or left out."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from hostler.config.base import Natural, NotNegative, Penalty, Positive, Settings, Share

#: How much a model is to reason, from not at all to as much as it can.
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

#: Families of models for which presets are shipped (`config/presets/families.toml`).
Family = Literal[
    "qwen3",
    "qwen3-instruct",
    "qwen3-thinking",
    "qwen3-coder",
    "qwen3.5",
    "qwen3.6",
    "qwen3.8",
    "gpt-oss",
    "glm-4.5",
    "glm-4.6",
    "glm-4.7",
    "mistral-small",
    "devstral",
    "devstral-2",
    "magistral",
    "gemma-3",
    "gemma-4",
    "llama-3",
    "llama-4",
    "deepseek-r1",
]


class SamplingSettings(Settings, frozen=True, kw_only=True):
    """Sampling defaults; what a client sends wins."""

    temperature: Annotated[NotNegative | None, Meta(description="Randomness; 0 is greedy.")] = None
    top_p: Annotated[Share | None, Meta(description="Only the likeliest tokens up to this total probability.")] = None
    top_k: Annotated[Natural | None, Meta(description="Only this many of the likeliest tokens; 0 is all.")] = None
    min_p: Annotated[Share | None, Meta(description="Only tokens at least this likely, relative to the likeliest.")] = (
        None
    )
    repeat_penalty: Annotated[NotNegative | None, Meta(description="Against repeated tokens; 1 is none.")] = None
    presence_penalty: Annotated[Penalty | None, Meta(description="Against tokens that occurred; 0 is none.")] = None
    frequency_penalty: Annotated[Penalty | None, Meta(description="Against tokens that occurred often; 0 is none.")] = (
        None
    )
    max_tokens: Annotated[Positive | None, Meta(description="Longest answer when the client names none.")] = None
    seed: Annotated[
        int | None, Meta(description="Fixed seed of the random choice; default: a new one for each request.")
    ] = None


class PresetSettings(SamplingSettings, frozen=True, kw_only=True):
    """Defaults for one task: `PROFILE:NAME` as a model name takes them, and `preset = "NAME"` takes them always."""

    reasoning: Annotated[Effort | None, Meta(description="How much to reason; default: as the profile says.")] = None


class RequestSettings(Settings, frozen=True, kw_only=True):
    """Fields of requests that are the profile's to say, whatever a client sends."""

    set: Annotated[
        dict[str, object],
        Meta(description='Set in each request; `"a.b"` is the field `b` inside `a`.'),
    ] = field(default_factory=dict)
    strip: Annotated[
        tuple[str, ...], Meta(description='Taken out of each request, before `set`; `"a.b"` as there.')
    ] = ()
