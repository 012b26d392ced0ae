"""What `hostler plan` is asked about: a profile, a model on disk, or one that still lies on a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from hostler.config.settings import Config, Profile
from hostler.errors import HostlerError, ModelError, UnknownProfile

if TYPE_CHECKING:
    from hostler.fleet.profiles.planning import Asked
    from hostler.models.facts import GgufFacts, Model
    from hostler.models.hub import Reference
    from hostler.models.remote import RemoteModel
    from hostler.models.shape import ModelShape


def look(asked: str, config: Config, config_file: Path | None) -> Asked:
    """What ``asked`` means. Raises ModelError, or what the server does.

    1. An address, of a file or on the hub. 2. The name or an alias of a profile in the configuration. 3. A model of
    the library, or a path. 4. ``ORG/REPO[:QUANT]`` on the hub.
    """
    if asked.startswith(("http://", "https://")):  # 1
        return _remote(asked)
    profile = _profile(asked, config)
    if profile is not None:  # 2
        return _local(profile, config.profiles[profile], config_file)
    try:
        return _local("", Profile(model=asked), config_file)  # 3
    except ModelError as error:
        if not _like_repository(asked):
            raise _unknown(error, asked, config) from None
    return _remote(asked)  # 4


def _profile(asked: str, config: Config) -> str | None:
    from hostler.config.names import Names

    try:
        return Names((name, profile.aliases) for name, profile in config.profiles.items()).resolve(asked)
    except UnknownProfile:
        return None


def _unknown(error: ModelError, asked: str, config: Config) -> HostlerError:
    """The library's complaint, with the profiles that are called almost so."""
    from hostler.config.names import Names

    if asked in config.auto:
        stands_for = ", ".join(config.auto[asked].profiles)
        return ModelError(
            f"{asked!r} is an `auto` name and stands for several profiles.", hint=f"Name one: {stands_for}."
        )
    near = Names((name, profile.aliases) for name, profile in config.profiles.items()).nearest(asked)
    if not near or not error.message.startswith("No model is called"):
        return error
    return ModelError(f"No profile and no model is called {asked!r}.", hint=f"Nearest: {', '.join(near)}.")


def _local(name: str, profile: Profile, config_file: Path | None) -> Asked:
    from hostler.cli.doctor.library import library
    from hostler.engines.commands.placing import draft_of
    from hostler.models.gguf import read_model, read_shape

    if profile.engine.kind != "llamacpp":
        where = "a program of its own" if profile.engine.kind == "command" else "elsewhere"
        raise ModelError(f"Profile {name!r} runs {where}: there is nothing to plan.", hint="")
    models = library(config_file)
    model = models.find(profile.model, models.scan())
    drafts = draft_of(profile.engine.extra_args)
    facts, shape = read_model(model.files)
    found = _asked(name or model.name, profile, model, facts, shape)
    return replace(found, draft=read_shape([drafts])) if drafts else found


def _asked(name: str, profile: Profile, model: Model, facts: GgufFacts, shape: ModelShape) -> Asked:
    from hostler.fleet.profiles.planning import Asked
    from hostler.fleet.profiles.serving import task_of

    return Asked(
        name=name,
        profile=profile,
        task=profile.task or task_of(facts),
        model=model,
        shape=shape,
        heads=(facts.key_length, facts.value_length),
    )


def _like_repository(asked: str) -> bool:
    owner, slash, name = asked.partition("/")
    return bool(slash and owner and name) and "/" not in name and not asked.startswith((".", "~")) and (
        not name.lower().endswith(".gguf")
    )  # fmt: skip


def _remote(asked: str) -> Asked:
    from hostler.models import hub

    reference = hub.reference(asked)
    return _at_address(asked) if reference is None else _on_hub(reference)


def _at_address(url: str) -> Asked:
    from urllib.parse import unquote, urlsplit

    import anyio

    from hostler.models.remote import read_remote

    found = anyio.run(read_remote, url)
    return remote(unquote(urlsplit(url).path).rpartition("/")[2].removesuffix(".gguf"), found)


def remote(name: str, found: RemoteModel, images: int = 0) -> Asked:
    """A model that is not here yet, with default settings; ``images`` is the size of its projector in bytes."""
    from hostler.models.facts import Model

    model = Model(name=name, files=(), size=found.size, origin="path")
    return replace(_asked(name, Profile(model=name), model, found.facts, found.shape), images=images)


def _on_hub(reference: Reference) -> Asked:
    import anyio

    from hostler.models import hub, variants

    repository = hub.look(reference)
    known, projectors = variants.split(repository.files)
    known = tuple(v for v in known if reference.file in (None, *(file.path for file in v.files)))
    if not known:
        raise ModelError(f"{reference.repo} holds no such GGUF model.", hint=f"`hostler pull {reference.repo}` looks.")
    chosen = variants.choose(known, reference.quant) if reference.quant else variants.usual(known)
    if chosen is None:
        labels = ", ".join(variant.label for variant in known)
        raise ModelError(
            f"{reference.repo} holds several variants.", hint=f"Name one: {reference.repo}:QUANT, of {labels}."
        )
    found = anyio.run(hub.read_header, repository, chosen)
    projector = variants.projector(projectors)
    return remote(f"{reference.repo}:{chosen.label}", found, projector.size if projector else 0)
