"""Agents that are connected here ask nobody else: a proxy on the way out hears nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_runs import Agent
from client_installs import node, python
from gateway_process import RunningGateway


class Proxy:
    """Notes the first line of whatever asks it to go out, and refuses."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                self.asked.append(connection.recv(4096).split(b"\r\n")[0].decode("latin-1"))
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(10)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    yield made
    made.close()


#: What follows the line that `hostler connect` prints, or `hostler claude`.
ASKS = {
    "claude-code": "-p 'Say hello.'",
    "codex": "exec --skip-git-repo-check 'Say hello.'",
    "opencode": "run 'Say hello.'",
    "aider": "--no-git --yes-always --message 'Say hello.'",
    "continue": "-p 'Say hello.'",
    "llm": "",
}


@pytest.mark.parametrize("client", ASKS)
def test_it_asks_nobody_else(client: str, proxy: Proxy, running: RunningGateway, folder: Path) -> None:
    ways = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), proxy.url)
    here = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
    programs = python(client).parent if client in ("aider", "llm") else node("agents") / "node_modules" / ".bin"
    agent = Agent(running, folder, programs, ways | here)
    line = "hostler claude --model steady" if client == "claude-code" else agent.connect(client, "steady")
    done = agent.run("bash", "-c", f"{line} {ASKS[client]}")
    assert done.code == 0, done
    # opencode gets the package for plugins from its registry, which says nothing of what it works on.
    assert [line for line in proxy.asked if not line.startswith("CONNECT registry.")] == []
