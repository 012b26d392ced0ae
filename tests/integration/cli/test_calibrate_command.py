"""`hostler calibrate`, with a fake engine whose speed is set."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from cli_run import Run

from hostler.cli.calibrating import Calibrated
from hostler.testing.builds import write_build
from hostler.testing.gguf_files import write_tiny_gguf


@pytest.fixture
def configured(home: Path, tmp_path: Path) -> Path:
    """Two profiles on a fake engine of 200 tokens/s, one of which answers with vectors, and one without a model."""
    build = write_build(tmp_path, rate=200.0)
    model = write_tiny_gguf(tmp_path / "tiny.gguf")
    engine = f'engine = {{ build = "{build}" }}\n'
    (home / "hostler.toml").write_text(
        f'[profiles.tiny]\nmodel = "{model}"\ntask = "completion"\ncontext = 1024\naliases = ["small"]\n{engine}'
        f'[profiles.vectors]\nmodel = "{model}"\ntask = "embedding"\ncontext = 1024\n{engine}'
        f'[profiles.gone]\nmodel = "{tmp_path}/gone.gguf"\n'
    )
    return home


def calibrated(run: Run, *arguments: str) -> list[Calibrated]:
    done = run("calibrate", *arguments, "--anyway", "--json")
    assert done.exit_code == 0, done.stderr
    return msgspec.json.decode(done.stdout, type=list[Calibrated])


def test_what_is_measured_is_predicted_from_then_on(run: Run, configured: Path) -> None:
    (before,) = calibrated(run, "tiny", "--check")
    assert not before.learnt
    assert before.source.startswith("prior")
    (learnt,) = calibrated(run)
    assert (learnt.profile, learnt.device, learnt.learnt) == ("tiny", "host", True)
    assert learnt.source.startswith("fitted")
    (row,) = learnt.rows
    assert row.depth == 0
    assert row.decode.measured == pytest.approx(200, rel=0.2)
    (after,) = calibrated(run, "small", "--check")
    assert after.source == learnt.source
    assert list((configured / "cache" / "hardware").glob("*.speed.json"))


def test_the_table_tells_measured_and_predicted(run: Run, configured: Path) -> None:
    done = run("calibrate", "tiny", "--anyway")
    assert done.exit_code == 0, done.stderr
    assert "tokens/s at" in done.stderr
    assert "decode t/s" in done.stdout


def test_what_could_not_be_kept_is_not_measured(run: Run, configured: Path) -> None:
    # It measured for minutes and then told that the folder cannot be written.
    (configured / "cache").mkdir()
    (configured / "cache" / "hardware").write_text("a file where a folder should be")
    done = run("calibrate", "tiny", "--anyway")
    assert done.exit_code == 1
    assert "could not be kept" in done.stderr
    assert "loading" not in done.stderr
    compared = run("calibrate", "tiny", "--anyway", "--check")
    assert compared.exit_code == 0, compared.stderr
    assert "decode t/s" in compared.stdout


def test_what_cannot_be_kept_after_all_is_not_called_learnt(run: Run, configured: Path) -> None:
    # On a full disk it said that plans now use what was measured, and they did not.
    assert run("calibrate", "tiny", "--anyway").exit_code == 0
    (kept,) = (configured / "cache" / "hardware").glob("*.speed.json")
    kept.unlink()
    kept.mkdir()  # nothing can be put in its place, and yet the folder takes files
    done = run("calibrate", "tiny", "--anyway")
    assert done.exit_code == 1
    assert "could not be kept" in done.stderr
    assert "now use" not in done.stdout
    assert "decode t/s" in done.stdout


def test_what_generates_nothing_cannot_be_measured(run: Run, configured: Path) -> None:
    done = run("calibrate", "vectors")
    assert done.exit_code == 1
    assert "vectors or scores" in done.stderr
    assert "Traceback" not in done.stderr
    unknown = run("calibrate", "nothing")
    assert unknown.exit_code == 1
    (configured / "hostler.toml").write_text("")
    empty = run("calibrate")
    assert empty.exit_code == 1
    assert "hostler starters fetch" in empty.stderr
