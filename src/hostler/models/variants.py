"""The variants of a model in one repository: which files make one, and which one a person means. Pure."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from hostler.errors import DownloadFailed
from hostler.models.naming import part_name

# The usual choice: the smallest quantisation whose loss most people do not notice.
USUAL = "Q4_K_M"

_LABEL = re.compile(
    r"(?i)(?<![a-z0-9])((?:UD-)?(?:I?Q\d(?:_[0-9KMSLX]+)*(?:_XL|_XXS|_XS|_NL|_S|_M|_L)?|TQ\d_\d|MXFP4(?:_MOE)?|NVFP4|BF16|F16|FP16|F32))(?![a-z0-9])"
)
_PROJECTOR_TYPES = ("F16", "BF16", "Q8_0", "F32")


class RemoteFile(msgspec.Struct, frozen=True):
    """A file of a repository; ``sha256`` where the hub knows it (large files)."""

    path: str
    size: int
    sha256: str | None = None

    @property
    def name(self) -> str:
        """Without its folders."""
        return self.path.rpartition("/")[2]


class Variant(msgspec.Struct, frozen=True):
    """One quantisation: its label and all its files in order."""

    label: str
    files: tuple[RemoteFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def label_of(path: str) -> str:
    """``folder/X-UD-Q5_K_XL-00001-of-00002.gguf`` is ``UD-Q5_K_XL``; the name itself when it tells no type."""
    base = part_name(path.rpartition("/")[2]).base
    found: list[str] = _LABEL.findall(base) or _LABEL.findall(path)
    return found[-1].upper() if found else base


def split(files: Sequence[RemoteFile]) -> tuple[tuple[Variant, ...], tuple[RemoteFile, ...]]:
    """The variants, smallest first, and the projectors. Variants with missing parts are left out.

    Two variants of one label (several models in a repository) are told apart by their file names.
    """
    models = [file for file in files if file.name.lower().endswith(".gguf")]
    projectors = tuple(file for file in models if "mmproj" in file.name.lower())
    groups: dict[tuple[str, int], list[RemoteFile]] = defaultdict(list)
    for file in sorted(set(models) - set(projectors), key=lambda file: file.path):
        parts = part_name(file.name)
        groups[file.path.removesuffix(file.name) + parts.base, parts.total].append(file)
    whole = {base: tuple(found) for (base, total), found in groups.items() if len(found) == total}
    labels = [label_of(base) for base in whole]
    named = [
        Variant(label if labels.count(label) == 1 else base.rpartition("/")[2], found)
        for label, (base, found) in zip(labels, whole.items(), strict=True)
    ]
    return tuple(sorted(named, key=lambda variant: (variant.size, variant.label))), projectors


def projector(candidates: Sequence[RemoteFile]) -> RemoteFile | None:
    """The one to take: F16 is exact enough and half the size of F32."""
    order = {label: place for place, label in enumerate(_PROJECTOR_TYPES)}
    return min(candidates, key=lambda f: (order.get(label_of(f.path), len(order)), f.path), default=None)


def choose(variants: Sequence[Variant], asked: str) -> Variant:
    """The variant that ``asked`` means: exact, else the nearest. Raises DownloadFailed when none is near.

    1. The label, without regard to case and punctuation (`q4km`). 2. Those that begin or end so: the usual one
    among them, else the largest. 3. The most similar label, one of as many bits if there is.
    """
    wanted = _plain(asked)
    by_name = {_plain(variant.label): variant for variant in variants}
    if wanted in by_name:
        return by_name[wanted]
    near = [variant for name, variant in by_name.items() if wanted and (name.startswith(wanted) or wanted in name)]
    if near:
        return usual(near) or near[-1]
    bits = "".join(filter(str.isdigit, wanted))[:1]
    alike = [name for name in by_name if bits and bits in name]
    similar = difflib.get_close_matches(wanted, alike or by_name, n=1, cutoff=0.3 if alike else 0.6)
    if similar:
        return by_name[similar[0]]
    there = ", ".join(variant.label for variant in variants)
    raise DownloadFailed(f"There is no variant {asked!r}.", hint=f"There are: {there}.")


def usual(variants: Sequence[Variant]) -> Variant | None:
    """The sensible default: the only one, Q4_K_M, or whichever is called so with a prefix."""
    if len(variants) == 1:
        return variants[0]
    exact = [variant for variant in variants if variant.label == USUAL]
    return next(iter(exact or [variant for variant in variants if USUAL in variant.label.upper()]), None)


def _plain(label: str) -> str:
    return re.sub(r"[^a-z0-9]", "", label.lower())
