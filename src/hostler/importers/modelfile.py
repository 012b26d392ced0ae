"""Ollama's Modelfile: one model with parameters; instructions in any case, values in quotes of one or three."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hostler.errors import ConfigError
from hostler.importers.draft import Draft
from hostler.importers.options import FALSE, Option, from_command
from hostler.importers.protocol import Imported, gathered

_NOTED = {
    "SYSTEM": "no counterpart: clients send their own system message",
    "TEMPLATE": "no counterpart: the model's own chat template is used",
    "LICENSE": "it stays with the model",
    "MESSAGE": "no counterpart: clients send the conversation",
    "REQUIRES": "it is about Ollama's version",
    "PARSER": "the engine reads the model's own format",
    "RENDERER": "the engine writes the model's own format",
}
_WORDS = "|".join(["FROM", "PARAMETER", "ADAPTER", *_NOTED])
_INSTRUCTION = re.compile(rf"\s*({_WORDS})\s+(.*)", re.IGNORECASE)
_FLAGS = {
    "num_ctx": "--ctx-size", "num_thread": "--threads", "num_batch": "--batch-size", "num_gpu": "--n-gpu-layers",
    "main_gpu": "--main-gpu", "num_keep": "--keep", "num_predict": "--predict", "temperature": "--temp",
    "top_k": "--top-k", "top_p": "--top-p", "min_p": "--min-p", "typical_p": "--typical-p", "seed": "--seed",
    "repeat_penalty": "--repeat-penalty", "repeat_last_n": "--repeat-last-n",
    "presence_penalty": "--presence-penalty", "frequency_penalty": "--frequency-penalty", "mirostat": "--mirostat",
    "mirostat_tau": "--mirostat-ent", "mirostat_eta": "--mirostat-lr",
}  # fmt: skip
_SWITCHES = {"use_mmap": ("--mmap", "--no-mmap"), "use_mlock": ("--mlock", "")}


class Instruction(NamedTuple):
    """A line, or several in triple quotes."""

    line: int
    word: str
    value: str


class Modelfile:
    """Reads a Modelfile."""

    def read(self, text: str, path: Path) -> Imported:
        """The one profile, named after what it is made FROM, or after the file if that has a name of its own."""
        comments: list[str] = []
        instructions = list(_instructions(text, path, comments))
        source = next((each for each in instructions if each.word == "FROM"), None)
        if source is None:
            raise ConfigError(f"{path}:1: there is no FROM", hint="Is it a Modelfile?")
        draft = Draft(_name(path, source.value), path.name, source.line, path.absolute().parent)
        draft.comments += comments
        for each in instructions:
            _apply(draft, each, source)
        profile = draft.finish()
        return Imported(profiles=(profile,) if profile else (), notes=gathered(draft.notes))


def _instructions(text: str, path: Path, comments: list[str]) -> Iterator[Instruction]:
    lines = text.removeprefix("\ufeff").splitlines()
    at = 0
    while at < len(lines):
        line, first = lines[at].strip(), at + 1
        at += 1
        if line.startswith("#"):
            comments.append(line.lstrip("# "))
        elif line:
            match = _INSTRUCTION.fullmatch(line)
            if match is None:
                hint = f"Expected one of {_WORDS.replace('|', ', ')}."
                raise ConfigError(f"{path}:{first}: not understood: {line[:60]}", hint=hint)
            value = match[2]
            for quotes in ('"""', '"'):
                opened = value.find(quotes)
                if opened >= 0 and value.count(quotes) == 1:
                    value, at = _rest(lines, at, value, quotes, f"{path}:{first}")
                if opened >= 0:
                    value = value.replace(quotes, "")
                    break
            yield Instruction(first, match[1].upper(), value.strip())


def _rest(lines: list[str], at: int, value: str, quotes: str, place: str) -> tuple[str, int]:
    """What follows until ``quotes`` close, and the index behind it."""
    for end in range(at, len(lines)):
        value += "\n" + lines[end]
        if quotes in lines[end]:
            return value, end + 1
    raise ConfigError(f"{place}: {quotes} is never closed")


def _apply(draft: Draft, each: Instruction, source: Instruction) -> None:
    here = Option(draft.file, each.line, each.word, (each.value,), None)
    match each.word:
        case "FROM" if each is source:
            if _is_path(each.value, draft.base):
                draft.model(each.value, here)
            else:
                name = _tagged(each.value)
                draft.named(name, here, f"named `{name}`, as the library calls what `ollama pull` fetched")
        case "ADAPTER":
            for option in from_command(["--lora", each.value], draft.file, each.line):
                draft.apply(option)
        case "PARAMETER":
            _parameter(draft, each)
        case _:
            shown = " ".join(each.value.split())
            why = _NOTED.get(each.word, "a model has one FROM here; put a projector beside the model")
            draft.note(f"{each.word} `{shown if len(shown) <= 200 else shown[:197] + '...'}`", why, each.line)


def _parameter(draft: Draft, each: Instruction) -> None:
    name, _, value = each.value.partition(" ")
    name, value = name.lower(), value.strip()
    if name in _FLAGS:
        argv = [_FLAGS[name], value]
    elif name in _SWITCHES:
        argv = [_SWITCHES[name][value.lower() in FALSE]]
    else:
        why = "no counterpart: clients send their own" if name == "stop" else "no counterpart"
        draft.note(f"PARAMETER {name} `{value}`", why, each.line)
        return
    if argv == [""]:
        draft.note(f"PARAMETER {name} `{value}`", "off is the default already", each.line)
    for option in from_command([word for word in argv if word], draft.file, each.line):
        draft.apply(option)


def _is_path(value: str, base: Path) -> bool:
    return value.startswith(("/", "./", "../", "~")) or value.lower().endswith(".gguf") or (base / value).exists()


def _tagged(name: str) -> str:
    """With its tag, as Ollama's store and our library list it."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _name(path: Path, source: str) -> str:
    """``coder.Modelfile`` and ``Modelfile.coder`` are named; a plain ``Modelfile`` is named after its model."""
    for part in (path.stem, path.suffix.removeprefix(".")):
        if part and part.lower() not in ("modelfile", "txt"):
            return part
    last = source.rstrip("/").rpartition("/")[2]
    return last.removesuffix(".gguf").removesuffix(":latest") or "model"
