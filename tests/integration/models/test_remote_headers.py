"""Headers over HTTP: the same facts as of the local file, few bytes, and clear words for every bad answer."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import Server, serving

from hostler.errors import DownloadFailed, ModelError
from hostler.models.gguf import read_facts, read_shape
from hostler.models.remote import FIRST_LOOK, Limits, read_remote
from hostler.testing.gguf_files import write_sparse_gguf
from hostler.testing.quantising import quantised
from hostler.testing.zoo import GPT_OSS_120B, LLAMA_3_1_8B

pytestmark = pytest.mark.anyio

QUICK = Limits(wait_s=10, pause_s=0.01, total_s=30)
NAME = "gpt-oss-120b-MXFP4.gguf"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "files"
    GPT_OSS_120B.write(folder, "MXFP4")
    with serving(folder) as state:
        yield state


def wordy(folder: Path, words: int = 400_000) -> Path:
    """A model with a vocabulary of about 5 MiB, so that the first look is too short."""
    metadata = LLAMA_3_1_8B.metadata("Q8_0") | {"tokenizer.ggml.tokens": ["word"] * words}
    return write_sparse_gguf(folder / "wordy.gguf", metadata, quantised(LLAMA_3_1_8B.tensors(), "Q8_0", 32))


def split(folder: Path) -> list[Path]:
    """Llama in three parts, as `llama-gguf-split` makes them."""
    tensors = quantised(LLAMA_3_1_8B.tensors(), "Q4_K_M", 32)
    paths = []
    for number in range(3):
        own = {"split.no": number, "split.count": 3, "split.tensors.count": len(tensors)}
        metadata = (LLAMA_3_1_8B.metadata("Q4_K_M") if number == 0 else {}) | own
        path = folder / f"Llama 8B-{number + 1:05}-of-00003.gguf"
        paths.append(
            write_sparse_gguf(path, metadata, tensors[number * 100 : 100 + number * 100 if number < 2 else None])
        )
    return paths


async def test_the_same_as_the_local_file(server: Server) -> None:
    """59 GiB are known by the first 2 MiB."""
    found = await read_remote(f"{server.url}/{NAME}")
    local = [server.folder / NAME]
    assert found.shape == read_shape(local)
    assert found.facts == read_facts(local)
    assert found.size == local[0].stat().st_size
    assert found.fetched == FIRST_LOOK
    assert len(server.asked) == 1


async def test_more_is_fetched_until_the_table_is_whole(server: Server) -> None:
    path = wordy(server.folder)
    found = await read_remote(f"{server.url}/wordy.gguf", limits=QUICK)
    assert found.shape == read_shape([path])
    assert [asked[1] for asked in server.asked] == [
        f"bytes=0-{FIRST_LOOK - 1}",
        f"bytes={FIRST_LOOK}-{2 * FIRST_LOOK - 1}",
        f"bytes={2 * FIRST_LOOK}-{4 * FIRST_LOOK - 1}",
    ]


async def test_a_server_without_ranges_is_not_read_to_the_end(server: Server) -> None:
    server.manners.ranges = False
    path = wordy(server.folder)
    found = await read_remote(f"{server.url}/wordy.gguf", limits=QUICK)
    assert (found.shape, found.size) == (read_shape([path]), path.stat().st_size)
    assert server.sent < 64 * 2**20


@pytest.mark.parametrize("ranges", [True, False])
async def test_a_server_that_does_not_say_the_size(server: Server, ranges: bool) -> None:
    server.manners.unknown_size, server.manners.ranges = True, ranges
    found = await read_remote(f"{server.url}/{NAME}", limits=QUICK)
    assert found.size == (server.folder / NAME).stat().st_size


@pytest.mark.parametrize("asked", [1, 3])
async def test_all_parts_by_the_name_of_one(server: Server, asked: int) -> None:
    paths = split(server.folder)
    found = await read_remote(f"{server.url}/a%20b/Llama%208B-0000{asked}-of-00003.gguf?download=true", limits=QUICK)
    assert found.shape == read_shape(paths)
    assert found.size == sum(path.stat().st_size for path in paths)
    assert len(found.urls) == 3
    assert all(url.endswith(".gguf?download=true") for url in found.urls)


async def test_a_missing_part_is_named(server: Server) -> None:
    split(server.folder)[1].unlink()
    with pytest.raises(DownloadFailed, match=r"00002-of-00003\.gguf has no such file"):
        await read_remote(f"{server.url}/Llama%208B-00001-of-00003.gguf", limits=QUICK)


@pytest.mark.parametrize(
    ("status", "words"), [(401, "token"), (403, "token"), (404, "no such file"), (410, "no such file"), (418, "418")]
)
async def test_answers_that_end_it(server: Server, status: int, words: str) -> None:
    server.manners.failures, server.manners.status = 99, status
    with pytest.raises(DownloadFailed, match=words):
        await read_remote(f"{server.url}/{NAME}", limits=QUICK)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_answers_that_pass(server: Server, status: int) -> None:
    server.manners.failures, server.manners.status = 2, status
    assert (await read_remote(f"{server.url}/{NAME}", limits=QUICK)).facts.layers == 36


@pytest.mark.parametrize("status", [429, 500])
async def test_answers_that_do_not_pass(server: Server, status: int) -> None:
    server.manners.failures, server.manners.status = 99, status
    with pytest.raises(DownloadFailed, match=str(status)):
        await read_remote(f"{server.url}/{NAME}", limits=QUICK)
    assert len(server.asked) == 3


async def test_a_page_instead_of_a_file(server: Server) -> None:
    server.manners.page = True
    with pytest.raises(DownloadFailed, match="web page"):
        await read_remote(f"{server.url}/{NAME}", limits=QUICK)
    server.manners.page = False
    (server.folder / "page.gguf").write_bytes(b"<!DOCTYPE html><html>Sign in</html>")
    with pytest.raises(ModelError, match="HTML page"):
        await read_remote(f"{server.url}/page.gguf", limits=QUICK)


async def test_a_token_stays_with_the_host_it_is_for(server: Server) -> None:
    with serving(server.folder) as store:
        server.manners.redirect = store.url.replace("127.0.0.1", "localhost") + "/realPATH"
        found = await read_remote(f"{server.url}/{NAME}", {"Authorization": "Bearer secret"}, QUICK)
        assert found.facts.layers == 36
        assert server.asked[0][2] == "Bearer secret"
        assert store.asked[0][2] is None


async def test_redirects_in_a_circle_or_out_of_the_web(server: Server) -> None:
    server.manners.redirect = "/again"
    with pytest.raises(DownloadFailed, match="leads nowhere"):
        await read_remote(f"{server.url}/{NAME}", limits=QUICK)
    server.manners.redirect = "file:///etc/passwd"
    with pytest.raises(DownloadFailed, match="leads nowhere"):
        await read_remote(f"{server.url}/{NAME}", limits=QUICK)


async def test_a_broken_connection_is_taken_up_where_it_ended(server: Server) -> None:
    wordy(server.folder)
    server.manners.break_after = 1_000_000
    assert (await read_remote(f"{server.url}/wordy.gguf", limits=QUICK)).facts.layers == 32
    ranges = [asked[1] for asked in server.asked]
    assert ranges[1] is not None
    assert 0 < int(ranges[1].removeprefix("bytes=").partition("-")[0]) <= 1_000_000


async def test_what_is_not_what_was_asked_for(server: Server) -> None:
    server.manners.other_range = True
    with pytest.raises(DownloadFailed, match="another range"):
        await read_remote(f"{server.url}/{NAME}", limits=QUICK)
    server.manners.other_range = False
    server.manners.compressed = True
    with pytest.raises(DownloadFailed, match="compressed"):
        await read_remote(f"{server.url}/{NAME}", limits=QUICK)


async def test_a_file_that_changes_meanwhile(server: Server) -> None:
    wordy(server.folder)
    server.manners.versions = ['"one"', '"two"']
    with pytest.raises(DownloadFailed, match="changed while it was read"):
        await read_remote(f"{server.url}/wordy.gguf", limits=QUICK)


async def test_broken_files_are_told_from_broken_answers(server: Server) -> None:
    (server.folder / "empty.gguf").write_bytes(b"")
    with pytest.raises(ModelError, match="is empty"):
        await read_remote(f"{server.url}/empty.gguf", limits=QUICK)
    with (server.folder / NAME).open("rb") as file:
        (server.folder / "cut.gguf").write_bytes(file.read(10_000))
    with pytest.raises(ModelError, match="truncated"):
        await read_remote(f"{server.url}/cut.gguf", limits=QUICK)


async def test_a_header_that_promises_gigabytes_is_not_fetched(server: Server) -> None:
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"a" + struct.pack("<IQ", 8, 2**31)
    path = server.folder / "greedy.gguf"
    path.write_bytes(head)
    with path.open("r+b") as file:
        file.truncate(2**32)
    with pytest.raises(ModelError, match="larger than"):
        await read_remote(f"{server.url}/greedy.gguf", limits=QUICK)
    assert server.sent <= FIRST_LOOK + 2**20


async def test_a_server_that_says_nothing(server: Server) -> None:
    server.manners.stall = threading.Event()
    with pytest.raises(DownloadFailed, match="within"):
        await read_remote(f"{server.url}/{NAME}", limits=Limits(wait_s=10, total_s=0.3))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/x.gguf",
        "http://127.0.0.1:99999/x.gguf",
        "ftp://127.0.0.1/x.gguf",
        "http://[half/x.gguf",
        "x.gguf",
    ],
)
async def test_addresses_that_lead_nowhere(url: str) -> None:
    with pytest.raises(DownloadFailed, match=r"cannot be read|leads nowhere"):
        await read_remote(url, limits=QUICK)


async def test_no_secret_of_the_address_is_told(server: Server) -> None:
    address = server.url.replace("http://", "http://me:hush@") + "/none.gguf?token=hush"
    with pytest.raises(DownloadFailed) as caught:
        await read_remote(address, limits=QUICK)
    assert "hush" not in str(caught.value)
