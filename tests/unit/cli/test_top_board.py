"""What the window knows: made of answers and events, through restarts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from top_world import NOW, asked, board, instance, snapshot, status

from hostler.cli.top import cursor
from hostler.cli.top.board import KEPT, Connected, Log, Lost, happened, logged, lost, refreshed, restarted, same_run
from hostler.cli.top.cursor import View
from hostler.cli.top.heights import SHARES, heights
from hostler.events import GatewayStarted, InstanceChanged, LeaseGranted, LoadProgress, RequestQueued
from hostler.wire.management import Requests


def loading(fraction: float | None = 0.4) -> LoadProgress:
    return LoadProgress(
        id=5, instance="gemma-2", profile="gemma", stage="loading tensors", elapsed_s=0.4, fraction=fraction
    )


def test_a_load_is_known_until_it_is_over() -> None:
    known = board(loading())
    assert known.loads["gemma-2"].fraction == 0.4
    assert happened(known, [InstanceChanged(instance="gemma-2", profile="gemma", state="ready")]).loads == {}
    assert refreshed(known, snapshot()).loads == {}, "an instance that is gone does not load"
    still = snapshot(instances=(instance("gemma", id="gemma-2", state="loading"),))
    assert "gemma-2" in refreshed(known, still).loads


def test_places_are_kept_for_those_that_wait() -> None:
    known = board(RequestQueued(id=6, request="req-1", profile="gemma", position=3))
    assert known.places == {"req-1": 3}
    waits = snapshot(requests=Requests(in_flight=(asked("req-1", state="queued"),), recent=()))
    assert refreshed(known, waits).places == {"req-1": 3}
    assert refreshed(known, snapshot()).places == {}
    granted = LeaseGranted(id=7, request="req-1", profile="gemma", instance="gemma-2", waited_s=1.0)
    assert happened(known, [granted]).places == {}


def test_events_and_lines_are_bounded() -> None:
    many = [GatewayStarted(id=number, url="u", version="1") for number in range(KEPT + 10)]
    assert [event.id for event in happened(board(), many).events][:2] == [10, 11]
    following = board().log
    assert following is None
    shown = logged(happened(board(), []), "smollm2", ["x"])
    assert shown.log is None, "lines of a log that is no longer shown are dropped"


def test_the_first_moment_of_a_loss_is_kept() -> None:
    gone = lost(lost(board(), NOW, "No gateway.", "Start one."), NOW + 5, "No gateway.", "Start one.")
    assert gone.link == Lost(NOW, "No gateway.", "Start one.")
    assert gone.snapshot is not None, "what was known stays to be seen"
    assert isinstance(refreshed(gone, snapshot()).link, Connected)


def test_another_run_of_the_gateway_is_noticed() -> None:
    known = board(loading())
    assert same_run(known, status(queued=3))
    assert not same_run(known, status(pid=1))
    assert not same_run(known, status(started_at=NOW))
    assert restarted(known).loads == {}
    assert restarted(known).events == known.events, "what happened did happen"


def test_a_log_takes_its_own_lines_only() -> None:
    import msgspec

    shown = msgspec.structs.replace(board(), log=Log("smollm2"))
    assert logged(shown, "smollm2", ["a", "b"]).log == Log("smollm2", ("a", "b"))
    assert logged(shown, None, ["a"]).log == Log("smollm2")


@given(st.integers(0, 60), st.lists(st.integers(0, 50), min_size=4, max_size=4))
def test_heights_fill_the_screen_and_give_nobody_a_negative_one(lines: int, wanted: list[int]) -> None:
    names = [name for name, _, _ in SHARES]
    given_ = heights(lines, dict(zip(names, wanted, strict=True)))
    assert sum(given_.values()) == lines
    assert min(given_.values()) >= 0
    for name, want in zip(names[:-1], wanted, strict=False):
        assert given_[name] <= want


def test_at_80x24_every_panel_has_room() -> None:
    given_ = heights(21, {"instances": 5, "devices": 2, "requests": 8, "happenings": 100})
    assert given_["instances"] == 5
    assert given_["devices"] == 2
    assert given_["requests"] >= 4
    assert given_["happenings"] >= 4


KEYS = st.lists(st.text("abcdefgh", min_size=1, max_size=2), unique=True, max_size=12)


@given(KEYS, KEYS, st.integers(0, 6), st.integers(-20, 20))
def test_the_selection_stays_on_what_was_selected(before: list[str], after: list[str], height: int, steps: int) -> None:
    view = cursor.moved(cursor.settled(View(), before, height, tail=False), before, height, steps, tail=False)
    then = cursor.settled(view, after, height, tail=False)
    if view.selected in after:
        assert then.selected == view.selected
    assert (then.selected in after) if after else then.selected == ""
    if after and height:
        assert then.top <= then.at < then.top + height


def test_a_tail_follows_until_somebody_scrolls_back_and_again_from_its_end() -> None:
    keys = [str(number) for number in range(20)]
    view = cursor.settled(View(), keys, 5, tail=True)
    assert view.top == 15
    back = cursor.moved(view, keys, 5, -3, tail=True)
    assert (back.top, back.follow) == (12, False)
    more = [*keys[4:], "20", "21"]
    assert cursor.settled(back, more, 5, tail=True).top == 8, "the same line stays on top while old ones go"
    end = cursor.moved(back, keys, 5, 100, tail=True)
    assert end.follow
    assert cursor.settled(end, [*keys, "20"], 5, tail=True).top == 16
