"""What is told to whoever may only use models names neither folders of this machine nor where engines listen."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.errors import ModelError
from hostler.gateway.answering.discreet import Discreet, plain, plain_body, plain_error
from hostler.gateway.relay.http1 import Head


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/home/me/models/a.gguf ends at offset 3.", "a.gguf ends at offset 3."),
        ("failed to open '/srv/models/a b/c.gguf'", "failed to open 'a b/c.gguf'"),
        ("/srv/state/: Permission denied", "state: Permission denied"),
        ("model:/srv/models/a.gguf or file:///srv/models/b.png", "model:a.gguf or file://b.png"),
        ("http://127.0.0.1:43211/health refused", "the engine/health refused"),
        ("no answer from localhost:8080.", "no answer from the engine."),
        ("[::1]:99 and 127.1.2.3", "the engine and the engine"),
        ("Send `input` to /v1/embeddings, or /api/embed.", None),
        ("Ask it at /v1/chat/completions.", None),
        ("see https://host.example/a/b, 12 tokens/s, 1/2/3, and/or", None),
        ("/completion takes a prompt", None),
        ("version 127.0.0.1.2 of localhost.example", None),
    ],
)
def test_paths_and_addresses_are_left_out(text: str, told: str | None) -> None:
    assert plain(text) == (text if told is None else told)


@given(st.lists(st.text("abc-_.é", min_size=1), min_size=2, max_size=5), st.text(" \"'\\", max_size=2))
def test_of_any_path_the_name_is_left_and_json_stays_json(names: list[str], around: str) -> None:
    body = json.dumps({"error": {"message": f"open {around}/{'/'.join(names)}{around} failed"}}, ensure_ascii=False)
    told = json.loads(plain_body(body.encode()))["error"]["message"]
    assert "/" not in told
    assert told.endswith(f"{names[-1]}{around} failed")


@given(st.binary())
def test_other_bytes_stay(body: bytes) -> None:
    if b"/" not in body and b"127" not in body and b"localhost" not in body and b"::1" not in body:
        assert plain_body(body) == body


def test_an_error_is_told_otherwise_and_stays_what_it_is() -> None:
    error = ModelError("/home/me/a.gguf ends.", hint="See /var/log/x.log.")
    error.evidence = "llama: /home/me/a.gguf"
    told = plain_error(error)
    assert (type(told), str(told), told.evidence) == (ModelError, "a.gguf ends. See x.log.", "llama: a.gguf")
    assert str(error) == "/home/me/a.gguf ends. See /var/log/x.log."


class Hearing:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def on_head(self, head: Head, *, alone: bool) -> None:
        self.heard.append((head.status, head.length))

    def on_data(self, data: bytes) -> None:
        self.heard.append(data)

    def on_end(self) -> None:
        self.heard.append("end")

    def on_lost(self, error: object, *, stale: bool) -> None:
        self.heard.append("lost")

    def on_refused(self, error: object, *, whole: bool) -> None:
        self.heard.append("refused")

    def on_stalled(self) -> None:
        self.heard.append("stalled")


@pytest.mark.parametrize("cut", range(1, 14))
def test_an_engines_error_is_told_without_wherever_it_is_cut(cut: int) -> None:
    hearing = Hearing()
    sink = Discreet(hearing)
    sink.on_head(Head(500, [], 14), alone=True)
    sink.on_data(b"no /home/me/a."[:cut])
    sink.on_data(b"no /home/me/a."[cut:])
    sink.on_end()
    assert hearing.heard == [(500, 5), b"no a.", "end"]


def test_what_is_no_error_passes_as_it_comes() -> None:
    hearing = Hearing()
    sink = Discreet(hearing)
    sink.on_head(Head(200, [], 12), alone=True)
    sink.on_data(b"/home/me/a.b")
    assert hearing.heard == [(200, 12), b"/home/me/a.b"]


def test_an_error_that_breaks_off_is_told_as_far_as_it_came() -> None:
    hearing = Hearing()
    sink = Discreet(hearing)
    sink.on_head(Head(500, [], 100), alone=True)
    sink.on_data(b"no /home/me/a")
    sink.on_lost(ModelError("x"), stale=False)  # type: ignore[arg-type]
    assert hearing.heard == [(500, None), b"no a", "lost"]
