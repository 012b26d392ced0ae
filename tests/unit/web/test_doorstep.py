"""The doorstep page: self-contained, well-formed, and its script finds what it looks for."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from hostler.gateway.web.page import page, wants_page

VOID = {"meta", "link", "input", "path", "rect", "br", "img"}


class Reader(HTMLParser):
    """Collects ids, attributes and unbalanced tags."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text() -> str:
    return page().body.decode()


@pytest.fixture(scope="module")
def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


def test_tags_are_balanced_and_ids_unique(read: Reader) -> None:
    assert read.open == []
    assert len(read.ids) == len(set(read.ids))


def test_the_script_finds_what_it_looks_for(text: str, read: Reader) -> None:
    wanted = set(re.findall(r'\$\("([\w-]+)"\)', text))
    assert len(wanted) > 10
    assert wanted <= set(read.ids)


def test_nothing_is_loaded_from_elsewhere(text: str, read: Reader) -> None:
    loaded = [value for _, name, value in read.attributes if name in ("src", "href", "srcset", "action", "data")]
    assert all(value.startswith(("/", "#", "data:")) for value in loaded)
    without_namespace = text.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|url\(|@import|\bimport\(", without_namespace)


def test_the_policy_allows_exactly_this_script_and_style(text: str, read: Reader) -> None:
    headers = dict(page().headers)
    policy = headers[b"content-security-policy"].decode()
    for kind in ("script", "style"):
        (block,) = re.findall(rf"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")
    assert not [name for _, name, _ in read.attributes if name == "style" or name.startswith("on")]


def test_text_of_others_never_becomes_markup(text: str) -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text)


def test_form_fields_have_names_for_screen_readers(text: str) -> None:
    for tag in re.findall(r"<(?:input|textarea|select)\b[^>]*>", text):
        assert "aria-label=" in tag, tag


def test_the_page_is_small() -> None:
    assert len(page().body) < 64_000


def test_only_browsers_get_it() -> None:
    assert wants_page(b"text/html,application/xhtml+xml,*/*;q=0.8")
    assert not wants_page(b"*/*")
    assert not wants_page(b"")
