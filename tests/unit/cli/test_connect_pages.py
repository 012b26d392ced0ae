"""The pages of clients show the very files that `hostler connect` writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostler.cli.connect.client import Places, Target, shown
from hostler.cli.connect.composing import composed
from hostler.cli.connect.known import CLIENTS

PAGES = Path(__file__).parents[3] / "docs" / "clients"
PLACES = Places(home=Path("/home/you"), own=Path("/home/you/.local/state/hostler/clients"), environ={})
TARGET = Target(url="http://127.0.0.1:4785", model="coder", small="coder", context=65_536)


@pytest.mark.parametrize("name", CLIENTS)
def test_a_page_shows_what_is_written(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text("utf-8")
    for wanted in CLIENTS[name].files(TARGET, PLACES):
        assert shown(wanted.path, PLACES) in page
        assert f"\n{composed(wanted, None)}```" in page
    assert CLIENTS[name].start(TARGET, PLACES) in page


def test_the_overview_names_every_client() -> None:
    page = (PAGES / "index.md").read_text("utf-8")
    assert all(f"]({name}.md)" in page and f"hostler connect {name}`" in page for name in CLIENTS)


@pytest.mark.parametrize("page", sorted(set(PAGES.glob("*.md")) - {PAGES / "index.md", PAGES / "matrix.md"}))
def test_a_page_says_when_a_local_model_is_worth_it_and_when_one_elsewhere(page: Path) -> None:
    text = page.read_text("utf-8").partition("## When it is worth it\n")[2]
    assert "*A local model*: " in text
    assert "*One in the cloud*: " in text
