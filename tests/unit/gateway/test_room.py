"""Whether a request fits, by its bytes alone; how its answer is bounded; and engines' words for what does not."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.config.sampling import RequestSettings
from hostler.config.settings import SamplingSettings
from hostler.errors import EngineLost, HostlerError
from hostler.fleet.protocol import Needs, Served
from hostler.gateway.answering.overflow import LONGEST, Overflow
from hostler.gateway.asking.checks.reading import read
from hostler.gateway.asking.exceeded import ContextExceeded, exceeded
from hostler.gateway.asking.room import SHORT, TEMPLATE, Room, bounded, room_of, wider
from hostler.gateway.relay.http1 import Head
from hostler.gateway.routes import INFERENCE

HERE = Served(name="tiny", task="chat", embeddings=False, sampling=SamplingSettings(), context=4096)
PATHS = {
    "chat": b"/v1/chat/completions", "messages": b"/v1/messages", "responses": b"/v1/responses",
    "completions": b"/v1/completions",
}  # fmt: skip
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}


def look(api: str, served: Served = HERE, *, size: int = 0, **fields: object) -> Room | None:
    """The room of a request whose body has ``size`` bytes, at least what it takes."""
    least: dict[str, dict[str, object]] = {
        "chat": {"messages": [{"role": "user", "content": ""}]},
        "messages": {"messages": [{"role": "user", "content": ""}]},
        "responses": {"input": ""},
        "completions": {"prompt": "x"},
    }
    body = json.dumps(least[api] | fields).encode()
    body += b" " * (size - len(body))
    return room_of(served, INFERENCE[PATHS[api]], read(api, body), body)


@pytest.mark.parametrize("api", PATHS)
def test_what_fits_by_its_bytes_is_not_looked_at(api: str) -> None:
    assert look(api, size=HERE.context - TEMPLATE) is None
    over = look(api, size=HERE.context - TEMPLATE + 1)
    assert over is not None
    assert (over.context, over.limits, over.counted) == (4096, (), False)


LIMITS = [
    ("chat", "max_tokens"), ("chat", "max_completion_tokens"), ("chat", "n_predict"), ("completions", "max_tokens"),
    ("messages", "max_tokens"), ("responses", "max_output_tokens"),
]  # fmt: skip


@pytest.mark.parametrize(("api", "name"), LIMITS)
def test_bounds_that_may_not_fit(api: str, name: str) -> None:
    assert look(api, size=1000, **{name: 4096 - TEMPLATE - 1000}) is None
    tight = look(api, size=1000, **{name: 4096 - TEMPLATE - 999})
    assert tight is not None
    assert (tight.limits, tight.counted) == (((name, 2073),), True)
    # An agent that always sends 32000 means no bound: nobody is asked to count for that.
    agent = look(api, size=1000, **{name: 32000})
    assert agent is not None
    assert (agent.limits, agent.counted) == (((name, 32000),), False)
    long = look(api, size=9000, **{name: 32000})
    assert long is not None
    assert long.counted
    assert look(api, size=1000, **{name: None}) is None


@pytest.mark.parametrize("request_", [RequestSettings(set={"max_tokens": 9}), RequestSettings(strip=("max_tokens",))])
def test_what_the_profile_says_of_its_answers_is_not_bounded(request_: RequestSettings) -> None:
    """The client's bound is not in what the engine gets, so nothing may bring it back."""
    served = msgspec.structs.replace(HERE, request=request_)
    assert look("chat", served, size=1000, max_tokens=4000) is None
    tight = look("chat", served, size=1000, max_tokens=4000, n_predict=4000)
    assert tight is not None
    assert tight.limits == (("n_predict", 4000),)


def test_a_picture_counts_by_estimate() -> None:
    eye = msgspec.structs.replace(HERE, abilities=frozenset(["images"]))
    body = {"messages": [{"role": "user", "content": [PICTURE] * 4}]}
    seen = look("chat", eye, **body)
    assert seen is not None
    assert not seen.counted
    assert look("chat", msgspec.structs.replace(eye, context=8192), **body) is None


@pytest.mark.parametrize("other", [{"counts": False}, {"speaks": "openai"}])
def test_of_programs_and_remotes_nobody_knows_the_context(other: dict[str, object]) -> None:
    elsewhere = msgspec.structs.replace(HERE, **other)
    assert look("chat", elsewhere, size=SHORT, max_tokens=10**6) is None
    room = look("chat", elsewhere, size=SHORT + 1, max_tokens=10**6)
    assert room is not None
    assert bounded(room, b"{}", None) == (b"{}", ())


def test_apis_without_a_prompt_are_left_alone() -> None:
    body = b'{"content":"%b"}' % (b"x" * 9000)
    assert room_of(HERE, INFERENCE[b"/tokenize"], read("tokenize", body), body) is None


def tight(**limits: int) -> tuple[Room, bytes]:
    body = json.dumps({"messages": [], "keep": 1.50, **limits}).encode()
    return Room("chat", read("chat", body), 4096, tuple(limits.items()), counted=True), body


