"""Captures: bounded, redacted, private, and only of what was opened."""

from __future__ import annotations

import stat
from pathlib import Path

import anyio
import anyio.lowlevel
import msgspec
import pytest

from hostler.ledger import captures
from hostler.ledger.captures import FILES, READ_LIMIT, TEXT_LIMIT, WAITING, Capture, Captures, captured, clear, redacted
from hostler.wire.management import RequestRecord

pytestmark = pytest.mark.anyio

ROW = RequestRecord(
    id="req-1", at=1_000.5, principal="local", profile="coder", api="chat", status=200, tokens_in=12, tokens_cached=4,
    tokens_out=3, queue_ms=10.0, load_ms=0.0, first_byte_ms=50.0, total_ms=150.0, cancelled=False,
)  # fmt: skip


def keep(kept: Captures, asked: bytes, *answer: bytes, row: RequestRecord = ROW) -> list[bytes]:
    """One request from its beginning to its end; what its client got."""
    got: list[bytes] = []
    write = kept.open(row.id, asked).before(got.append)
    for piece in answer:
        write(piece)
    kept.take(row)
    return got


def entries(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_what_was_asked_and_answered_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "captures"
    kept = Captures(folder)
    assert keep(kept, b'{"a": "\xc3\xbc"}', b"one ", b"two") == [b"one ", b"two"]
    kept.take(msgspec.structs.replace(ROW, id="req-2"))  # of a profile that is not captured
    kept.close()
    ((path, capture),) = captured(folder)
    assert capture == Capture(
        id="req-1", at=1_000.5, principal="local", profile="coder", api="chat", status=200, asked='{"a": "ü"}',
        answered="one two", cut=False,
    )  # fmt: skip
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(folder.stat().st_mode)) == (0o600, 0o700)


async def test_texts_are_bounded_and_bytes_that_are_none_are_counted(tmp_path: Path) -> None:
    kept = Captures(tmp_path)
    got = keep(kept, b"a b " * TEXT_LIMIT, *[b"c d " * 1000] * 3000)
    keep(kept, b"", b"RIFF\0\0", row=msgspec.structs.replace(ROW, id="req-2"))
    assert len(b"".join(got)) == 12_000_000 > READ_LIMIT
    kept.close()
    long, sound = (capture for _, capture in captured(tmp_path))
    assert (len(long.asked), len(long.answered), long.cut) == (TEXT_LIMIT, TEXT_LIMIT, True)
    assert (sound.answered, sound.cut) == ("[6 bytes]", True)


async def test_the_oldest_go_when_there_are_too_many(tmp_path: Path) -> None:
    folder = tmp_path / "captures"
    folder.mkdir()
    for number in range(FILES + 2):
        (folder / f"{number:013d}-req-{number}.json").write_bytes(b"{}")
    kept = Captures(folder)
    keep(kept, b"newest", row=msgspec.structs.replace(ROW, at=2_000_000_000.0))
    kept.close()
    names = sorted(path.name for path in entries(folder))
    assert len(names) == FILES
    assert names[0] == "0000000000003-req-3.json"
    assert [capture.asked for _, capture in captured(folder)] == ["newest"]


async def test_what_cannot_be_written_in_time_or_at_all_costs_no_request(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    kept = Captures(tmp_path / "file")
    for number in range(2 * WAITING):
        assert keep(kept, b"x", b"y", row=msgspec.structs.replace(ROW, id=f"req-{number}")) == [b"y"]
    kept.close()


async def test_that_one_cannot_be_written_is_known_until_one_was(tmp_path: Path) -> None:
    (tmp_path / "captures").write_text("in the way")
    kept = Captures(tmp_path / "captures")

    async def problem_is(there: bool) -> None:
        with anyio.fail_after(20):
            while bool(kept.problem) != there:
                await anyio.lowlevel.checkpoint()

    keep(kept, b"{}")
    await problem_is(True)
    (tmp_path / "captures").unlink()
    keep(kept, b"{}")
    await problem_is(False)
    kept.close()


async def test_clearing_all_or_a_profiles(tmp_path: Path) -> None:
    kept = Captures(tmp_path)
    for number, profile in enumerate(("a", "b", "a")):
        keep(kept, b"x", row=msgspec.structs.replace(ROW, id=f"req-{number}", profile=profile))
    kept.close()
    assert clear(tmp_path, "a") == 2
    assert [capture.profile for _, capture in captured(tmp_path)] == ["b"]
    assert clear(tmp_path) == 1
    assert clear(tmp_path / captures.FOLDER) == 0


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("sk-" + "a1" * 12, "[secret]"),
        ("use ghp_" + "Zz9" * 9 + " here", "use [secret] here"),
        ("Authorization: Bearer " + "x.y" * 8, "Authorization: Bearer [secret]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc", "[secret]"),
        ("-----BEGIN RSA PRIVATE KEY-----\\nMII\\n-----END RSA PRIVATE KEY-----.", "[secret]."),
        ("-----BEGIN PRIVATE KEY-----\nMII that was cut", "[secret]"),
        ('{"db_password": "hunter2", "max_tokens": 5}', '{"db_password": "[secret]", "max_tokens": 5}'),
        (r'"{\"api_key\": \"abc\"}"', r'"{\"api_key\": \"[secret]\"}"'),
        ("data:image/png;base64," + "iVBO" * 200, "data:image/png;base64,[800 characters]"),
        ("a task-oriented risk-averse sentence, sk-short", "a task-oriented risk-averse sentence, sk-short"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str, left: str) -> None:
    assert redacted(text) == left
