"""Answers on the screen: one, or a conversation of them."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hostler.cli.command import Session, report
from hostler.client.answers import Delta, Question, Turn, Usage
from hostler.errors import HostlerError

if TYPE_CHECKING:
    from hostler.cli.asking import Manner

CLEAR_LINE = "\r\x1b[2K"
DIM, PLAIN = "\x1b[2m", "\x1b[0m"
PROMPT, MORE = "> ", ". "
HISTORY_LINES = 1000
HELP = """\
  /clear   forget what was said
  /exit    end (Ctrl-D does the same)
  A line that ends with \\ goes on in the next one. Ctrl-C stops an answer."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer, as `--json` prints it."""

    profile: str
    text: str
    reasoning: str
    finish: str | None
    usage: Usage | None


class Screen:
    """Writes deltas as they come: text to standard output, news and figures to standard error.

    Nothing but the text is written when the output is not a terminal, so that it can be piped on.
    """

    def __init__(self, session: Session) -> None:
        self._quiet = session.json
        self._live = sys.stdout.isatty() and sys.stderr.isatty() and not session.json
        self._color = session.color
        self._waiting = False
        self._thinking = False
        self._began = time.monotonic()
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._finish: str | None = None
        self._usage: Usage | None = None

    def show(self, delta: Delta) -> None:
        """Show one delta."""
        self._finish = delta.finish or self._finish
        self._usage = delta.usage or self._usage
        if delta.waiting and self._live and not self._text:
            self._waiting = True
            sys.stderr.write(f"{CLEAR_LINE}{delta.waiting[:76]}")
            sys.stderr.flush()
        if delta.reasoning:
            self._reasoning.append(delta.reasoning)
            self._write(delta.reasoning, thinking=True)
        if delta.text:
            self._text.append(delta.text)
            self._write(delta.text, thinking=False)

    def _write(self, text: str, *, thinking: bool) -> None:
        if self._quiet or (thinking and not self._live):
            return
        if self._waiting:
            self._waiting = False
            sys.stderr.write(CLEAR_LINE)
            sys.stderr.flush()
        if thinking != self._thinking:
            self._turn(thinking)
        sys.stdout.write(text)
        sys.stdout.flush()

    def _turn(self, thinking: bool) -> None:
        """Go from thoughts to the answer, or back."""
        self._thinking = thinking
        if self._color:
            sys.stdout.write(DIM if thinking else PLAIN)
        if not thinking:
            sys.stdout.write("\n\n")

    def finish(self) -> Answer:
        """End the line, show the figures on a terminal; what was answered."""
        if self._waiting:
            sys.stderr.write(CLEAR_LINE)
        if self._thinking and self._color:
            sys.stdout.write(PLAIN)
        if not self._quiet:
            sys.stdout.write("\n")
            sys.stdout.flush()
        if self._live:
            figures = self._figures()
            print(f"{DIM}{figures}{PLAIN}" if self._color else figures, file=sys.stderr)
        return self.answer("")

    def answer(self, profile: str) -> Answer:
        """What came until now."""
        return Answer(
            profile=profile,
            text="".join(self._text),
            reasoning="".join(self._reasoning),
            finish=self._finish,
            usage=self._usage,
        )

    def _figures(self) -> str:
        from hostler.cli.output import rate

        usage = self._usage or Usage()
        parts = [] if usage.tokens_out is None else [f"{usage.tokens_out} tokens"]
        if usage.tokens_per_s is not None:
            parts.append(f"{rate(usage.tokens_per_s)} tokens/s")
        parts.append(f"{time.monotonic() - self._began:.1f} s")
        if self._finish == "length":
            parts.append("cut off at the limit")
        return f"({', '.join(parts)})"


async def answer_once(session: Session, question: Question) -> Answer:
    """Ask, show the answer as it comes; with `--json` print it whole."""
    screen = Screen(session)
    try:
        async with session.connect() as client, aclosing(client.ask(question)) as arriving:
            async for delta in arriving:
                screen.show(delta)
    finally:
        screen.finish()
    answered = screen.answer(question.profile)
    if session.json:
        from hostler.cli.output import write_json

        write_json(answered)
    return answered


class Conversation:
    """Questions from the terminal and their answers, until the user has had enough."""

    def __init__(self, session: Session, manner: Manner) -> None:
        self._session = session
        self._manner = manner
        self._said: list[Turn] = []

    def hold(self) -> None:
        """Read and answer until /exit or the end of the input."""
        kind = "completes your text" if self._manner.continues else "listens"
        print(f"{self._manner.profile} {kind}. /exit ends, /help tells more.")
        with _history():
            while (text := _read()) is not None:
                if not self._command(text):
                    return

    def _command(self, text: str) -> bool:
        """Do what one input says; False to end."""
        match text.strip():
            case "":
                pass
            case "/exit" | "/quit" | "/bye":
                return False
            case "/clear":
                self._said.clear()
                print("Forgotten.")
            case "/help" | "/?":
                print(HELP)
            case _:
                self._ask(text)
        return True

    def _ask(self, text: str) -> None:
        """One question. Ctrl-C ends the answer only; a failed one is not remembered."""
        import anyio

        asked = self._question(text)
        try:
            answered = anyio.run(answer_once, self._session, asked)
        except KeyboardInterrupt:
            print("(stopped)", file=sys.stderr)
        except HostlerError as error:
            report(self._session, error)
        else:
            if not self._manner.continues:
                self._said += [Turn("user", text), Turn("assistant", answered.text)]

    def _question(self, text: str) -> Question:
        from hostler.cli.asking import question

        asked = question(self._manner, text)
        system = [turn for turn in asked.turns if turn.role == "system"]
        return msgspec.structs.replace(asked, turns=(*system, *self._said, asked.turns[-1]))


def _read() -> str | None:
    """One input, over several lines when they end with a backslash; None at its end. Ctrl-C starts anew."""
    lines: list[str] = []
    while True:
        try:
            line = input(MORE if lines else PROMPT)
        except EOFError:
            print()
            return None
        except KeyboardInterrupt:
            print()
            lines = []
            continue
        if not line.endswith("\\"):
            return "\n".join([*lines, line])
        lines.append(line[:-1])


@contextlib.contextmanager
def _history() -> Iterator[None]:
    """Line editing with the inputs of earlier conversations, where the platform has it."""
    try:
        import readline
    except ImportError:
        yield
        return
    file = _history_file()
    with contextlib.suppress(OSError):
        readline.read_history_file(file)
    readline.set_history_length(HISTORY_LINES)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            # Questions are private: the file is made for its owner alone before anything is in it.
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            readline.write_history_file(file)


def _history_file() -> Path:
    from hostler.cli.whereabouts import state_folder

    return state_folder() / "chat-history"
