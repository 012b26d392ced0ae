"""What is allowed and cannot be meant is warned of, by its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostler.config.doubtful import doubtful
from hostler.config.load import parse

TWO = '[profiles.a]\nmodel = "m"\ngroup = "g"\naliases = ["alpha"]\n[profiles.b]\nmodel = "m"\ngroup = "g"\n'
RIVALS = f"{TWO}[groups.g]\nexclusive = true\n[gateway]\npreload = "
COMMAND = '[profiles.x]\nmodel = "m"\n[profiles.x.engine]\nkind = "command"\n'


def told(text: str, **environ: str) -> list[str]:
    return doubtful(parse(text, Path("hostler.toml")).config, environ)


def test_only_one_of_an_exclusive_group_can_be_preloaded() -> None:
    assert told(f'{RIVALS}["alpha", "found", "b", "a"]') == [
        'gateway.preload: only one of a, b stays loaded, since group "g" is exclusive'
    ]
    assert told(f'{RIVALS}["alpha", "a"]') == []
    assert told(f'{TWO}[gateway]\npreload = ["a", "b"]') == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ('argv = ["s", "${PORT}", "--metrics=${PROT}"]', "argv: nothing is put in for ${PROT}; ${PORT} may be meant"),
        (
            'argv = ["s", "${PORT}"]\nstop = ["kill", "${PID}", "${THREADS}"]',
            "stop: nothing is put in for ${THREADS}; known are PORT, MODEL, PROFILE, KEY, PID",
        ),
        (
            'argv = ["s", "${PORT}"]\nenv = { MODELS = "${MODLE}" }',
            "env: nothing is put in for ${MODLE}; ${MODEL} may be meant",
        ),
        (
            'argv = ["s", "${PORT}", "${PID}"]',
            "argv: nothing is put in for ${PID}; known are PORT, MODEL, PROFILE, KEY",
        ),
    ],
)
def test_a_place_for_which_nothing_is_put_in(words: str, line: str) -> None:
    assert told(COMMAND + words) == [f"profiles.x.engine.{line}"]


def test_what_a_shell_puts_in_itself_is_fine() -> None:
    argv = 'argv = ["sh", "-c", "exec server -p ${PORT} --home ${HOME} -t ${THREADS} $x"]\nenv = { THREADS = "4" }'
    assert told(COMMAND + argv, HOME="/home/me") == []
