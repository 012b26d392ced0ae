"""`hostler profile new`: a found model becomes a profile in the file, ready for editing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from hostler.cli.command import Session, command
from hostler.cli.noting import note

if TYPE_CHECKING:
    from hostler.models.facts import Model

NewName = Annotated[str, typer.Argument(metavar="NAME", help="The new profile's name.")]
FromOption = Annotated[
    str, typer.Option("--from", metavar="MODEL", help="A model's name as `hostler ls` shows it, or a path to a GGUF.")
]

profile_app = typer.Typer(
    name="profile",
    help="Write profiles.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="\b\nExamples:\n  hostler profile new coder --from Qwen3-Coder-30B-Q4_K_M",
)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        profile_app,
        "new",
        "hostler profile new coder --from Qwen3-Coder-30B-Q4_K_M",
        "hostler profile new tiny --from ~/models/tiny.gguf",
        gateway=False,
    )(new)
    app.add_typer(profile_app)


def new(session: Session, name: NewName, model: FromOption) -> None:
    """Write a profile for a model into hostler.toml.

    A running gateway notices by itself.
    """
    from hostler.cli import output
    from hostler.cli.whereabouts import load_config
    from hostler.config.edit import add_profile

    loaded = load_config(session.config)
    found = find_model(session, model)
    fields = described(model, found)
    add_profile(loaded.file, name, fields, None)
    note(session.config, "new profile", name)
    if session.json:
        output.write_json({"file": loaded.file, "name": name, "profile": fields})
    else:
        print(f"[profiles.{name}] is in {loaded.file}. Edit it there; `hostler chat {name}` tries it.")


def find_model(session: Session, ref: str) -> Model:
    """The model that ``ref`` names. Raises ModelError with the nearest names."""
    from hostler.cli.doctor.library import library

    models = library(session.config)
    return models.find(ref, models.scan())


def described(ref: str, model: Model) -> dict[str, object]:
    """The fields worth editing, as the model's header suggests them. Raises ModelError when it is broken.

    A path is written as it must be found again from anywhere.
    """
    from hostler.models.gguf import read_facts

    facts = read_facts(model.files)
    by_path = model.origin == "path" or os.sep in ref
    fields: dict[str, object] = {
        "model": str(model.path) if by_path else model.name,
        "description": f"{facts.name or model.name}, {facts.quantisation}",
    }
    if facts.pooling is not None:
        fields["task"] = "embedding"
    elif facts.chat_template is None:
        fields["task"] = "completion"
    return fields | {"context": min(facts.context_length, 8192), "slots": 1, "ttl": "never"}
