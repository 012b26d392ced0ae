"""Trying a build with the starter model, and making one the default."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hostler.cli.command import Session
from hostler.cli.noting import note
from hostler.errors import HostlerError

if TYPE_CHECKING:
    from hostler.config.settings import Home
    from hostler.engines.building.installed import Trial
    from hostler.engines.building.trial import Ground
    from hostler.engines.builds import Builds
    from hostler.models.facts import Model


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What `use` did: the default build now, the file that says so, and what its trial showed."""

    name: str
    written_to: Path
    decode: float | None
    prefill: float | None


async def make_default(session: Session, name: str) -> None:
    """Try the build unless it was tried before or is the embedded one, then write it into the configuration.

    Raises what is wrong with the build or with the file.
    """
    from hostler.cli import output
    from hostler.cli.active_build import known_builds
    from hostler.config.edit import set_value
    from hostler.engines.building.installed import FOLDER, Trials

    builds, home = known_builds(session.config), home_of(session)
    build = await builds.get(name)
    trials = Trials(home.state / FOLDER)
    trial = trials.of(build)
    if trial is None and build.kind != "embedded":
        say(session, f"Trying {name} ...")
        trial = await try_build(session, name, builds)
    set_value(home.config_file, "engines.default_build", name)
    note(session.config, "use build", name)
    told = trial or trials.of(build)
    if session.json:
        done = Used(
            name=name, written_to=home.config_file,
            decode=told.decode if told else None, prefill=told.prefill if told else None,
        )  # fmt: skip
        output.write_json(done)
        return
    speed = f" ({speeds(told)})" if told else ""
    print(f"{name} is the default build{speed}. What is loaded keeps its build until it is loaded again.")


async def try_build(session: Session, name: str, builds: Builds) -> Trial:
    """Try a build, and the embedded one beside it unless it was before; both are remembered."""
    from hostler.engines.building.installed import FOLDER, Trials
    from hostler.engines.building.trial import attempt

    trials = Trials(home_of(session).state / FOLDER)
    ground = _ground(session)
    trial = await attempt(name, builds, ground)
    trials.keep(await builds.get(name), trial)
    try:
        embedded = builds.embedded()
        if trials.of(embedded) is None:
            trials.keep(embedded, await attempt("embedded", builds, ground))
    except HostlerError:
        pass  # nothing to compare with
    return trial


def _ground(session: Session) -> Ground:
    from hostler.engines.building.trial import Ground

    home = home_of(session)
    return Ground(model=starter_model(session), logs=home.logs, state=home.state, cache=home.cache)


def starter_model(session: Session) -> Model:
    """The starter model; fetched when it is not there."""
    from hostler.models.facts import Model
    from hostler.models.starters import STARTERS, fetch

    path = fetch(STARTERS["smollm2"], home_of(session).models, lambda _: None)
    return Model(name="smollm2", files=(path,), size=path.stat().st_size, origin="library")


def home_of(session: Session) -> Home:
    from hostler.config import paths

    return paths.home(os.environ, session.config)


def speeds(trial: Trial) -> str:
    from hostler.cli.output import rate

    return f"{trial.model}: {rate(trial.decode)} tokens/s, prompts {rate(trial.prefill)} tokens/s"


def say(session: Session, text: str) -> None:
    if not session.json:
        print(text, flush=True)
