"""llama-swap's YAML: models with commands, macros, aliases, idle times, groups and filters."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from hostler.config.quantities import Seconds, exact_seconds
from hostler.errors import ConfigError
from hostler.importers.draft import Draft, number
from hostler.importers.filters import filters, flat, shown
from hostler.importers.macros import Macros
from hostler.importers.options import Option, from_command, words
from hostler.importers.protocol import Imported, Note, gathered
from hostler.importers.yamltree import EMPTY, Item, comments, load

_GLOBAL = {
    "healthCheckTimeout": "`[limits] load_s` bounds a load here, for all profiles",
    "logLevel": "see `[log] level`",
    "logTimeFormat": "Hostler's log has its own",
    "logToStdout": "`hostler logs PROFILE` shows an engine's output",
    "startPort": "engines get free ports by themselves",
    "apiKeys": "keys are kept as hashes: `hostler key new NAME` makes one",
    "sendLoadingState": "`[gateway] send_loading_state` says so here, for all profiles",
    "unloadTimeout": "see `[limits] grace_s`",
    "matrix": "which models run together is decided by memory",
    "peers": "other servers are not profiles",
}
_MODEL = {
    "cmdStop": "Hostler ends an engine by itself",
    "proxy": "Hostler knows its engines' addresses",
    "checkEndpoint": "an engine is ready when it has generated a token",
    "healthCheckTimeout": "`[limits] load_s` bounds a load here, for all profiles",
    "unloadTimeout": "see `[limits] grace_s`",
    "useModelName": "the engine gets the profile's name, and answers to any",
    "concurrencyLimit": "requests beyond `slots` wait in line",
    "timeouts": "see `[limits]`",
}
_NONE = "no counterpart"
_PORT = "${PORT}"
_SERVER = re.compile(r"(llama-server.*|server)(\.exe)?", re.IGNORECASE)
# Values that a note must not show.
_GIVEN_SECRET = re.compile(r"(\S*(?:key|token|secret|password)\S*?[ =])\S+", re.IGNORECASE)


class LlamaSwap:
    """Reads llama-swap's configuration; ``${env.NAME}`` comes from ``environ``."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def read(self, text: str, path: Path) -> Imported:
        """One profile for each model: what `llama-server` runs becomes ours to run, the rest a `command`."""
        return _File(path, load(text, path), self._environ).imported(comments(text))


