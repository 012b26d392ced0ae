"""Is it alive? Only real work counts: a generated token, a vector, a score. Never ``/health``."""

from __future__ import annotations

from typing import Final

import msgspec

from hostler.config.settings import Task
from hostler.engines.protocol import Endpoint
from hostler.engines.talking.exchange import Answer, Broken, ask
from hostler.errors import EngineLost

#: Shows that it works; more would only keep the first request waiting.
PROOF_TOKENS: Final = 1
#: The second one tells a speed.
SPEED_TOKENS: Final = 2


#: What it takes a request of one kind to prove; sounds and pictures take more than a moment.
PROVABLE: Final = frozenset[Task]({"chat", "completion", "embedding", "rerank"})


class _Timings(msgspec.Struct):
    predicted_n: int = 0
    predicted_per_second: float | None = None


class _Usage(msgspec.Struct):
    completion_tokens: int = 0


class _Completion(msgspec.Struct):
    choices: list[msgspec.Raw] = []
    timings: _Timings = msgspec.field(default_factory=_Timings)
    usage: _Usage = msgspec.field(default_factory=_Usage)


class _Vectors(msgspec.Struct):
    data: list[msgspec.Raw] = []


class _Scores(msgspec.Struct):
    results: list[msgspec.Raw] = []


class StillLoading(Exception):
    """The engine answers but has not loaded its model yet."""


async def work(endpoint: Endpoint, task: Task, tokens: int = PROOF_TOKENS, model: str | None = None) -> float | None:
    """Make the engine work once, as ``model`` where it has to be named; tokens per second, None when too few were
    generated to say.

    Raises StillLoading at 503, EngineLost when it answers anything but a result or its connection breaks.
    """
    path, body = _request(task, tokens)
    if model is not None:
        body["model"] = model
    try:
        answer = await ask(endpoint, "POST", path, body)
    except Broken as error:
        raise EngineLost(f"The engine did not answer {path}: {error}.") from error
    if answer.status == 503:
        raise StillLoading
    if answer.status != 200:
        said = answer.body[:200].decode("utf-8", "replace")
        raise EngineLost(f"The engine answered {path} with {answer.status}: {said}")
    return _result(task, path, answer)


def _request(task: Task, tokens: int) -> tuple[str, dict[str, object]]:
    if task == "embedding":
        return "/v1/embeddings", {"input": "ready", "model": "ready"}
    if task == "rerank":
        return "/v1/rerank", {"query": "ready", "documents": ["ready"], "model": "ready"}
    return "/v1/completions", {
        "prompt": "One",
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        # The first real request must find an empty slot, as if this had not been.
        "cache_prompt": False,
    }


def _result(task: Task, path: str, answer: Answer) -> float | None:
    try:
        if task == "embedding":
            done, speed = len(msgspec.json.decode(answer.body, type=_Vectors).data), None
        elif task == "rerank":
            done, speed = len(msgspec.json.decode(answer.body, type=_Scores).results), None
        else:
            done, speed = _tokens(msgspec.json.decode(answer.body, type=_Completion))
    except msgspec.MsgspecError as error:
        raise EngineLost(f"The engine's answer to {path} cannot be read: {error}.") from error
    if not done:
        raise EngineLost(f"The engine answered {path} without generating anything.")
    return speed


def _tokens(completion: _Completion) -> tuple[int, float | None]:
    count = completion.timings.predicted_n or completion.usage.completion_tokens
    speed = completion.timings.predicted_per_second if completion.timings.predicted_n >= SPEED_TOKENS else None
    return count if completion.choices else 0, speed


async def answered(endpoint: Endpoint, path: str) -> None:
    """Return when the engine answers at all, whatever it says. Raises EngineLost. Unbounded: the caller bounds it."""
    try:
        await ask(endpoint, "GET", path)
    except Broken as error:
        raise EngineLost(f"The engine does not answer: {error}.") from error


class _Slot(msgspec.Struct):
    is_processing: bool = False


async def busy_slots(endpoint: Endpoint) -> int | None:
    """How many slots compute now; None when the engine does not tell.

    Each call restarts llama.cpp's one second of silence after which it notices a hang-up: callers that wait
    for a slot to become free ask at most once in 1.5 s.
    """
    try:
        answer = await ask(endpoint, "GET", "/slots")
        if answer.status != 200:
            return None
        return sum(slot.is_processing for slot in msgspec.json.decode(answer.body, type=list[_Slot]))
    except (Broken, msgspec.MsgspecError):
        return None
