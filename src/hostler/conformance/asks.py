"""What each request of a storm asks, and when its client leaves: drawn from the seed, whatever else happens. Pure."""

from __future__ import annotations

from random import Random
from typing import Final, Literal

import msgspec

Api = Literal["chat", "completions"]
#: When a client leaves: with half its request sent, before the first byte of the answer, in the middle of the answer;
#: or an operator cancels its request.
Phase = Literal["sending", "waiting", "answering", "operator"]

PATHS: Final[dict[Api, str]] = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}
_WORDS: Final = ("harbour", "lantern", "mast", "tide", "gull", "rope", "anchor", "fog", "keel", "pier")


class Subject(msgspec.Struct, frozen=True):
    """A profile (or another server's model) and how it is asked."""

    name: str
    api: Api = "chat"


class Leaving(msgspec.Struct, frozen=True):
    """When the client leaves: ``after_s`` from the request's last byte, or in the answer after so many ``events``."""

    phase: Phase
    after_s: float = 0.0
    events: int = 1


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request: ``tokens`` is the longest answer, ``words`` the length of its prompt."""

    number: int
    id: str
    subject: Subject
    stream: bool
    tokens: int
    words: int
    leaving: Leaving | None = None


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """What a storm is made of: ``requests`` by ``clients`` to ``subjects``, a share ``cancels`` of them left early."""

    subjects: tuple[Subject, ...]
    seed: int
    clients: int = 8
    requests: int = 200
    cancels: float = 0.2
    tokens: int = 16
    #: The longest prompt.
    words: int = 40
    #: Whether an operator can cancel here; else clients leave instead.
    operator: bool = True


def drawn(weather: Weather, number: int) -> Ask:
    """The request of that number: the same for the same seed."""
    random = Random(f"{weather.seed}:{number}")  # noqa: S311 - a reproducible choice, no secret
    subject = random.choice(weather.subjects)
    stream = random.random() < 0.6
    tokens = random.randint(1, weather.tokens)
    words = random.randint(1, weather.words)
    leaving = _leaving(random, stream, tokens, weather.operator) if random.random() < weather.cancels else None
    name = f"conf-{weather.seed:x}-{number}"
    return Ask(number=number, id=name, subject=subject, stream=stream, tokens=tokens, words=words, leaving=leaving)


def _leaving(random: Random, stream: bool, tokens: int, operator: bool) -> Leaving:
    phases: list[Phase] = ["sending", "waiting", "waiting"]
    phases += ["answering", "answering"] if stream else []
    phases += ["operator"] if operator else []
    # Most waits are short, some are long enough for a load or a queue.
    after_s = min(random.expovariate(8.0), 3.0)
    return Leaving(random.choice(phases), after_s, random.randint(1, max(1, tokens)))


def body(ask: Ask, *, exact: bool) -> dict[str, object]:
    """What is sent. ``exact`` asks engines that know it to go on to the last token."""
    text = f"{ask.id}: " + " ".join(_WORDS[index % len(_WORDS)] for index in range(ask.words))
    asked: dict[str, object] = {"model": ask.subject.name, "max_tokens": ask.tokens, "temperature": 0}
    asked |= {"prompt": text} if ask.subject.api == "completions" else {"messages": [{"role": "user", "content": text}]}
    if ask.stream:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    return asked | ({"ignore_eos": True} if exact else {})
