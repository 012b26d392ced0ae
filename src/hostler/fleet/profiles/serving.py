"""What the request path needs of a profile, from its settings and its model's header."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec

from hostler.config.presets.choosing import chosen, listed
from hostler.config.presets.published import family_of
from hostler.config.sampling import Family
from hostler.config.settings import Profile, Task
from hostler.errors import HostlerError
from hostler.fleet.profiles.auto import abilities_of
from hostler.fleet.profiles.programs import called_of, is_program, is_remote
from hostler.fleet.protocol import Served
from hostler.models.facts import GgufFacts, Model
from hostler.models.reasoning import Thinking, thinking_of
from hostler.models.shape import ModelShape
from hostler.models.turns import alternates

_LONGEST_TEMPLATE: Final = 1 * 2**20


class Looked(msgspec.Struct, frozen=True):
    """What is known of a profile's model: all of it, or why not."""

    model: Model | None = None
    facts: GgufFacts | None = None
    shape: ModelShape | None = None
    draft: ModelShape | None = None
    problem: HostlerError | None = None


def task_of(facts: GgufFacts) -> Task:
    """What a model is for, by its header: embedding with a pooling type, chat with a template."""
    if facts.pooling == "rank":
        return "rerank"
    if facts.pooling not in (None, "none"):
        return "embedding"
    return "chat" if facts.chat_template else "completion"


def family(profile: Profile, looked: Looked) -> Family | None:
    """Whose shipped presets a profile can be asked for with: those that it names, else those of its model."""
    if profile.family is not None or looked.facts is None or looked.facts.pooling is not None:
        return profile.family
    name = looked.model.name if looked.model is not None else ""
    return family_of(looked.facts.architecture, looked.facts.name, name)


def served_as(name: str, profile: Profile, looked: Looked, preset: str = "", *, context: int, notes: bool) -> Served:
    """``profile`` as requests see it that ask for ``preset``, or for none and get its default."""
    preset = preset or profile.preset
    # What its model is counts only for presets that the configuration does not have: nothing is mixed into those.
    suggested = preset and preset not in listed(profile)
    holds = chosen(profile, preset, family(profile, looked) if suggested else profile.family)
    return Served(
        name=name,
        task=profile.task or (task_of(looked.facts) if looked.facts else "chat"),
        embeddings=profile.embeddings,
        sampling=holds.sampling,
        context=context,
        abilities=abilities_of(profile, looked.model, looked.facts),
        called=called_of(profile),
        slots=profile.slots,
        notes=notes,
        counts=not is_program(profile),
        steady=profile.steady_prompts,
        alternates=alternates(_template(profile, looked.facts)),
        capture=profile.capture,
        speaks=profile.engine.speaks if is_remote(profile) else None,
        preset=preset,
        reasoning=holds.reasoning,
        thinking=_thinking(profile, looked.facts),
        request=profile.request if profile.request.set or profile.request.strip else None,
    )


def _thinking(profile: Profile, facts: GgufFacts | None) -> Thinking | None:
    return None if is_program(profile) or facts is None else thinking_of(_template(profile, facts))


def _template(profile: Profile, facts: GgufFacts | None) -> str | None:
    """The chat template that its engine uses: one that its arguments give, else the model's own."""
    template = facts.chat_template if facts is not None else None
    arguments = profile.engine.extra_args
    for flag, value in pairwise(arguments):
        if flag == "--chat-template":
            template = value
        elif flag == "--chat-template-file":
            template = _text(Path(value).expanduser())
    return template


def _text(file: Path) -> str:
    """The file's beginning; nothing of one that cannot be read, which its engine will tell."""
    try:
        with file.open("rb") as opened:
            return opened.read(_LONGEST_TEMPLATE).decode("utf-8", "replace")
    except OSError:
        return ""
