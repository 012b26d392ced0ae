"""A profile in the making: options become named settings where there are some, the rest `engine.extra_args`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from hostler.config.quantities import Bytes, exact_bytes
from hostler.config.sampling import PresetSettings
from hostler.config.settings import EngineSettings, Profile, SamplingSettings, Settings
from hostler.config.shape import Leaf, table
from hostler.engines.commands.arguments import parse
from hostler.engines.commands.placing import given_by
from hostler.errors import FlagUnsupported
from hostler.importers.options import REPEATED, Option
from hostler.importers.protocol import ImportedProfile, Note, Sort

_SECTIONS: dict[str, type[Settings]] = {"": Profile, "sampling": SamplingSettings, "engine": EngineSettings}
_ORDER = (
    "model", "description", "task", "aliases", "context", "slots", "placement", "ttl", "pin", "group", "hidden",
    "send_loading_state",
)  # fmt: skip

# Flags with a setting of the same meaning: section and key.
_SETTINGS = {
    "--threads": ("engine", "threads"),
    "--batch-size": ("engine", "batch"),
    "--ubatch-size": ("engine", "ubatch"),
    "--cache-type-k": ("engine", "cache_type_k"),
    "--cache-type-v": ("engine", "cache_type_v"),
    "--parallel": ("", "slots"),
    "--temp": ("sampling", "temperature"),
    "--top-p": ("sampling", "top_p"),
    "--top-k": ("sampling", "top_k"),
    "--min-p": ("sampling", "min_p"),
    "--repeat-penalty": ("sampling", "repeat_penalty"),
    "--presence-penalty": ("sampling", "presence_penalty"),
    "--frequency-penalty": ("sampling", "frequency_penalty"),
    "--predict": ("sampling", "max_tokens"),
    "--seed": ("sampling", "seed"),
}
_UNLIMITED = {"--predict": "the default already", "--seed": "the default already", "--threads": "the default already"}
_FILES = frozenset(
    {
        "--lora", "--chat-template-file", "--grammar-file", "--control-vector", "--spec-draft-model", "--log-file",
        "--media-path",
    }
)  # fmt: skip
_MANAGED = "Hostler sets it by itself"


class Draft:
    """Collects one profile. ``base`` is where relative paths start; ``binary`` a `llama-server` to run, if any."""

    def __init__(self, name: str, file: str, line: int, base: Path) -> None:
        self.name, self.file, self.line, self.base = name, file, line, base
        self.notes: list[Note] = []
        self.comments: list[str] = []
        self._values: dict[tuple[str, str], object] = {}
        self._extra: list[Option] = []
        self._aliases: list[str] = []
        self._presets: dict[str, object] = {}
        self._context: Option | None = None
        self._projector: Option | None = None
        self._unified = False
        self._seen: dict[str, Option] = {}

    def note(self, what: str, why: str, line: int | None = None, *, sort: Sort = "unused", file: str = "") -> None:
        """Say what became of something."""
        at = self.line if line is None else line
        self.notes.append(Note(file=file or self.file, line=at, what=what, why=why, sort=sort, profile=self.name))

    def put(self, section: str, key: str, value: object, option: Option) -> bool:
        """Set one key, unless the value is not one that the key takes; then it is noted."""
        shape = table(_SECTIONS[section]).fields[key].shape
        assert isinstance(shape, Leaf)
        try:
            shape.read(value)
        except ValueError as error:
            self._say(option, f"left out: {error}")
            return False
        self._values[section, key] = value
        return True

    def alias(self, *names: str) -> None:
        """Add other names; those that cannot be one are sorted out when the profile is written."""
        self._aliases += [name for name in names if name and name != self.name and name not in self._aliases]

    def describe(self, title: str, text: str) -> None:
        """The description out of a display name and a longer text, either of which may be empty."""
        parts = [part for part in (title if title != self.name else "", text) if part]
        if parts:
            self._values["", "description"] = ": ".join(dict.fromkeys(parts))

    def request(self, strip: Sequence[str], fields: Mapping[str, object]) -> None:
        """Fields of requests that are taken out, and set."""
        given = {"strip": tuple(strip), "set": dict(fields)}
        self._values |= {("request", key): value for key, value in given.items() if value}

    def preset(self, name: str, values: Mapping[str, object]) -> bool:
        """Add a preset; False when it has values that none takes."""
        fields = table(PresetSettings).fields
        try:
            for key, value in values.items():
                shape = fields[key].shape
                assert isinstance(shape, Leaf)
                shape.read(value)
        except (KeyError, ValueError):
            return False
        self._presets[name] = dict(values)
        return True

    def environment(self, values: dict[str, str]) -> None:
        """Add to the engine's environment."""
        if values:
            self._values["engine", "env"] = values

    def apply(self, option: Option) -> None:
        """Let one option of `llama-server` have its place.

        1. unknown: only a binary that was named may take it. 2. what has a setting. 3. what Hostler decides.
        4. all else goes to ``extra_args`` if its value is of the right type.
        """
        flag = option.flag
        self._once(option)
        if flag is None:  # 1
            self._unknown(option)
        elif flag.kind != "switch" and not option.values:
            self._say(option, "left out: it has no value")
        elif flag.name in _SETTINGS:  # 2
            self._setting(option, *_SETTINGS[flag.name])
        elif not self._special(option):
            self._pass(option) if flag.owner != "ours" else self._say(option, _MANAGED)  # 3, 4

    def _setting(self, option: Option, section: str, key: str) -> None:
        text = option.values[0]
        if text in ("-1", "-2") and option.key in _UNLIMITED:
            self._say(option, _UNLIMITED[option.key])
            return
        self.put(section, key, number(text), option)

    def _once(self, option: Option) -> None:
        """Of most flags the last counts."""
        earlier = self._seen.get(option.key)
        if earlier is not None and option.flag is not None and option.key not in REPEATED:
            self._say(earlier, f"does not count: `{option.text}` comes after it")
        self._seen[option.key] = option

    def _special(self, option: Option) -> bool:
        """Flags that need more than their value copied; False when ``option`` is none of them."""
        match option.key, option.spelling:
            case "--model", _:
                self.model(option.values[0], option)
            case "--hf-repo", _:
                self._repository(option)
            case "--alias", _:
                self.alias(*(name.strip() for name in option.values[0].split(",")))
            case "--ctx-size", _:
                self._context = option
            case "--kv-unified", spelling:
                self._unified = not spelling.startswith("--no") and spelling != "-no-kvu"
                self._say(option, "each slot has its own `context` tokens here", "changed")
            case "--cache-ram", _:
                self._cache_ram(option)
            case "--embeddings", _:
                self.put("", "task", "embedding", option)
            case "--reranking", _:
                self.put("", "task", "rerank", option)
            case "--mmproj", _:
                self._projector = option
            case "--fit", _:
                self._fit(option)
            case ("--jinja" | "--warmup") as name, spelling if spelling == name:
                self._say(option, _MANAGED)
            case _:
                return False
        return True

    def model(self, text: str, option: Option) -> None:
        """The model by its path, made absolute."""
        self.put("", "model", absolute(text, self.base) if text else "", option)

    def named(self, name: str, option: Option, why: str) -> None:
        """The model by a name in the library."""
        if ("", "model") not in self._values:
            self.put("", "model", name, option)
            self._say(option, why, "changed")
        else:
            self._say(option, "left out: the model is named by its path")

    def _repository(self, option: Option) -> None:
        repository, _, quant = option.values[0].partition(":")
        stem = repository.rpartition("/")[2].removesuffix("-GGUF").removesuffix("-gguf")
        name = f"{stem}-{quant}" if quant else stem
        self.named(name, option, f"named `{name}`, as the library calls such a file; fetch it if `hostler ls` lacks it")

    def _cache_ram(self, option: Option) -> None:
        amount = number(option.values[0])
        if isinstance(amount, int) and amount >= 0:
            self.put("engine", "cache_ram", exact_bytes(Bytes(amount * 2**20)), option)
        else:
            self._say(option, "left out: Hostler wants a bound; set `engine.cache_ram`")

    def _fit(self, option: Option) -> None:
        way = '; set `placement = "engine"` to leave it to llama.cpp' if option.values[0] == "on" else ""
        self._say(option, f"Hostler places the model by itself{way}")

    def _unknown(self, option: Option) -> None:
        if self._binary:
            self._extra.append(option)
            self._say(option, "kept in `extra_args`, but Hostler does not know it: the build decides", "changed")
        else:
            self._say(option, "left out: Hostler knows no such flag of llama.cpp")

    @property
    def _binary(self) -> bool:
        return ("engine", "build") in self._values

    def _pass(self, option: Option) -> None:
        assert option.flag is not None
        try:
            parse((option.spelling, *option.values), "llama.cpp")
        except FlagUnsupported as error:
            self._say(option, f"left out: {error.message.partition(': ')[2] or error.message}")
            return
        if option.flag.wheel is None and not self._binary:
            self._say(option, "left out: the embedded build cannot take it; name a `llama-server` in `engine.build`")
            return
        if given_by((option.spelling, *option.values)):
            self._values["", "placement"] = "manual"
            self._say(option, "kept in `extra_args`: the placement is yours then", "changed")
        if option.key in _FILES:
            option = option._replace(values=(absolute(option.values[0], self.base),))
        if option.key not in REPEATED:
            self._extra = [each for each in self._extra if each.key != option.key]
        self._extra.append(option)

    def _say(self, option: Option, why: str, sort: Sort = "unused") -> None:
        self.note(f"`{option.text}`", why, option.line, sort=sort, file=option.file)

    def finish(self) -> ImportedProfile | None:
        """The profile; None, noted, when nothing says which model it runs."""
        if ("", "model") not in self._values:
            self.note("profile", "left out: it names no model")
            return None
        self._share_context()
        self._check_projector()
        if self._aliases:
            self._values["", "aliases"] = tuple(self._aliases)
        extra = tuple(word for option in self._extra for word in (option.spelling, *option.values))
        if extra:
            self._values["engine", "extra_args"] = extra
        fields: dict[str, object] = {key: self._values["", key] for key in _ORDER if ("", key) in self._values}
        for section in ("sampling", "request", "engine"):
            inner = {key: value for (where, key), value in self._values.items() if where == section}
            if inner:
                fields[section] = inner
        if self._presets:
            fields["presets"] = self._presets
        return ImportedProfile(name=self.name, line=self.line, fields=fields, comment="\n".join(self.comments))

    def _share_context(self) -> None:
        """llama.cpp's context is shared by its slots, ours is what one request may use."""
        option, slots = self._context, self._values.get(("", "slots"), 1)
        if option is None:
            return
        total = number(option.values[0])
        if total == 0:
            self._say(option, "left out: 0 is all that the model was trained for; here the default is at most 8192")
        elif isinstance(total, int) and isinstance(slots, int) and slots > 1:
            what = "the slots may no longer lend each other room" if self._unified else "the memory is the same"
            if self.put("", "context", total // slots, option):
                self._say(
                    option, f"{total} for {slots} slots is `context = {total // slots}` for each: {what}", "changed"
                )
        else:
            self.put("", "context", total, option)

    def _check_projector(self) -> None:
        option = self._projector
        if option is None:
            return
        folder = os.path.dirname(str(self._values["", "model"]))
        beside = os.path.dirname(absolute(option.values[0], self.base)) == folder
        self._say(
            option, "found by itself beside the model" if beside else f"left out: put it beside the model, in {folder}"
        )


def number(text: str) -> object:
    """``text`` as a whole number or a fraction if it is one, else as it is."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def absolute(text: str, base: Path) -> str:
    """A path as it must be written to mean the same from anywhere; ``~`` stays."""
    return text if text.startswith("~") else os.path.normpath(base / text)
