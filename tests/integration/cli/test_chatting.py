"""`hostler chat`: answers, errors in their middle, and what is sent."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_run import HOSTLER, Run
from fake_gateway import FakeGateway, profile


def test_the_answer_alone_goes_to_a_pipe(gateway: FakeGateway, run: Run) -> None:
    done = run("chat", "smollm2", "Tell me of the sea.", "--system", "Be brief.", "-m", "60", "-t", "0.5")
    assert done.stdout == "The sea is wide.\n"
    assert done.stderr == ""
    assert gateway.bodies == [
        {
            "model": "smollm2",
            "stream": True,
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Tell me of the sea."},
            ],
            "max_tokens": 60,
            "temperature": 0.5,
        }
    ]


def test_json_has_the_whole_answer(gateway: FakeGateway, run: Run) -> None:
    told = json.loads(run("chat", "smollm2", "x", "--json").stdout)
    assert told["text"] == "The sea is wide."
    assert told["finish"] == "stop"
    assert told["usage"]["tokens_out"] == 3
    assert told["usage"]["tokens_per_s"] == 85.4


def test_a_completion_profile_continues_the_text(gateway: FakeGateway, run: Run) -> None:
    assert run("chat", "gemma3-270m", "The sea").stdout == "The sea is wide.\n"
    assert gateway.bodies == [{"model": "gemma3-270m", "stream": True, "prompt": "The sea"}]
    assert ("POST", "/v1/completions") in gateway.asked


def test_an_embedding_profile_does_not_chat(gateway: FakeGateway, run: Run) -> None:
    gateway.profiles = [profile("minilm", task="embedding")]
    failed = run("chat", "minilm", "x")
    assert failed.exit_code == 1
    assert "embedding" in failed.stderr
    assert gateway.bodies == []


def test_the_prompt_may_come_by_a_pipe(gateway: FakeGateway, run: Run) -> None:
    assert run("chat", "smollm2", stdin="Read me.\n").exit_code == 0
    assert gateway.bodies[0]["messages"] == [{"role": "user", "content": "Read me.\n"}]


def test_a_file_is_added_to_the_prompt(gateway: FakeGateway, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("One. Two.")
    with notes.open() as stdin:
        subprocess.run(
            [HOSTLER, "chat", "smollm2", "Sum up:"], stdin=stdin, timeout=60, check=True, capture_output=True
        )
    assert gateway.bodies[0]["messages"] == [{"role": "user", "content": "Sum up:\n\nOne. Two."}]


def test_nothing_to_ask_is_an_error(gateway: FakeGateway, run: Run) -> None:
    failed = run("chat", "smollm2", stdin="")
    assert failed.exit_code == 1
    assert "There is nothing to ask." in failed.stderr


def test_an_error_in_the_middle_ends_the_answer(gateway: FakeGateway, run: Run) -> None:
    gateway.stream_error = {"message": "The engine ended.", "type": "engine_lost", "code": "engine_lost"}
    failed = run("chat", "smollm2", "x")
    assert failed.exit_code == 1
    assert failed.stdout == "The sea is wide.\n"
    assert failed.stderr == "hostler: The engine ended.\n"


def test_a_stream_without_its_end_is_an_error(gateway: FakeGateway, run: Run) -> None:
    gateway.truncated = True
    failed = run("chat", "smollm2", "x")
    assert failed.exit_code == 1
    assert "broke off" in failed.stderr


@contextmanager
def on_a_terminal(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The command with a terminal of its own; ended when the block ends."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [HOSTLER, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env=os.environ | {"TERM": "dumb", "NO_COLOR": "1"},
    )  # fmt: skip
    os.close(theirs)
    try:
        yield process, ours
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        os.close(ours)


def read_until(terminal: int, wanted: str) -> str:
    """What the terminal shows up to ``wanted``; fails when it does not come within 20 s."""
    shown = b""
    while wanted.encode() not in shown:
        assert select.select([terminal], [], [], 20)[0], f"{wanted!r} did not come; there is {shown!r}"
        shown += os.read(terminal, 1)  # no more than that: what follows belongs to the next question
    return shown.decode()


def test_a_conversation_remembers_and_forgets(gateway: FakeGateway) -> None:
    with on_a_terminal("chat", "smollm2") as (process, terminal):
        read_until(terminal, "> ")
        for text in (b"Hello \\\nyou\n", b"And?\n", b"/clear\n", b"Anew\n"):
            os.write(terminal, text)
            read_until(terminal, "Forgotten." if text == b"/clear\n" else "tokens/s")
            read_until(terminal, "> ")
        os.write(terminal, b"/exit\n")
        assert process.wait(20) == 0
    said = [[turn["content"] for turn in body["messages"]] for body in gateway.bodies]  # type: ignore[attr-defined]
    assert said == [
        ["Hello \nyou"],
        ["Hello \nyou", "The sea is wide.", "And?"],
        ["Anew"],
    ]


def test_ctrl_c_stops_the_answer_and_not_the_conversation(gateway: FakeGateway) -> None:
    gateway.endless = True
    with on_a_terminal("chat", "smollm2") as (process, terminal):
        read_until(terminal, "> ")
        os.write(terminal, b"Go on\n")
        read_until(terminal, "wide.")
        process.send_signal(signal.SIGINT)
        read_until(terminal, "(stopped)")
        assert gateway.hung_up.wait(10), "the gateway must learn of it at once"
        os.write(terminal, b"/exit\n")
        assert process.wait(20) == 0


def test_ctrl_c_ends_a_single_answer_with_130(gateway: FakeGateway) -> None:
    gateway.endless = True
    with on_a_terminal("chat", "smollm2", "Go on") as (process, terminal):
        read_until(terminal, "wide.")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


def test_progress_is_shown_on_a_terminal(gateway: FakeGateway) -> None:
    with on_a_terminal("switch", "smollm2") as (process, terminal):
        assert "smollm2 is ready" in read_until(terminal, "older.")
        assert process.wait(20) == 0


@pytest.mark.parametrize("arguments", [("ls",), ("ps",), ("requests",)])
def test_no_color_is_obeyed_on_a_terminal(gateway: FakeGateway, arguments: tuple[str, ...]) -> None:
    with on_a_terminal(*arguments) as (process, terminal):
        shown = read_until(terminal, "smollm2")
        assert "\x1b[3" not in shown
        assert process.wait(20) == 0