class _File:
    def __init__(self, path: Path, root: Item, environ: Mapping[str, str]) -> None:
        self._path, self._root = path, root
        self._used: set[str] = set()
        self._macros = Macros(path, environ, {}, self._used).extended(root.table.get("macros", EMPTY))
        self._notes: list[Note] = []
        self._drafts: dict[str, Draft] = {}
        self._ttl = root.table.get("globalTTL", EMPTY)

    def imported(self, comments: list[tuple[int, str]]) -> Imported:
        models = self._root.table.get("models")
        if models is None or not models.table:
            line = models.line if models else 1
            raise ConfigError(f"{self._path}:{line}: there are no `models`", hint="Is it llama-swap's configuration?")
        for at, said in comments:
            self._note("comment", at, f"not carried over: {said}")
        running = [draft for name, item in models.table.items() if (draft := self._model(name, item))]
        self._top()
        # The groups came last, and they change the profiles.
        done = [profile for draft in running if (profile := draft.finish())]
        notes = [*self._notes, *(note for draft in self._drafts.values() for note in draft.notes)]
        return Imported(profiles=tuple(done), notes=gathered(notes))

    def _note(self, what: str, line: int, why: str) -> None:
        self._notes.append(Note(file=self._path.name, line=line, what=what, why=why))

    def _model(self, name: str, item: Item) -> Draft | None:
        """The draft of one model; None, noted, when it cannot be run here."""
        table = item.table
        macros = self._macros.with_model(name).extended(table.get("macros", EMPTY))
        draft = self._drafts[name] = Draft(name, self._path.name, item.line, self._path.absolute().parent)
        filled = {key: macros.fill(value) for key, value in table.items() if key != "macros"}
        command = filled.pop("cmd", None)
        if command is None or not command.text.strip():
            raise ConfigError(f"{self._path}:{item.line}: model `{name}` has no `cmd`")
        runs = self._command(draft, command)
        if runs == "command":
            self._checks(draft, filled)
        self._unused(table.get("macros", EMPTY), name)
        draft.describe(filled.pop("name", EMPTY).text, filled.pop("description", EMPTY).text)
        for key, value in filled.items():
            self._key(draft, key, value)
        if "ttl" not in filled:
            self._idle(draft, self._ttl)
        return draft if runs else None

    def _command(self, draft: Draft, command: Item) -> str:
        """Read ``cmd``; the kind of engine that it becomes, "" when it cannot."""
        lines = [line for line in command.text.splitlines() if not line.lstrip().startswith("#")]
        for said in command.text.splitlines():
            if said not in lines and said.strip("# \t"):
                draft.note("comment", f"not carried over: {said.strip().lstrip('# ')}", command.line)
        argv = words(re.sub(r"\\\s*\n", " ", "\n".join(lines)), self._path, command.line)
        program = argv[0] if argv else ""
        if not _SERVER.fullmatch(PurePath(program.replace("\\", "/")).name):
            return self._program(draft, argv, command.line)
        here = Option(self._path.name, command.line, program, (), None)
        if Path(program).is_absolute() and Path(program).is_file():
            draft.put("engine", "build", program, here)
        else:
            draft.note(f"`{program}`", "Hostler runs its own build; `engine.build` names another", command.line)
        for option in from_command(argv[1:], self._path.name, command.line):
            draft.apply(option)
        return "llamacpp"

    def _program(self, draft: Draft, argv: Sequence[str], line: int) -> str:
        """Any other program: it is run as it stands."""
        if not any(_PORT in word for word in argv[1:]):
            shown = _GIVEN_SECRET.sub(r"\1...", " ".join(argv))
            why = "left out: no `${PORT}` in its arguments says where it listens; write it and import again"
            draft.note(f"model run by `{shown}`", why)
            return ""
        here = Option(self._path.name, line, "cmd", (), None)
        draft.put("", "model", draft.name, here)
        draft.put("engine", "kind", "command", here)
        draft.put("engine", "argv", tuple(argv), here)
        what = f"model run by `{PurePath(argv[0]).name}`"
        why = 'a `command` here; set `task = "chat"` if it generates text, and `engine.memory` to what it holds'
        draft.note(what, why, line, sort="changed")
        return "command"

    def _checks(self, draft: Draft, filled: dict[str, Item]) -> None:
        """What only a `command` has: how it is stopped, how it tells that it is ready, and its name for its model."""
        if (stop := filled.pop("cmdStop", EMPTY)).text.strip():
            argv = words(stop.text, self._path, stop.line)
            draft.put("engine", "stop", tuple(argv), Option(self._path.name, stop.line, "cmdStop", (), None))
        if (path := filled.pop("checkEndpoint", EMPTY)).text:
            here = Option(self._path.name, path.line, "checkEndpoint", (path.text,), None)
            health = path.text if path.text == "none" else f"/{path.text.lstrip('/')}"
            draft.put("engine", "health", health, here)
        if (name := filled.pop("useModelName", EMPTY)).text:
            here = Option(self._path.name, name.line, "useModelName", (name.text,), None)
            draft.put("engine", "model_name", name.text, here)

    def _key(self, draft: Draft, key: str, item: Item) -> None:
        """One key of a model besides its command."""
        here = Option(self._path.name, item.line, key, (item.text,) if item.text else (), None)
        match key:
            case "aliases":
                draft.alias(*(each.text for each in item.items), *([item.text] if item.text else []))
            case "ttl":
                self._idle(draft, item)
            case "env":
                draft.environment(dict(_assignment(each.text) for each in item.items if "=" in each.text))
                for each in (each for each in item.items if "=" not in each.text):
                    draft.note(f"env `{flat(each)}`", "left out: it is no NAME=value", each.line)
            case "unlisted":
                draft.put("", "hidden", item.value, here)
            case "sendLoadingState":
                draft.put("", "send_loading_state", item.value, here)
            case "filters":
                filters(draft, item)
            case _:
                draft.note(shown(key, item), _MODEL.get(key, _NONE), item.line)

    def _idle(self, draft: Draft, item: Item) -> None:
        seconds = number(item.text)
        if seconds == -1:
            item = self._ttl
            seconds = number(item.text)
        if isinstance(seconds, int | float) and seconds > 0:
            draft.put(
                "",
                "ttl",
                exact_seconds(Seconds(seconds)),
                Option(self._path.name, item.line, "ttl", (item.text,), None),
            )
        elif item.text and seconds != 0:
            draft.note(f"ttl `{item.text}`", "left out: it is no number of seconds", item.line)

    def _top(self) -> None:
        """All that stands beside the models."""
        for key, item in self._root.table.items():
            if key == "macros":
                self._unused(item, "")
            elif key == "groups":
                self._groups(item)
            elif key == "routing":
                self._routing(item)
            elif key == "hooks":
                self._hooks(item)
            elif key not in ("models", "globalTTL"):
                self._note(shown(key, item), item.line, _GLOBAL.get(key, _NONE))

    def _unused(self, macros: Item, model: str) -> None:
        for name, item in macros.table.items():
            if name not in self._used:
                self._note(f"macro {name} `{flat(item)}`", item.line, "nothing uses it")

    def _hooks(self, item: Item) -> None:
        for key, value in item.table.items():
            preload = value.table.get("preload", EMPTY)
            if names := [each.text for each in preload.items]:
                said = ", ".join(f'"{name}"' for name in names)
                self._note(
                    f"hooks.{key}.preload", preload.line, f"not carried over: write `preload = [{said}]` in `[gateway]`"
                )
            for rest in value.table.keys() - {"preload"}:
                self._note(f"hooks.{key}.{shown(rest, value.table[rest])}", value.line, _NONE)

    def _routing(self, item: Item) -> None:
        for key, value in item.table.items():
            settings = value.table.get("settings", EMPTY).table
            if key == "router" and "groups" in settings:
                self._groups(settings["groups"])
            for name, rest in settings.items():
                if (key, name) != ("router", "groups"):
                    self._note(
                        f"routing.{key} {shown(name, rest)}", rest.line, _GLOBAL.get(name, "Hostler has its own order")
                    )
            for name, rest in value.table.items():
                if name != "settings":
                    self._note(f"routing.{key} {shown(name, rest)}", rest.line, "Hostler decides by memory")

    def _groups(self, item: Item) -> None:
        for name, group in item.table.items():
            table = group.table
            members = table.get("members", EMPTY).items
            together = table.get("swap", Item(1, True)).value is False or len(members) == 1
            persistent = table.get("persistent", EMPTY).value is True
            for each in members:
                self._member(name, each, pin=persistent and together)
            if not members:
                self._note(f"group {name}", group.line, "it has no members")
            for key in [key for key in table if key != "members"]:
                why = _alone(name) if key == "swap" and not together else _grouped(key, persistent and together)
                self._note(f"group {name} {shown(key, table[key])}", table[key].line, why)

    def _member(self, group: str, member: Item, pin: bool) -> None:
        draft = self._drafts.get(member.text)
        if draft is None:
            self._note(f"group {group}: {member.text}", member.line, "there is no such model")
            return
        here = Option(self._path.name, member.line, group, (), None)
        draft.put("", "group", group, here)
        if pin:
            draft.put("", "pin", True, here)


def _alone(group: str) -> str:
    header = f"[groups.{json.dumps(group)}]"
    return f"not carried over: write `exclusive = true` in `{header}`, which is the same; else memory decides"


def _grouped(key: str, pinned: bool) -> str:
    if key == "persistent" and pinned:
        return "its members have `pin = true`: never evicted"
    return "which models run together is decided by memory; `pin = true` keeps one loaded"


def _assignment(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value
