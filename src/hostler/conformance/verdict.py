"""All that a run found, and whether a promise was broken."""

from __future__ import annotations

import msgspec

from hostler.conformance.checks.check import Checked
from hostler.conformance.own import OwnGateway
from hostler.conformance.report import StormReport, Violation


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """``version`` is empty for a server that is no gateway of ours; ``ended`` what its end broke."""

    url: str
    version: str
    checks: tuple[Checked, ...] = ()
    storm: StormReport | None = None
    ended: tuple[Violation, ...] = ()
    ok: bool = True


def verdict(
    url: str, version: str, checks: tuple[Checked, ...], storm: StormReport | None, ended: tuple[Violation, ...] = ()
) -> Verdict:
    """With ``ok`` as it follows."""
    failed = any(check.outcome == "failed" for check in checks)
    broken = bool(ended) or (storm is not None and bool(storm.violations))
    return Verdict(url=url, version=version, checks=checks, storm=storm, ended=ended, ok=not failed and not broken)


def ended(found: Verdict, own: OwnGateway) -> Verdict:
    """With how its gateway ended: with status 0, and no process left."""
    broken = [Violation(kind="left behind", what=f"a process outlived the gateway: {line}") for line in own.left]
    if own.ended != 0:
        broken.append(Violation(kind="left behind", what=f"the gateway ended with {own.ended}"))
    return verdict(found.url, found.version, found.checks, found.storm, tuple(broken))
