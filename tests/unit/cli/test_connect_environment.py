"""What programs find in their environment that are started on a gateway."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from urllib.request import proxy_bypass_environment

import msgspec
import pytest

from hostler.cli.connect.claude_code import started_with
from hostler.cli.connect.client import Places, Target
from hostler.cli.connect.composing import composed
from hostler.cli.connect.environment import past_proxies
from hostler.cli.connect.known import CLIENTS

HERE = "http://127.0.0.1:4785"


@pytest.mark.parametrize(
    ("url", "environ", "told"),
    [
        (HERE, {}, None),
        (HERE, {"HTTP_PROXY": "http://out:3128"}, "127.0.0.1"),
        (HERE, {"https_proxy": "http://out:3128", "no_proxy": "intern"}, "intern,127.0.0.1"),
        ("http://[::1]:4785", {"ALL_PROXY": "http://out:3128"}, "::1"),
        ("https://models.example", {"HTTP_PROXY": "http://out:3128"}, None),
        ("http://203.0.114.9:4785", {"HTTP_PROXY": "http://out:3128"}, None),
        ("http://192.168.1.5:4785", {"HTTP_PROXY": "http://out:3128"}, "192.168.1.5"),
        ("http://box.lan:4785", {"HTTP_PROXY": "http://out:3128"}, "box.lan"),
        ("http://100.101.1.2:4785", {"HTTP_PROXY": "http://out:3128"}, "100.101.1.2"),
        (HERE, {"HTTP_PROXY": "http://out:3128", "NO_PROXY": "a, 127.0.0.1"}, "a, 127.0.0.1"),
        (HERE, {"HTTP_PROXY": "http://out:3128", "no_proxy": "*"}, "*"),
        (HERE, {"HTTP_PROXY": "http://out:3128", "no_proxy": "a,*"}, "a,*,127.0.0.1"),
    ],
)
def test_a_proxy_on_the_way_out_is_not_for_this_machine(url: str, environ: dict[str, str], told: str | None) -> None:
    names = past_proxies(url, environ)
    assert names == ({} if told is None else {"NO_PROXY": told, "no_proxy": told})


PROXIED = {"HTTP_PROXY": "http://out:3128", "no_proxy": "intern"}
TARGET = Target(url=HERE, model="coder", small="coder", context=None)
#: Those whose files say it themselves.
BY_FILE = ("claude-code", "open-webui")


@pytest.mark.parametrize("name", [name for name in CLIENTS if name not in BY_FILE])
def test_a_client_is_started_past_the_proxy(tmp_path: Path, name: str) -> None:
    def start(environ: dict[str, str]) -> str:
        return CLIENTS[name].start(TARGET, Places(home=tmp_path, own=tmp_path / "own", environ=environ))

    assert start(PROXIED) == f"NO_PROXY=intern,127.0.0.1 no_proxy=intern,127.0.0.1 {start({})}"
    assert "PROXY" not in start({})


@pytest.mark.parametrize(
    "before", [{}, {"NO_PROXY": "intern"}, {"no_proxy": "intern"}, {"NO_PROXY": "", "no_proxy": ""}]
)
@pytest.mark.parametrize("name", BY_FILE)
def test_a_file_of_variables_leads_past_the_proxy(tmp_path: Path, name: str, before: dict[str, str]) -> None:
    """Whatever the shell excepts when it reads it, and in whichever spelling."""
    places = Places(home=tmp_path, own=tmp_path / "own", environ={})
    (wanted,) = CLIENTS[name].files(TARGET, places)
    (tmp_path / "file").write_text(wanted.text)
    told = subprocess.run(
        ["sh", "-euc", 'set +u; set -a; . ./file; printf "%s\\n%s\\n" "$NO_PROXY" "$no_proxy"'],
        cwd=tmp_path, env={"PATH": os.environ["PATH"], **before}, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert len(told) == 2
    for names in told:
        excepted = {"no": names}
        assert proxy_bypass_environment("127.0.0.1", excepted)
        assert bool(proxy_bypass_environment("intern", excepted)) is ("intern" in before.values())
        assert not proxy_bypass_environment("elsewhere", excepted)


def test_a_gateway_elsewhere_is_reached_as_everything_there(tmp_path: Path) -> None:
    places = Places(home=tmp_path, own=tmp_path / "own", environ=PROXIED)
    away = msgspec.structs.replace(TARGET, url="https://models.example")
    for client in CLIENTS.values():
        told = "".join(composed(wanted, None) for wanted in client.files(away, places)) + client.start(away, places)
        assert "no_proxy" not in told.lower()
        assert "noproxy" not in told.lower()


def test_claude_code_sends_no_prompt_through_a_proxy(tmp_path: Path) -> None:
    places = Places(home=tmp_path, own=tmp_path / "own", environ={"HTTP_PROXY": "http://out:3128"})
    target = Target(url=HERE, model="coder", small="coder", context=None)
    assert started_with(target, places)["NO_PROXY"] == "127.0.0.1"
