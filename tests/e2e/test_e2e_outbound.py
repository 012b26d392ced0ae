"""The gateway connects to nothing but its own engines, through a whole life."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gateway_process import eventually

pytestmark = pytest.mark.anyio

#: Put before everything else in each Python process: writes down where it connects to and which names it looks up.
#: Without uvloop, whose C code tells no hook.
WATCHER = """
import json, os, sys
sys.modules["uvloop"] = None
NAMES = ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname")

def watch(event, arguments):
    if event in NAMES:
        said = [repr(each) for each in arguments if not hasattr(each, "fileno")]
        line = json.dumps([event, said, sys.argv[:2]]) + "\\n"
        handle = os.open(os.environ["WATCHED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(handle, line.encode())
        os.close(handle)

sys.addaudithook(watch)
"""
LOCAL = ("'127.0.0.1'", "b'127.0.0.1'", "'localhost'", "'::1'")


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which everything is written down."""
    folder, log = tmp_path / "watcher", tmp_path / "watched.jsonl"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(WATCHER)
    monkeypatch.setenv("WATCHED", str(log))
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
    return log


def said(log: Path) -> list[tuple[str, list[str], list[str]]]:
    return [tuple(json.loads(line)) for line in log.read_text().splitlines()]  # type: ignore[misc]


def is_local(event: str, arguments: list[str]) -> bool:
    """Whether this stays on the machine: loopback, a socket in the file system, or no name at all."""
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        return arguments[0] in (*LOCAL, "None")
    where = arguments[-1]
    return where.startswith((*(f"({name}" for name in LOCAL), "'/", "b'"))


def asking_everything() -> list[tuple[str, dict[str, object]]]:
    """A request in each API, with the address of a picture where it takes one."""
    address = "http://images.example/cat.png"
    source = {"type": "image", "source": {"type": "url", "url": address}}
    seen = {"type": "input_image", "image_url": address}
    said = [{"role": "user", "content": "Hi"}]
    return [
        ("/v1/messages", {"messages": [{"role": "user", "content": [source]}]}),
        ("/v1/messages", {"messages": said}),
        ("/v1/messages/count_tokens", {"messages": said}),
        ("/v1/responses", {"input": [{"role": "user", "content": [seen]}]}),
        ("/v1/responses", {"input": "Hi"}),
        *((path, {"prompt": "Hi"}) for path in ("/v1/completions", "/completion")),
        *((path, {"content": "Hi"}) for path in ("/tokenize", "/detokenize")),
        ("/apply-template", {"messages": said}),
        ("/infill", {"input_prefix": "Hi", "input_suffix": ""}),
        ("/v1/embeddings", {"input": "Hi"}),
        ("/v1/rerank", {"query": "Hi", "documents": ["Hi"]}),
        ("/api/chat", {"messages": said}),
        ("/api/generate", {"prompt": "Hi"}),
    ]


async def test_it_connects_to_its_own_engines_alone(gateway, place, watched: Path) -> None:
    running = gateway(place.fake("coder"), place.fake("other"), top='preload = ["coder"]')
    assert (await running.chat("coder")).status == 200
    async with running.streaming("other") as stream:
        await stream.read()
    image = {"type": "image_url", "image_url": {"url": "http://images.example/cat.png"}}
    await running.post("/v1/chat/completions", {"model": "coder", "messages": [{"role": "user", "content": [image]}]})
    for path, body in asking_everything():
        await running.post(path, {"model": "coder", "max_tokens": 4, **body})
    for path in ("/props", "/slots", "/lora-adapters", "/upstream/coder/metrics"):
        await running.get(f"{path}?model=coder")
    assert (await running.get("/v1/models")).status == 200
    assert (await running.chat("nothing")).status == 404
    for path in ("/api/gateway", "/api/profiles", "/api/hardware", "/api/requests", "/api/docs", "/"):
        assert (await running.get(path)).status == 200
    await running.api("/api/profiles/coder/switch", post=True)
    await running.api("/api/gateway/reload", post=True)
    await eventually(running.idle, "everything is over")
    running.signal()
    assert await running.ended() == 0
    seen = said(watched)
    assert any(event == "socket.connect" and words[1:] == ["up"] for event, _, words in seen), "the watcher is blind"
    assert [each for each in seen if not is_local(each[0], each[1])] == []
