"""`hostler pull`: fetch a model from a Hugging Face hub, or from any address."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import unquote, urlsplit

import msgspec
import typer

from hostler.cli.command import ExitCode, Session, command
from hostler.cli.noting import note
from hostler.cli.progress import progress
from hostler.errors import HomeError, InvalidRequest, ModelError

if TYPE_CHECKING:
    from hostler.cli.fitting import Outlook
    from hostler.models.download import Fetched, Wanted
    from hostler.models.hub import Reference, Repository
    from hostler.models.variants import RemoteFile, Variant

# Left free on the disk: the ledger and the logs must still be written.
MARGIN = 256 * 2**20

Source = Annotated[str, typer.Argument(metavar="REPO[:QUANT]|URL", help="ORG/REPO on the hub, or an address.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the variants and what each needs; fetch nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Without QUANT: take the usual one, Q4_K_M.")]
Revision = Annotated[
    str | None, typer.Option("--revision", metavar="NAME", help="A branch, tag or commit.", show_default=False)
]


class VariantInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One variant. ``need`` is predicted bytes per device with default settings, None where no header was read.

    ``fits``: within what engines may hold on this machine now; ``over`` is by how much it is more. ``decode`` and
    ``prefill`` are predicted tokens per second with an empty context, ``spilled`` the bytes of weights that GPUs leave
    to the host. ``about``: judged by another variant's header.
    """

    label: str
    size: int
    files: tuple[str, ...]
    need: dict[str, int] | None
    fits: bool | None
    over: int = 0
    where: str = ""
    decode: float | None = None
    prefill: float | None = None
    spilled: int = 0
    about: bool = False


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What could be pulled, what would be (``chosen``), and what the disk has to say; sizes in bytes."""

    source: str
    revision: str
    variants: tuple[VariantInfo, ...]
    projector: str | None
    chosen: str | None
    folder: Path
    missing: int
    free: int


class PulledFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is there now; ``new`` is False when it was before."""

    path: Path
    size: int
    sha256: str
    new: bool


