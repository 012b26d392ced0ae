"""The defects of engines that are put right on the way to clients, and what a build is asked to show them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec

Defect = Literal[
    "lost_role",
    "lost_message_start",
    "misnamed_stop",
    "unnumbered_events",
    "bare_responses",
    "ignored_text_format",
    "ignored_dimensions",
    "misplaced_blame",
    "misplaced_blame_of_vectors",
    "foreign_errors",
]
#: What a build is known to be free of that nobody knows.
UNKNOWN: Final[frozenset[Defect]] = frozenset()
#: Whether an answer, by its status and its whole body, shows that a defect is not there (True), that it is (False), or
#: neither (None).
Judge = Callable[[int, bytes], bool | None]


class Probe(msgspec.Struct, frozen=True):
    """A question that shows a defect: what is sent where, and who judges the answer.

    ``computes`` tells that it takes a slot for a few tokens.
    """

    defect: Defect
    path: str
    body: object
    judge: Judge
    computes: bool = True


def verdict(said: Sequence[bool | None]) -> bool | None:
    """What the answers to several questions come to: a defect that shows once is there."""
    if False in said:
        return False
    return None if None in said else True
