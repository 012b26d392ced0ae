"""Which client can do what: what the tests showed, and the page that says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

DATA: Final = Path(__file__).with_name("outcomes.json")
PAGE: Final = Path(__file__).parents[2] / "docs" / "clients" / "matrix.md"

Feature = Literal["answer", "stream", "tool call", "structured output", "error", "cancel"]
FEATURES: Final[tuple[Feature, ...]] = ("answer", "stream", "tool call", "structured output", "error", "cancel")
Outcome = Literal["works", "not yet"]


class Subject(msgspec.Struct, frozen=True):
    """A row: how the client is called, the API that it speaks, the page about it, and what it has no such thing for."""

    title: str
    api: str
    page: str
    lacks: Mapping[str, str] = {}


_AGENT: Final = "It has no such thing: it works in a folder"
SUBJECTS: Final[dict[str, Subject]] = {
    "openai-python": Subject("openai, Python", "chat", "openai.md"),
    "openai-python-responses": Subject("openai, Python", "responses", "openai.md"),
    "openai-node": Subject("openai, Node", "chat", "openai.md"),
    "openai-node-responses": Subject("openai, Node", "responses", "openai.md"),
    "anthropic-python": Subject("anthropic, Python", "messages", "anthropic.md"),
    "anthropic-node": Subject("@anthropic-ai/sdk, Node", "messages", "anthropic.md"),
    "ollama-python": Subject("ollama, Python", "Ollama", "../ollama.md"),
    "ollama-node": Subject("ollama, Node", "Ollama", "../ollama.md"),
    "langchain": Subject("langchain-openai", "chat", "langchain.md"),
    "llm": Subject("llm", "chat", "llm.md"),
    "aider": Subject("aider", "chat", "aider.md", {"tool call": "It uses none", "structured output": "It uses none"}),
    "claude-code": Subject("Claude Code", "messages", "claude-code.md"),
    "codex": Subject("Codex", "responses", "codex.md"),
    "opencode": Subject("opencode", "chat", "opencode.md", {"structured output": _AGENT}),
    "continue": Subject("Continue, `cn`", "chat", "continue.md", {"structured output": _AGENT}),
}


#: What does not work yet, and why; its tests must fail, so that this is known to be so.
NOT_YET: Final[Mapping[tuple[str, Feature], str]] = {}


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What one test showed of one client; ``why`` says what is missing where it does not work yet."""

    client: str
    feature: Feature
    outcome: Outcome
    why: str = ""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """All that was shown, and the versions of the clients and of the engine that it was shown with."""

    versions: dict[str, str]
    shown: tuple[Shown, ...]


def read() -> Run:
    """What was written down last; nothing before the first run."""
    return msgspec.json.decode(DATA.read_bytes(), type=Run) if DATA.exists() else Run(versions={}, shown=())


def write(run: Run) -> None:
    """Write down what ``run`` showed, in place of what was known of its clients, and the page."""
    known, fresh = read(), {each.client for each in run.shown}
    shown = [each for each in known.shown if each.client not in fresh and each.client in SUBJECTS] + list(run.shown)
    shown.sort(key=lambda each: (list(SUBJECTS).index(each.client), FEATURES.index(each.feature)))
    versions = {name: version for name, version in (known.versions | run.versions).items() if name in SUBJECTS}
    whole = Run(versions=dict(sorted(versions.items())), shown=tuple(shown))
    DATA.write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n")
    PAGE.write_text(page(whole), "utf-8")


HEAD: Final = """\
# Which client can do what

`make test-clients` installs these clients from their registries, points each at a gateway of its own, and writes down
here what worked. Answers, streams, errors and cancelled requests are asked of a real engine (SmolLM2, 135M). Where a
model of that size cannot play its part, as with tool calls, a scripted engine answers in its place. A gap has its
reason below the table.

*Answer*: a whole answer with its count of tokens. *Stream*: text as it is generated. *Tool call*: the client's tool is
called with arguments that fit it, and its result goes back. *Structured output*: JSON that fits a schema. *Error*: the
client names what is wrong, in its own kind of error. *Cancel*: the client leaves, and the engine stops.

"""


def page(run: Run) -> str:
    """The page, from a run."""
    shown = {(each.client, each.feature): each for each in run.shown}
    reasons: list[str] = []
    lines = [_row(("client", "version", "API", *FEATURES)), _row(("---",) * (3 + len(FEATURES)))]
    for name, subject in SUBJECTS.items():
        cells = [_cell(subject, shown.get((name, feature)), feature, reasons) for feature in FEATURES]
        lines.append(_row((f"[{subject.title}]({subject.page})", run.versions.get(name, ""), subject.api, *cells)))
    notes = "".join(f"{number}. {reason}.\n" for number, reason in enumerate(reasons, 1))
    return f"{HEAD}{''.join(lines)}\n{notes}".rstrip() + "\n"


def _cell(subject: Subject, shown: Shown | None, feature: Feature, reasons: list[str]) -> str:
    if shown is not None and shown.outcome == "works":
        return "works"
    word = "-" if shown is None else "not yet"
    why = subject.lacks.get(feature, "Not tried") if shown is None else shown.why
    if why not in reasons:
        reasons.append(why)
    return f"{word} ({reasons.index(why) + 1})"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"
