"""Sections of a page that a measurement writes, the text around them is a person's."""

from __future__ import annotations


def replaced(page: str, name: str, section: str) -> str:
    """``page`` with what lies between ``<!-- name -->`` and ``<!-- /name -->`` replaced.

    ValueError when the page has no such section.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, found, rest = page.partition(begin)
    _old, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the page has no section {name}: expected {begin.strip()} and {end}")
    return f"{before}{begin}\n{section}\n\n{end}{after}"
