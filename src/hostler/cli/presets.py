"""`hostler presets`: what there is for a profile or a model, what its maker publishes, and how to take it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from hostler.cli.command import Session, command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hostler.config.presets.published import Known, Published
    from hostler.config.sampling import Family, PresetSettings
    from hostler.config.settings import Profile

NameArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]", help="A profile, a model, or a family; default: all families.", show_default=False
    ),
]


class Shown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One preset; ``source`` is empty for a profile's own, ``quoted_by`` where it is the maker's."""

    name: str
    sampling: dict[str, object]
    source: str = ""
    quoted_by: str = ""
    note: str = ""
    default: bool = False


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """Whose presets are shown: a profile's (``profile``), or those of the family of a model, whose ``note`` it is."""

    name: str
    profile: str | None
    family: str | None
    title: str
    presets: tuple[Shown, ...]
    note: str = ""


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        app,
        "presets",
        "hostler presets                   the families that Hostler knows",
        "hostler presets qwen3-coder       what is published for one",
        "hostler presets coder             what a profile or a model has",
        gateway=False,
    )(presets)


def presets(session: Session, name: NameArgument = None) -> None:
    """Show sampling presets and how to take them.

    A preset is sampling, and how much to reason, for one task; a client asks for it as `PROFILE:PRESET`. Those of
    families are what their makers publish, with the source. They are there for the models that they were published for;
    a profile takes one always with `family` and `preset`.
    """
    from hostler.cli import output
    from hostler.config.presets.published import families

    if name is None:
        if session.json:
            output.write_json({key: _of_family(key, known) for key, known in families().items()})
        else:
            _print_families(families())
        return
    subject = _subject(session, name)
    if session.json:
        output.write_json(subject)
    else:
        print("\n".join(_lines(subject)))


def _print_families(known: Mapping[Family, Known]) -> None:
    width = max(map(len, known))
    for family, each in known.items():
        print(f"{family:<{width}}  {each.title}: {', '.join(each.names)}")
    print(
        "\n`hostler presets FAMILY` shows the values and where they are published; docs/client-settings.md all of them."
    )


def _subject(session: Session, name: str) -> Subject:
    """What ``name`` is: a profile, a family, whatever a pattern of a profile takes (`gpt-*` is no word on `gpt-oss`),
    else a model. Raises UnknownProfile with the nearest names."""
    from hostler.cli.whereabouts import load_config
    from hostler.config.names import Names
    from hostler.config.presets.published import families

    profiles = load_config(session.config).config.profiles
    known = {str(family): each for family, each in families().items()}
    names = Names((profile, each.aliases) for profile, each in profiles.items())
    found = names.named(name)
    if found is None and name in known:
        return _of_family(name, known[name])
    found = found or names.find(name)
    if found is not None:
        return _of_profile(found, profiles[found], profiles[found].family or _family(session, profiles[found].model))
    return _of_model(session, name, [*profiles, *known])


def _family(session: Session, model: str) -> Family | None:
    """The family of a model by its header; None of one that is not there or is not known."""
    from hostler.cli.doctor.library import library
    from hostler.config.presets.published import family_of
    from hostler.errors import ModelError
    from hostler.models.gguf import read_facts

    models = library(session.config)
    try:
        found = models.find(model, models.scan())
        facts = read_facts(found.files)
    except ModelError:
        return None
    return None if facts.pooling is not None else family_of(facts.architecture, facts.name, found.name)


def _of_model(session: Session, name: str, others: list[str]) -> Subject:
    from hostler.cli.doctor.library import library
    from hostler.config.layers import nearest
    from hostler.config.presets.published import families
    from hostler.errors import ModelError, UnknownProfile

    models = library(session.config)
    scan = models.scan()
    try:
        model = models.find(name, scan)
    except ModelError:
        close = nearest(name, [*others, *(each.name for each in scan.models)], 3)
        ask = f" Did you mean {', '.join(close)}?" if close else ""
        raise UnknownProfile(f'"{name}" is no profile, model or family of models.{ask}') from None
    family = _family(session, name)
    if family is None:
        return Subject(name=model.name, profile=None, family=None, title="", presets=())
    known = families()[family]
    return msgspec.structs.replace(_of_family(family, known), name=model.name)


def _of_family(name: str, known: Known) -> Subject:
    return Subject(name=name, profile=None, family=name, title=known.title, presets=_published(known), note=known.note)


def _of_profile(name: str, profile: Profile, family: Family | None) -> Subject:
    from hostler.config.presets.published import families

    known = families()[family] if family is not None else None
    published = {each.name: each for each in _published(known)}
    under = published if profile.family is not None else {}
    own = (
        Shown(name=each, sampling=(under[each].sampling if each in under else {}) | _values(preset))
        for each, preset in profile.presets.items()
    )
    shown = [*own, *(each for name, each in published.items() if name not in profile.presets)]
    marked = (msgspec.structs.replace(each, default=each.name == profile.preset) for each in shown)
    title = known.title if known is not None else ""
    note = known.note if known is not None else ""
    return Subject(name=name, profile=name, family=family, title=title, presets=tuple(marked), note=note)


def _published(known: Known | None) -> tuple[Shown, ...]:
    names: Mapping[str, Published] = {} if known is None else known.names
    return tuple(
        Shown(name=name, sampling=_values(each), source=each.source, quoted_by=each.quoted_by, note=each.note)
        for name, each in names.items()
    )


def _values(preset: PresetSettings) -> dict[str, object]:
    from hostler.config.sampling import PresetSettings

    said = ((field, getattr(preset, field)) for field in PresetSettings.__struct_fields__)
    return {field: value for field, value in said if value is not None}


def _lines(subject: Subject) -> Iterator[str]:
    if not subject.presets:
        yield f"{subject.name} has no presets: nothing is published here for its model, and no profile has its own."
        yield "Write one as [profiles.NAME.presets.TASK], with the keys of `sampling`."
        return
    yield f"{subject.name}: {subject.title or 'presets of its own'}"
    if subject.note:
        yield f"  {subject.note}"
    for names, each in _alike(subject.presets).items():
        values = ", ".join(f"{key} {value}" for key, value in each.sampling.items())
        yield f"  {names}{' (taken always)' if each.default else ''}"
        yield f"      {values}"
        if each.note:
            yield f"      {each.note}"
        quoted = f" (its maker, as quoted by {each.quoted_by})" if each.quoted_by else ""
        yield f"      {each.source or 'its own'}{quoted}"
    yield from _advice(subject)


def _alike(shown: tuple[Shown, ...]) -> dict[str, Shown]:
    """Presets by their names, those that differ in nothing else together."""
    names: dict[bytes, list[Shown]] = {}
    for each in shown:
        names.setdefault(msgspec.json.encode(msgspec.structs.replace(each, name="")), []).append(each)
    return {", ".join(each.name for each in group): group[0] for group in names.values()}


def _advice(subject: Subject) -> Iterator[str]:
    first = subject.presets[0].name
    if subject.name == subject.family:
        yield f"\nAsk any model of this family as `NAME:{first}`."
    else:
        yield f"\nAsk for one as `{subject.name}:{first}`."
    if any(each.default for each in subject.presets):
        return
    yield f"A profile takes one always with, in [profiles.{subject.profile or 'NAME'}]:"
    if subject.family is not None:
        yield f'  family = "{subject.family}"'
    yield f'  preset = "{first}"'