@given(tokens=st.integers(1, 5000), limit=st.integers(1, 40_000))
def test_a_bound_becomes_what_is_left(tokens: int, limit: int) -> None:
    room, body = tight(max_tokens=limit)
    if tokens >= 4096:
        with pytest.raises(ContextExceeded) as refusal:
            bounded(room, body, tokens)
        assert (refusal.value.needed, refusal.value.available) == (tokens, 4096)
        return
    made, notes = bounded(room, body, tokens)
    told = json.loads(made)["max_tokens"]
    assert told == min(limit, 4096 - tokens)
    assert (made is body, notes) == ((True, ()) if told == limit else (False, (f"max_tokens={told}",)))


def test_an_uncounted_prompt_has_one_token_at_least() -> None:
    room, body = tight(max_tokens=32_000, n_predict=5000)
    made, notes = bounded(room, body, None)
    assert json.loads(made) == {"messages": [], "keep": 1.5, "max_tokens": 4095, "n_predict": 4095}
    assert notes == ("max_tokens=4095", "n_predict=4095")


# --- more context -------------------------------------------------------------------------------------


def test_an_auto_names_profile_with_enough_context() -> None:
    sizes = (4096, 8192, 32768)
    members = [msgspec.structs.replace(HERE, name=f"c{size}", context=size) for size in sizes]

    def choose(needs: Needs) -> tuple[Served, ...]:
        left = [one for one in members if needs.suits(one)] or members
        return (left[0],)

    chat = INFERENCE[b"/v1/chat/completions"]

    def found(least: int) -> str | None:
        one = wider(choose, chat, b"{}", least)
        return None if one is None else one.name

    assert [found(least) for least in (5000, 8192, 30_000, 32_768)] == ["c8192", "c32768", "c32768", None]


# --- engines' words -----------------------------------------------------------------------------------

LLAMA = {
    "error": {
        "code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 5000, "n_ctx": 4096,
        "message": "request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it",
    }
}  # fmt: skip
OLD_LLAMA = {"error": {"message": LLAMA["error"]["message"]}}
OPENAI = {
    "error": {
        "message": "This model's maximum context length is 4096 tokens. However, your messages have 5000 tokens.",
        "code": "context_length_exceeded",
    }
}  # fmt: skip
VLLM = {
    "object": "error", "code": 400,
    "message": "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the "
    "messages, 1000 in the completion).",
}  # fmt: skip
ANTHROPIC = {"type": "error", "error": {"message": "prompt is too long: 5000 tokens > 4096 maximum"}}


@pytest.mark.parametrize("said", [LLAMA, OLD_LLAMA, OPENAI, VLLM, ANTHROPIC])
def test_every_engines_words_become_the_same(said: object) -> None:
    error = exceeded(json.dumps(said).encode())
    assert error is not None
    assert (error.code, error.needed, error.available) == ("context_length_exceeded", 5000, 4096)
    for phrase in (
        "exceeds the available context size (4096 tokens)",
        "maximum context length is 4096 tokens",
        "prompt is too long: 5000 tokens > 4096 maximum",
    ):
        assert phrase in error.message


def test_words_without_numbers_are_kept() -> None:
    error = exceeded(b'{"error":{"message":"Too much.","code":"context_length_exceeded"}}')
    assert error is not None
    assert (error.needed, error.available, error.message) == (None, None, "Too much.")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"error":{"message":"No such tool."}}', b"prompt is too long", b"[1]"])
def test_other_errors_are_other_errors(body: bytes) -> None:
    assert exceeded(body) is None


class Hearer:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.status, self.data, self.ended = 0, b"", False
        self.refusal: HostlerError | None = None
        self.lost: EngineLost | None = None

    def on_head(self, head: Head, *, alone: bool) -> None:
        self.status = head.status

    def on_data(self, data: bytes) -> None:
        self.data += data

    def on_end(self) -> None:
        self.ended = True

    def on_lost(self, error: EngineLost, *, stale: bool) -> None:
        self.lost = error

    def on_stalled(self) -> None:
        raise NotImplementedError

    def on_refused(self, error: HostlerError, *, whole: bool) -> None:
        assert whole
        self.refusal = error


def heard(status: int, *pieces: bytes, lost: EngineLost | None = None) -> Hearer:
    hearer = Hearer()
    overflow = Overflow(hearer)
    overflow.on_head(Head(status, [], None), alone=False)
    for piece in pieces:
        overflow.on_data(piece)
    if lost is None:
        overflow.on_end()
    else:
        overflow.on_lost(lost, stale=False)
    return hearer


def test_that_refusal_alone_is_told_otherwise() -> None:
    body = json.dumps(LLAMA).encode()
    for cut in (1, 30, len(body)):
        refused = heard(400, body[:cut], body[cut:])
        assert isinstance(refused.refusal, ContextExceeded)
        assert (refused.status, refused.data, refused.ended) == (0, b"", False)
    for status, data in ((200, body), (500, body), (400, b'{"error":"no"}'), (400, b"x" * (LONGEST + 1)), (400, b"")):
        other = heard(status, *([data] if data else []))
        assert (other.status, other.data, other.ended, other.refusal) == (status, data, True, None)
    lost = EngineLost("Gone.")
    broken = heard(400, b"half", lost=lost)
    assert (broken.status, broken.data, broken.lost) == (400, b"half", lost)
