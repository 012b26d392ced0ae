"""The menu of profiles: what it offers at each level, running ones marked. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from rich.text import Text

from hostler.cli.listing import FOUND
from hostler.cli.output import rate
from hostler.cli.top.marks import BAD, DIM, GOOD, WARN, cut, short_size
from hostler.config.quantities import format_seconds
from hostler.wire.management import ProfileInfo

Verb = Literal["load", "switch"]
RUNNING, PARTLY, IDLE = "●", "◐", " "


class ProfileEntry(msgspec.Struct, frozen=True):
    """A profile; ``refusal`` says why it cannot be chosen, empty when it can."""

    profile: ProfileInfo
    refusal: str = ""


class GroupEntry(msgspec.Struct, frozen=True):
    """A group: opens a menu of its own."""

    name: str
    members: tuple[ProfileInfo, ...]


Entry = ProfileEntry | GroupEntry


def entries(profiles: Sequence[ProfileInfo], group: str = "", words: str = "") -> list[Entry]:
    """What one level of the menu offers; hidden profiles are left out.

    With ``words``, every profile that has them all in its name, group or description, whatever its group. Else
    the members of ``group``; at the top profiles without a group, then the groups, found models last.
    """
    shown = [profile for profile in profiles if not profile.hidden]
    if words.strip():
        return [_entry(profile) for profile in shown if _matches(profile, words)]
    if group:
        return [_entry(profile) for profile in shown if heading(profile) == group]
    names = dict.fromkeys(heading(profile) for profile in shown if heading(profile))
    ordered = sorted(names, key=lambda name: name == FOUND)
    groups = [GroupEntry(name, tuple(p for p in shown if heading(p) == name)) for name in ordered]
    return [*(_entry(profile) for profile in shown if not heading(profile)), *groups]


def heading(profile: ProfileInfo) -> str:
    """The group that a profile is shown in; empty at the top."""
    return profile.group or ("" if profile.origin == "config" else FOUND)


def running(profile: ProfileInfo) -> bool:
    """Whether there is an engine for it, or soon is."""
    return profile.state in ("starting", "loading", "ready")


def label(entry: Entry, width: int) -> Text:
    """The entry's line."""
    match entry:
        case GroupEntry(name=name, members=members):
            active = sum(map(running, members))
            mark = PARTLY if active else IDLE
            words = f"{len(members)} profiles" if len(members) != 1 else "1 profile"
            line = Text(f"{mark} ", style=GOOD).append(f"{name} ›", style="bold").append(f"  {words}", style=DIM)
            return cut(line.append(f", {active} loaded" if active else "", style=GOOD), width)
        case ProfileEntry(profile=profile, refusal=refusal):
            return cut(_profile(profile, refusal), width)


def _profile(profile: ProfileInfo, refusal: str) -> Text:
    line = Text().append(f"{RUNNING if running(profile) else IDLE} ", style=GOOD)
    line.append(cut(Text(profile.name), max(18, len(profile.name))))
    line.append("*" if profile.default else " ", style=DIM)
    if refusal:
        return line.append(f" {refusal}", style=BAD)
    line.append(f" {short_size(profile.size):>6}", style=DIM)
    line.append(f" {rate(profile.tokens_per_s):>5} tok/s" if profile.tokens_per_s else " " * 12, style=DIM)
    if profile.state != "unloaded":
        line.append(f" {profile.state}", style=GOOD if profile.state == "ready" else WARN)
    elif profile.parked is not None:
        line.append(f" parked, back in {format_seconds(round(profile.parked.load_s, 1))}", style=DIM)
    return line.append(f" {profile.description}", style=DIM)


def _entry(profile: ProfileInfo) -> ProfileEntry:
    """A profile whose model cannot be read is shown, with the reason, and cannot be chosen."""
    return ProfileEntry(profile, profile.problem.message if profile.problem else "")


def _matches(profile: ProfileInfo, words: str) -> bool:
    text = " ".join((profile.name, *profile.aliases, heading(profile), profile.description)).lower()
    return all(word in text for word in words.lower().split())
