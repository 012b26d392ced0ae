"""The page on troubleshooting says what the classes of failure say."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostler.engines.failures import CAUSES, page

ROOT = Path(__file__).parents[3]


def test_the_page_is_up_to_date() -> None:
    text = (ROOT / page.PAGE).read_text("utf-8")
    assert page.written(text) == text, f"run `{page.COMMAND}`"
    for cause in CAUSES:
        assert f"- cause: `{cause.id}`," in text


def test_check_says_what_is_out_of_date_and_writing_mends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / page.PAGE
    file.parent.mkdir()
    file.write_text(f"# Mine\n\n{page.BEGIN}forsaken\n{page.END}\n\nMine too.\n")
    assert page.main(["--root", str(tmp_path), "--check"]) == 1
    assert page.COMMAND in capsys.readouterr().err
    assert page.main(["--root", str(tmp_path)]) == 0
    assert page.main(["--root", str(tmp_path), "--check"]) == 0
    text = file.read_text()
    assert text.startswith("# Mine\n")
    assert text.endswith("Mine too.\n")
    assert "forsaken" not in text


def test_a_page_without_a_place_for_it_is_refused() -> None:
    with pytest.raises(ValueError, match="no section"):
        page.written("# Mine\n")