class Pulled(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may send as `model` from now on, and the files behind it."""

    name: str
    files: tuple[PulledFile, ...]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        app,
        "pull",
        "hostler pull ORG/REPO               what there is; fetched at once when there is one variant",
        "hostler pull ORG/REPO:Q4_K_M",
        "hostler pull ORG/REPO --dry-run     which variants fit this machine",
        "hostler pull https://example.org/model.gguf",
        gateway=False,
    )(pull)


def pull(session: Session, source: Source, dry_run: DryRun = False, yes: Yes = False, revision: Revision = None) -> int:
    """Fetch a model, so that it can be called by its name.

    An interrupted pull goes on where it stopped when it is run again.
    """
    from hostler.models import hub

    asked = hub.reference(source)
    if asked is None:
        return _pull_address(session, source, dry_run)
    if revision is not None:
        asked = msgspec.structs.replace(asked, revision=revision)
    return _pull_from_hub(session, asked, dry_run=dry_run, yes=yes)


def _pull_from_hub(session: Session, asked: Reference, *, dry_run: bool, yes: bool) -> int:
    from hostler.models import hub, variants

    repository = hub.look(asked)
    known, projectors = variants.split(repository.files)
    if not known:
        raise ModelError(
            f"{asked.repo} holds no GGUF model.", hint="Look for a repository of the same model with GGUF in its name."
        )
    known = tuple(v for v in known if asked.file in (None, *(file.path for file in v.files)))
    if not known:
        raise ModelError(f"{asked.repo} holds no model {asked.file}.", hint=f"`hostler pull {asked.repo}` lists them.")
    chosen = variants.choose(known, asked.quant) if asked.quant else None
    chosen = chosen or (variants.usual(known) if yes or len(known) == 1 else None)
    if asked.quant and chosen and not session.json and chosen.label.lower() != asked.quant.lower():
        print(f"There is no {asked.quant}; the nearest is {chosen.label}.")
    projector = variants.projector(projectors)
    folder = _models(session).joinpath(*asked.repo.split("/"))
    wanted = _wanted(repository, folder, [*((projector,) if projector else ()), *(chosen.files if chosen else ())])
    if dry_run or chosen is None:
        offer = _offer(session, repository, known, projector, chosen, wanted)
        _show(session, offer)
        return ExitCode.OK if dry_run else ExitCode.USAGE
    if not session.json:
        print(_said(session, repository, chosen, projector))
    return _fetch_all(session, wanted, folder / chosen.files[0].name)


def _pull_address(session: Session, source: str, dry_run: bool) -> int:
    from hostler.models.answers import sane
    from hostler.models.download import Wanted

    name = unquote(urlsplit(source).path).rpartition("/")[2]
    if not name.lower().endswith(".gguf") or "\0" in name:
        raise InvalidRequest(f"{sane(source)} names no .gguf file.", hint="Give the address of the file itself.")
    wanted = [Wanted(url=source, path=_models(session) / name)]
    if dry_run:
        free = _free(wanted[0].path)
        empty: tuple[VariantInfo, ...] = ()
        _show(
            session,
            Offer(source=sane(source), revision="", variants=empty, projector=None, chosen=name,
                  folder=_models(session), missing=0, free=free),
        )  # fmt: skip
        return ExitCode.OK
    return _fetch_all(session, wanted, wanted[0].path)


def _wanted(repository: Repository, folder: Path, files: Sequence[RemoteFile]) -> list[Wanted]:
    from hostler.models import hub
    from hostler.models.download import Wanted

    sent = hub.headers()
    return [
        Wanted(
            url=hub.address(repository, file),
            path=folder / file.name,
            headers=sent,
            size=file.size,
            sha256=file.sha256,
        )
        for file in files
    ]


def _fetch_all(session: Session, wanted: Sequence[Wanted], first: Path) -> int:
    from hostler.cli.output import write_json
    from hostler.models.answers import sane
    from hostler.models.download import fetch

    _check_space(wanted)
    done: list[Fetched] = []
    with progress(session) as show:
        for each in wanted:
            done.append(fetch(each, show))
    name = _name(session, first)
    if any(file.new for file in done):
        note(session.config, "pull", name, sane(wanted[0].url))
    files = tuple(PulledFile(path=f.path, size=f.size, sha256=f.sha256, new=f.new) for f in done)
    if session.json:
        write_json(Pulled(name=name, files=files))
        return ExitCode.OK
    for file in files:
        print(f"{file.path}{'' if file.new else ' (was there already)'}\n  SHA-256 {file.sha256}")
    print(f'Ready: `hostler chat {name} "Hello"`, or "model": "{name}" in a request.')
    return ExitCode.OK


def _name(session: Session, path: Path) -> str:
    """What the library calls the model that begins with the file ``path``; reads its header, all parts included."""
    from hostler.cli.doctor.library import library
    from hostler.models.gguf import read_facts

    models = library(session.config)
    model = models.find(str(path), models.scan())
    read_facts(model.files)
    return model.name


def _models(session: Session) -> Path:
    from hostler.config import paths

    return paths.home(os.environ, session.config).models


def _free(path: Path) -> int:
    """Bytes free where ``path`` would lie."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def _check_space(wanted: Sequence[Wanted]) -> None:
    from hostler.config.quantities import format_bytes
    from hostler.models.download import missing_bytes

    missing, free = sum(missing_bytes(each) for each in wanted), _free(wanted[0].path)
    if missing and missing + MARGIN > free:
        raise HomeError(
            f"{format_bytes(missing)} are to be fetched; {format_bytes(free)} are free on the disk of "
            f"{wanted[0].path.parent}, of which {format_bytes(MARGIN)} stay free.",
            hint="Free some space, choose a smaller variant, or set HOSTLER_HOME to another disk.",
        )


def _offer(
    session: Session,
    repository: Repository,
    known: tuple[Variant, ...],
    projector: RemoteFile | None,
    chosen: Variant | None,
    wanted: Sequence[Wanted],
) -> Offer:
    from hostler.cli.fitting import Fitting
    from hostler.models.download import missing_bytes

    fitting = Fitting.of(session.config, repository, known, projector)
    shown = tuple(_variant(variant, fitting.of_variant(variant)) for variant in known)
    return Offer(
        source=repository.name,
        revision=repository.commit,
        variants=shown,
        projector=projector.path if projector else None,
        chosen=chosen.label if chosen else None,
        folder=_models(session).joinpath(*repository.name.split("/")),
        missing=sum(missing_bytes(each) for each in wanted),
        free=_free(_models(session)),
    )


def _variant(variant: Variant, outlook: Outlook | None) -> VariantInfo:
    files = tuple(file.path for file in variant.files)
    if outlook is None:
        return VariantInfo(label=variant.label, size=variant.size, files=files, need=None, fits=None)
    speed = outlook.plan.speeds[0] if outlook.plan else None
    return VariantInfo(
        label=variant.label,
        size=variant.size,
        files=files,
        need=outlook.need,
        fits=outlook.plan is not None,
        over=outlook.over,
        where=outlook.words(),
        decode=speed.decode.value if speed else None,
        prefill=speed.prefill.value if speed else None,
        spilled=outlook.spilled,
        about=outlook.about,
    )


def _said(session: Session, repository: Repository, chosen: Variant, projector: RemoteFile | None) -> str:
    """What is about to be fetched, and whether it will fit."""
    from hostler.cli.fitting import Fitting
    from hostler.config.quantities import format_bytes

    told = Fitting.of(session.config, repository, (chosen,), projector).words(chosen)
    also = f", and {projector.name}" if projector else ""
    return f"{repository.name} {chosen.label}: {format_bytes(chosen.size)}{also}{f'; {told}' if told else ''}."


def _show(session: Session, offer: Offer) -> None:
    from rich.text import Text

    from hostler.cli import output

    if session.json:
        output.write_json(offer)
        return
    if offer.variants:
        shown = output.table(
            "VARIANT", "SIZE", "TOK/S", "PROMPT", "ON THIS MACHINE", right=("SIZE", "TOK/S", "PROMPT"),
            fold="ON THIS MACHINE",
        )  # fmt: skip
        for each in offer.variants:
            mark = "*" if each.label == offer.chosen else ""
            place = Text(each.where or "-", style="red" if each.fits is False else "yellow" if each.spilled else "")
            speeds = (output.rate(each.decode), output.rate(each.prefill))
            shown.add_row(Text(each.label + mark), output.size(each.size), *speeds, place)
        output.console(session).print(shown)
    if offer.projector:
        print(f"With images: {offer.projector} comes along.")
    if offer.chosen is None:
        print(f"Name one: `hostler pull {offer.source}:{offer.variants[0].label}`, or `--yes` for the usual one.")
    else:
        print(f"{output.size(offer.missing)} to fetch into {offer.folder}; {output.size(offer.free)} are free.")
