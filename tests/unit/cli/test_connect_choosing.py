"""Which profile a client gets when it asks for none, and what is refused."""

from __future__ import annotations

import pytest

from hostler.cli.connect.choosing import About, Offer, chosen
from hostler.errors import HostlerError, UnknownProfile, WrongTask

TINY = Offer("tiny", 8192, About(task="chat", default=True, aliases=("small",)))
LARGE = Offer("large", 65_536, About(task="chat"))
FAR = Offer("far", 200_000, About(task="chat", remote="far.example"))
BROKEN = Offer("broken", 131_072, About(task="chat", problem="no such file"))
VECTORS = Offer("vectors", 131_072, About(task="embedding"))


def test_the_largest_context_of_the_chat_profiles_that_work_here() -> None:
    assert chosen((TINY, LARGE, FAR, BROKEN, VECTORS), None) == LARGE


def test_a_remote_one_where_nothing_else_chats() -> None:
    assert chosen((FAR, VECTORS), None) == FAR


def test_the_default_one_of_equals() -> None:
    twin = Offer("twin", 8192, About(task="chat"))
    assert chosen((twin, TINY), None) == TINY


def test_by_name_and_by_alias() -> None:
    assert chosen((TINY, LARGE), "large") == LARGE
    assert chosen((TINY, LARGE), "small") == TINY


def test_what_is_not_there_or_cannot_chat_is_refused() -> None:
    with pytest.raises(UnknownProfile, match="huge"):
        chosen((TINY,), "huge")
    with pytest.raises(WrongTask, match="embedding"):
        chosen((TINY, VECTORS), "vectors")
    with pytest.raises(HostlerError, match="No profile can chat"):
        chosen((VECTORS,), None)
