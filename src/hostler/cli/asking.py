"""`hostler chat`: one answer, or a conversation."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from hostler.cli.command import Session, command
from hostler.cli.residency import ProfileName
from hostler.errors import InvalidRequest, WrongTask

if TYPE_CHECKING:
    from hostler.client.answers import Question

PromptArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="PROMPT", help="What to ask; piped text is added to it. Without both: a conversation.",
        show_default=False,
    ),
]  # fmt: skip
SystemOption = Annotated[str | None, typer.Option("--system", "-s", help="The system prompt.", show_default=False)]
TokensOption = Annotated[
    int | None, typer.Option("--max-tokens", "-m", min=1, help="Longest answer, in tokens.", show_default=False)
]
TemperatureOption = Annotated[
    float | None, typer.Option("--temperature", "-t", min=0.0, help="Randomness; 0 is greedy.", show_default=False)
]


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """How to ask: everything but the words. ``continues``: the profile completes text, it does not chat."""

    profile: str
    continues: bool
    system: str | None
    max_tokens: int | None
    temperature: float | None


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        app,
        "chat",
        "hostler chat smollm2                      a conversation",
        'hostler chat smollm2 "Say hello."         one answer',
        'hostler chat smollm2 "Sum this up:" < notes.txt',
    )(chat)


def chat(
    session: Session,
    profile: ProfileName,
    prompt: PromptArgument = None,
    system: SystemOption = None,
    max_tokens: TokensOption = None,
    temperature: TemperatureOption = None,
) -> None:
    """Ask a profile; without a prompt, hold a conversation.

    In a conversation a trailing backslash goes on to a new line, Ctrl-C stops the answer, /clear forgets what
    was said, /exit (or Ctrl-D) ends it.
    """
    import anyio

    from hostler.cli.conversation import Conversation, answer_once

    text = _given(prompt)
    if text is None and session.json:
        raise InvalidRequest(
            "A conversation cannot be written as JSON.", hint='Give a prompt: hostler chat PROFILE "..."'
        )
    task = anyio.run(_task, session, profile)
    manner = Manner(
        profile=profile,
        continues=task == "completion",
        system=system,
        max_tokens=max_tokens,
        temperature=temperature,
    )
    if text is None:
        Conversation(session, manner).hold()
    else:
        anyio.run(answer_once, session, question(manner, text))


def question(manner: Manner, text: str) -> Question:
    """One text to ask, without anything said before."""
    from hostler.client.answers import Question, Turn

    system = manner.system
    if manner.continues and system:
        text = f"{system}\n\n{text}"
    first = (Turn("system", system),) if system and not manner.continues else ()
    return Question(
        profile=manner.profile,
        turns=(*first, Turn("user", text)),
        continues=manner.continues,
        max_tokens=manner.max_tokens,
        temperature=manner.temperature,
    )


async def _task(session: Session, profile: str) -> str:
    """What the profile does; raises when it does not answer in words."""
    async with session.connect() as client:
        task = (await client.profile(profile)).task or "chat"
    if task not in ("chat", "completion"):
        raise WrongTask(
            f"{profile} is for {task}, it does not write text.", hint="`hostler ls` shows what each one does."
        )
    return task


def _given(prompt: str | None) -> str | None:
    """The prompt with what was piped in; None on a terminal without a prompt."""
    piped = _piped() if prompt is not None else None if sys.stdin.isatty() else sys.stdin.read()
    text = "\n\n".join(part for part in (prompt, piped) if part and part.strip())
    if text:
        return text
    if prompt is None and piped is None:
        return None
    raise InvalidRequest("There is nothing to ask.", hint='Give a prompt: hostler chat PROFILE "..."')


def _piped() -> str | None:
    """Text from a pipe or a file. Anything else (a terminal, /dev/null, a socket) is not waited for."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError):
        return None
    return sys.stdin.read() if stat.S_ISFIFO(mode) or stat.S_ISREG(mode) else None
