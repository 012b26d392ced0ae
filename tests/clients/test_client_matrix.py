"""The matrix of clients in the docs is what the last run showed, and nothing is left out of it."""

from __future__ import annotations

import pytest
from client_matrix import DATA, FEATURES, PAGE, SUBJECTS, Run, Shown, page, read


def test_the_page_is_the_recorded_run() -> None:
    assert PAGE.read_text("utf-8") == page(read()), f"`make test-clients` writes {PAGE.name} and {DATA.name}"


def test_every_client_was_shown_with_its_version_or_says_what_it_lacks() -> None:
    run = read()
    shown = {(each.client, each.feature) for each in run.shown}
    lacking = {(name, feature) for name, subject in SUBJECTS.items() for feature in subject.lacks}
    assert shown | lacking == {(name, feature) for name in SUBJECTS for feature in FEATURES}
    assert shown & lacking == set()
    assert set(run.versions) == set(SUBJECTS)


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_client_has_a_page(name: str) -> None:
    assert (PAGE.parent / SUBJECTS[name].page).is_file()


def test_a_gap_has_its_reason_below_the_table() -> None:
    gap = Shown(client="llm", feature="stream", outcome="not yet", why="It is slow")
    text = page(Run(versions={"llm": "1.2"}, shown=(gap,)))
    assert "| [llm](llm.md) | 1.2 | chat |" in text
    assert "It is slow." in text
    assert "It uses none." in text
