"""`hostler presets`: families, profiles and models, with how to take what is shown."""

from __future__ import annotations

import json
from pathlib import Path

from cli_run import Run

from hostler.testing.gguf_files import write_tiny_gguf

CONFIG = """
[profiles.mine]
model = "Qwen3-8B"
aliases = ["gpt-4o"]
[profiles.mine.presets.brief]
max_tokens = 20
[profiles.taken]
model = "gone"
family = "qwen3"
preset = "fast"
[profiles.taken.presets.fast]
seed = 1
"""


def test_what_there_is_and_how_to_take_it(run: Run, home: Path) -> None:
    (home / "hostler.toml").write_text(CONFIG)
    write_tiny_gguf(home / "models" / "Qwen3-8B.gguf", general__name="Qwen3 8B")
    write_tiny_gguf(home / "models" / "other.gguf", general__name="Other")
    assert "gpt-oss" in run("presets").stdout

    mine = run("presets", "gpt-4o").stdout
    assert mine.startswith(
        "mine: Qwen3 (2504)\n  brief\n      max_tokens 20\n      its own\n  general, coding, tools\n"
    )
    assert "Ask for one as `mine:brief`." in mine
    assert '[profiles.mine]:\n  family = "qwen3"\n  preset = "brief"\n' in mine

    taken = json.loads(run("presets", "taken", "--json").stdout)
    fast = next(each for each in taken["presets"] if each["name"] == "fast")
    assert fast["default"]
    assert fast["sampling"] == {
        "temperature": 0.7, "top_p": 0.8, "top_k": 20, "min_p": 0.0, "seed": 1, "reasoning": "none",
    }  # fmt: skip

    assert "Ask for one as `Qwen3-8B:general`." in run("presets", "Qwen3-8B").stdout
    assert "https://github.com/openai/gpt-oss" in run("presets", "gpt-oss").stdout
    assert "has no presets" in run("presets", "other").stdout
    unknown = run("presets", "gpt-os")
    assert unknown.exit_code == 1
    assert "Did you mean gpt-oss?" in unknown.stderr


def test_a_pattern_of_a_profile_hides_no_family(run: Run, home: Path) -> None:
    (home / "hostler.toml").write_text('[profiles.mine]\nmodel = "gone"\naliases = ["gpt-*"]\npresets.brief.seed = 1\n')
    assert "https://github.com/openai/gpt-oss" in run("presets", "gpt-oss").stdout
    assert run("presets", "gpt-4o").stdout.startswith("mine: presets of its own")
