"""What programs find in their environment that are started on a gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostler.cli.connect.claude_code import started_with
from hostler.cli.connect.client import Places, Target
from hostler.cli.connect.environment import past_proxies

HERE = "http://127.0.0.1:4785"


@pytest.mark.parametrize(
    ("url", "environ", "told"),
    [
        (HERE, {}, None),
        (HERE, {"HTTP_PROXY": "http://out:3128"}, "127.0.0.1"),
        (HERE, {"https_proxy": "http://out:3128", "no_proxy": "intern"}, "intern,127.0.0.1"),
        ("http://[::1]:4785", {"ALL_PROXY": "http://out:3128"}, "::1"),
        ("https://models.example", {"HTTP_PROXY": "http://out:3128"}, None),
    ],
)
def test_a_proxy_on_the_way_out_is_not_for_this_machine(url: str, environ: dict[str, str], told: str | None) -> None:
    names = past_proxies(url, environ)
    assert names == ({} if told is None else {"NO_PROXY": told, "no_proxy": told})


def test_claude_code_sends_no_prompt_through_a_proxy(tmp_path: Path) -> None:
    places = Places(home=tmp_path, own=tmp_path / "own", environ={"HTTP_PROXY": "http://out:3128"})
    target = Target(url=HERE, model="coder", small="coder", context=None)
    assert started_with(target, places)["NO_PROXY"] == "127.0.0.1"
