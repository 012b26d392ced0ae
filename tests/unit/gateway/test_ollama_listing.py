"""Profiles as Ollama's API lists models."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hostler.config.settings import EngineSettings, Profile, SamplingSettings
from hostler.fleet.protocol import Entry
from hostler.gateway.ollama import listing
from hostler.models.facts import Model
from hostler.models.header import read_header
from hostler.models.library import FactsCache
from hostler.testing.gguf_files import write_tiny_gguf
from hostler.wire.management import Instance


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    path = tmp_path / "tiny.gguf"
    write_tiny_gguf(path)
    model = Model(name="tiny", files=(path,), size=path.stat().st_size, origin="library")
    profile = Profile(model="tiny.gguf", sampling=SamplingSettings(temperature=0.7, max_tokens=64))
    return Entry(
        name="tiny", profile=profile, origin="config", model=model, facts=FactsCache().facts(model), task="chat",
        context=2048, need={}, problem=None,
    )  # fmt: skip


def test_names_have_tags() -> None:
    names = ["tiny", "qwen3:8b", "org/tiny", "host:80/tiny"]
    assert [listing.tagged(name) for name in names] == [
        "tiny:latest",
        "qwen3:8b",
        "org/tiny:latest",
        "host:80/tiny:latest",
    ]


def test_a_tag(entry: Entry) -> None:
    tag = listing.tag_of(entry, frozenset({"tools", "reasoning"}))
    assert entry.facts is not None
    assert (tag.name, tag.model, tag.details.family) == ("tiny:latest", "tiny:latest", entry.facts.architecture)
    assert tag.capabilities == ("completion", "tools", "thinking")
    assert len(tag.digest) == 64
    assert tag.modified_at.endswith("Z")


def test_another_file_has_another_digest(entry: Entry) -> None:
    before = listing.digest_of(entry)
    assert listing.digest_of(entry) == before
    assert entry.model is not None
    with entry.model.path.open("ab") as file:
        file.write(b"more")
    assert listing.digest_of(entry) != before


def test_a_remote_says_so() -> None:
    engine = EngineSettings(kind="remote", url="https://api.example.com/v1", key_env="none")
    remote = Entry(
        name="cloud", profile=Profile(model="big-1", engine=engine), origin="config", model=None, facts=None,
        task="chat", context=131072, need={}, problem=None,
    )  # fmt: skip
    tag = listing.tag_of(remote, frozenset())
    assert (tag.remote_model, tag.remote_host, tag.size) == ("big-1", "api.example.com", 0)


def test_what_is_shown_of_one(entry: Entry) -> None:
    assert entry.model is not None
    assert entry.facts is not None
    shown = listing.shown(entry, frozenset(), read_header(entry.model.path), verbose=True)
    assert shown.model_info[f"{entry.facts.architecture}.context_length"] == 2048
    assert "tokenizer.chat_template" not in shown.model_info
    assert "temperature" in shown.parameters
    assert "num_predict" in shown.parameters
    assert isinstance(shown.tensors, tuple)
    assert msgspec.json.encode(shown)


@pytest.mark.parametrize(
    ("ttl_s", "idle_s", "pinned", "expires"),
    [
        (300.0, 60.0, False, "1970-01-01T00:04:00.000000Z"),
        (300.0, None, False, "1970-01-01T00:05:00.000000Z"),
        (None, 5.0, False, listing.NEVER),
        (300.0, 5.0, True, listing.NEVER),
        (1e300, 5.0, False, listing.NEVER),
    ],
)
def test_when_a_loaded_one_leaves(
    entry: Entry, ttl_s: float | None, idle_s: float | None, pinned: bool, expires: str
) -> None:
    one = Instance(
        id="tiny-1", profile="tiny", state="ready", pid=1, model="tiny", context=2048, slots=1,
        bytes={"host": 10, "gpu0": 30}, predicted_bytes={}, leases=0, served=1, tokens_per_s=None, idle_s=idle_s,
        ttl_s=ttl_s, pinned=pinned, load_s=1.0, started_at=0.0,
    )  # fmt: skip
    told = listing.running(entry, one, 0.0)
    assert (told.expires_at, told.size, told.size_vram, told.context_length) == (expires, 40, 30, 2048)


@pytest.mark.parametrize(
    ("count", "written"), [(134_515_008, "134.52M"), (7_241_732_096, "7.2B"), (8 * 10**9, "8B"), (12, "12")]
)
def test_sizes(count: int, written: str) -> None:
    assert listing.human(count) == written
