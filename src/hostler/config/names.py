"""What a client's ``model`` means: profile names, aliases, patterns, and the forms that clients make of them."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Sequence

import msgspec

from hostler.errors import UnknownProfile

LONGEST_NAME = 128
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*")
CACHED = 1024
SUGGESTED = 5
LATEST = ":latest"
_LONGEST = 256
_WILD = re.compile(r"\[[^\]]*\]|[*?]")


class _Pattern(msgspec.Struct, frozen=True):
    exact: re.Pattern[str]
    folded: re.Pattern[str]
    literal: int
    profile: str


def is_pattern(alias: str) -> bool:
    """Whether ``alias`` stands for many names."""
    return any(character in alias for character in "*?[")


class Names:
    """Resolves names to profiles.

    ``entries`` are (profile, aliases) in order of preference: the config's profiles in file order, then found
    models. Where two entries claim a name the earlier one has it, so an alias in the file wins over a model
    that happens to be called so.

    1. the exact name or alias
    2. the same without ``:latest``
    3. the same in other case, then also without ``:latest``
    4. patterns (``claude-*``): the one with the longest literal part, then the earlier one
    5. patterns in other case
    """

    def __init__(self, entries: Iterable[tuple[str, Sequence[str]]]) -> None:
        self._exact: dict[str, str] = {}
        self._patterns: list[_Pattern] = []
        for profile, aliases in entries:
            self._exact.setdefault(profile, profile)
            for alias in aliases:
                if is_pattern(alias):
                    self._patterns.append(_pattern(alias, profile))
                else:
                    self._exact.setdefault(alias, profile)
        # Sorting is stable: among equally specific patterns the order of the entries stays.
        self._patterns.sort(key=lambda pattern: -pattern.literal)
        self._folded: dict[str, str] = {}
        for name, profile in self._exact.items():
            self._folded.setdefault(name.casefold(), profile)
        self._cache: dict[str, str] = {}

    def resolve(self, name: str) -> str:
        """The profile that ``name`` means; UnknownProfile with the nearest names when there is none.

        One dictionary look-up for a name that was resolved before.
        """
        cached = self._cache.get(name)
        if cached is not None:
            return cached
        profile = self.find(name)
        if profile is None:
            raise self._unknown(name)
        if len(self._cache) >= CACHED:
            # A client that sends ever new names under a pattern must not grow this for ever.
            self._cache.clear()
        self._cache[name] = profile
        return profile

    def find(self, name: str) -> str | None:
        """The profile that ``name`` means; None when there is none."""
        if len(name) > _LONGEST:
            return None
        short = name.removesuffix(LATEST)
        return (
            self.named(name)
            or next((p.profile for p in self._patterns if p.exact.match(name) or p.exact.match(short)), None)  # 4.
            or next((p.profile for p in self._patterns if p.folded.match(name) or p.folded.match(short)), None)  # 5.
        )

    def named(self, name: str) -> str | None:
        """The profile that has this very name, or alias; None when there is none."""
        return (
            self._exact.get(name)  # 1.
            or self._exact.get(name.removesuffix(LATEST))  # 2.
            or self._folded.get(name.casefold())  # 3.
            or self._folded.get(name.casefold().removesuffix(LATEST))
        )

    def _unknown(self, name: str) -> UnknownProfile:
        shown = name if len(name) <= _LONGEST else name[:_LONGEST] + "..."
        close = self.nearest(name)
        ask = f" Did you mean {', '.join(close)}?" if close else ""
        return UnknownProfile(f'No profile is named "{shown}".{ask}')

    def nearest(self, name: str) -> list[str]:
        """Up to five names and aliases that look like ``name``, the most alike first."""
        folded = {known.casefold(): known for known in reversed(self._exact)}
        wanted = name[:128].casefold()
        inside = [known for key, known in folded.items() if len(wanted) >= 3 and wanted in key]
        alike = [folded[key] for key in difflib.get_close_matches(wanted, folded, SUGGESTED, 0.5)]
        return list(dict.fromkeys([*alike, *inside]))[:SUGGESTED]


def _pattern(alias: str, profile: str) -> _Pattern:
    text = fnmatch.translate(alias)
    literal = len(_WILD.sub("", alias))
    return _Pattern(re.compile(text), re.compile(text, re.IGNORECASE), literal, profile)
