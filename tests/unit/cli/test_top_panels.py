"""The panels of `hostler top`: from the board to lines that fit."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from top_world import GIB, MIB, NOW, URL, asked, board, device, instance, metrics, profile, record, snapshot, status

from hostler import events as e
from hostler.cli.top.board import KEPT, Board, Log, logged, lost
from hostler.cli.top.columns import Column, fit
from hostler.cli.top.details import details, find
from hostler.cli.top.frame import frame, panels
from hostler.cli.top.header import header
from hostler.cli.top.keys import KEYS, footer, help_lines
from hostler.cli.top.marks import curve, memory_bar, short_size, short_time
from hostler.cli.top.panels.devices import Devices
from hostler.cli.top.panels.happenings import Happenings
from hostler.cli.top.panels.instances import Instances
from hostler.cli.top.panels.panel import Panel
from hostler.cli.top.panels.requests import Requests as RequestsPanel
from hostler.cli.top.telling import tell
from hostler.events import AnyEvent
from hostler.wire.hardware import Reading
from hostler.wire.management import DeviceMemory, Parked, Problem, Requests


def lines(panel: Panel, known: Board, width: int = 78) -> list[str]:
    shown = panel.show(known, width)
    head = [shown.head.plain] if shown.head else []
    return [*head, *(row.line.plain for row in shown.rows)]


def cells(line: str) -> list[str]:
    return line.split()


def test_an_instance_shows_memory_against_its_plan_by_device() -> None:
    both = instance(
        "big", bytes={"gpu0": 21 * GIB, "host": 2 * GIB}, predicted_bytes={"gpu0": 20 * GIB, "host": 1 * GIB}
    )
    head, line = lines(Instances(), board(instances=(both,)))
    assert cells(head)[:5] == ["PROFILE", "STATE", "MEMORY/PLAN", "TOK/S", "BUSY"]
    assert "gpu0 21.0G/20.0G host 2.0G/1.0G" in line
    assert "1/2" in line
    styles = {str(span.style) for span in Instances().show(board(instances=(both,)), 78).rows[0].line.spans}
    assert "yellow" in styles, "twice the plan on the host is a warning"


def test_an_instance_that_loads_shows_how_far_it_is() -> None:
    loading = instance("gemma", id="gemma-2", state="loading", bytes={}, tokens_per_s=None)
    event = e.LoadProgress(
        id=3, instance="gemma-2", profile="gemma", stage="loading tensors", elapsed_s=0.4, fraction=0.5
    )
    line = lines(Instances(), board(event, instances=(loading,)))[1]
    assert line == "gemma    loading  ████████░░░░░░░░  50% loading tensors, 0.4s"
    unknown = msgspec.structs.replace(event, fraction=None)
    assert lines(Instances(), board(unknown, instances=(loading,)))[1].endswith("loading  loading tensors, 0.4s")


def test_limits_of_idle_instances() -> None:
    shown = lines(
        Instances(),
        board(instances=(instance("a", idle_s=9.0), instance("b", pinned=True), instance("c", ttl_s=None))),
        120,
    )
    assert "9.0s/10m" in shown[1]
    assert "-/pinned" in shown[2]
    assert "-/never" in shown[3]


def test_profiles_that_are_parked_stand_below_and_count_as_nothing() -> None:
    left = Parked(parked_s=40.0, cached=1.0, prompts=1, load_s=0.42)
    parked, loaded = profile("b", parked=left), profile("a", parked=left)
    shown = Instances().show(board(instances=(instance("a"),), profiles=(parked, loaded)), 78)
    assert shown.title == "Instances (1)"
    assert [row.key for row in shown.rows] == ["a-1", "b"]
    assert shown.rows[1].line.plain == "b  parked  back in 0.4s; 100% of its files cached; 1 prompt saved"
    alone = lines(Instances(), board(instances=(), profiles=(parked,)))
    assert (alone[0].startswith("Nothing is loaded."), len(alone)) == (True, 2)


def test_profiles_that_failed_are_listed_with_the_reason() -> None:
    failed = profile("broken", state="failed", reason="/m/x.gguf ends at byte 100.")
    assert lines(Instances(), board(instances=(), profiles=(failed,))) == [
        "broken  failed  /m/x.gguf ends at byte 100."
    ]


def test_nothing_loaded_says_what_to_do() -> None:
    (line,) = lines(Instances(), board(instances=()))
    assert line.startswith("Nothing is loaded.")


def test_a_device_shows_ours_others_and_free() -> None:
    gpu = Reading(at=NOW, utilisation=97.0, used=12 * GIB, temperature_c=71.0, power_w=240.0)
    known = board(
        status=status(
            memory=(
                DeviceMemory(device="host", total=24 * GIB, free=12 * GIB, budget=18 * GIB, used=6 * GIB),
                DeviceMemory(device="gpu0", total=24 * GIB, free=12 * GIB, budget=23 * GIB, used=12 * GIB),
            )
        ),
        metrics=metrics(device("host", None), device("gpu0", gpu)),
    )
    first, second = lines(Devices(), known, 118)
    assert first.startswith("gpu0"), "the host comes last"
    assert "█" * 15 + "░" * 15 in first
    assert "12.0G/24.0G" in first
    assert "gpu  97%" in first
    assert "71°C" in first
    assert "240W" in first
    assert "█" * 8 + "▒" * 8 + "░" * 14 in second
    assert "cpu   -" in second


def test_a_device_that_is_gone_or_throttled_says_so() -> None:
    gone = device("gpu0", None, present=False, reason="the driver does not answer")
    slow = device("gpu1", Reading(at=NOW, utilisation=50.0, throttling=("it is too hot",)))
    for width in (78, 118):
        shown = lines(Devices(), board(metrics=metrics(gone, slow)), width)
        assert "does not answer" in shown[0]
        assert "throttled: it is" in shown[1]


def test_requests_stand_in_line_then_run_then_are_over() -> None:
    flying = (
        asked("req-3", state="queued", age_s=1.0, instance=None, place=2),
        asked("req-2", state="queued", age_s=9.0, instance=None, principal="alice", place=1),
        asked("req-1", age_s=20.0),
    )
    over = (record("req-0", status=503), record("req-00", cancelled=True))
    known = board(requests=Requests(in_flight=flying, recent=over))
    shown = RequestsPanel().show(known, 118)
    assert shown.title == "Requests (1 running, 2 waiting)"
    assert [row.key for row in shown.rows] == ["req-2", "req-3", "req-1", "req-0", "req-00"]
    texts = [row.line.plain for row in shown.rows]
    assert cells(texts[0])[:6] == ["req-2", "smollm2", "queued", "1", "9.0s", "alice"]
    assert cells(texts[1])[3] == "2"
    assert "503" in texts[3]
    assert "12>60" in texts[3]
    assert "98s ago" in texts[3], "it ended 97.6 s ago"
    assert "cancelled" in texts[4]


EVENTS: tuple[tuple[AnyEvent, str], ...] = (
    (e.InstanceChanged(id=1, instance="a-1", profile="a", state="ready"), "is ready"),
    (e.InstanceChanged(id=2, instance="a-1", profile="a", state="failed", reason="no room"), "failed: no room"),
    (e.Swap(id=3, profile="a", evicted=("b", "c"), reason="memory"), "b and c makes room: memory"),
    (e.RequestQueued(id=4, request="r", profile="a", position=2), "r waits at place 2"),
    (e.LeaseEnded(id=5, request="r", profile="a", instance="a-1", status=499, held_s=1), "left by its client"),
    (e.GatewayDraining(id=6, leases=1), "requests still running: 1"),
    (e.DeviceThrottling(id=7, device="gpu0", active=True, reasons=("power",)), "is throttled: power"),
    (e.Gap(id=8, first=1, last=7), "events 1 to 7 were missed"),
)


@pytest.mark.parametrize(("event", "words"), EVENTS)
def test_events_in_words(event: AnyEvent, words: str) -> None:
    assert any(words in line for line in lines(Happenings(), board(event)))


@pytest.mark.parametrize("kind", e.AnyEvent.__args__)
def test_every_kind_of_event_is_told_in_one_line(kind: type[AnyEvent]) -> None:
    told = tell(made(kind))
    assert told.what
    assert "\n" not in told.what


def test_an_event_without_words_of_its_own_is_told_field_by_field() -> None:
    class Newer(e.Event, frozen=True, kw_only=True, tag="disk.low"):
        device: str
        free: int
        hints: tuple[str, ...] = ()

    told = tell(Newer(device="disk", free=7, hints=("a", "b")))  # type: ignore[arg-type]
    assert (told.who, told.what) == ("disk", "disk.low: free 7, hints a b")


def made(kind: type[AnyEvent]) -> AnyEvent:
    """One of a kind, each field with the simplest value of its type."""
    fields: dict[str, object] = {}
    for field in msgspec.structs.fields(kind):
        if field.required:
            fields[field.encode_name] = simplest(field.type)
    return msgspec.convert({"type": kind.__struct_config__.tag, **fields}, kind)


def simplest(wanted: object) -> object:
    for value in ("x", 1, 1.0, True, [], {}, None):
        try:
            msgspec.convert(value, wanted)  # type: ignore[call-overload]
        except msgspec.ValidationError:
            continue
        return value
    options: tuple[object, ...] = getattr(wanted, "__args__", ())
    return options[0]


def test_progress_and_instant_grants_are_no_news() -> None:
    events = (
        e.LoadProgress(id=1, instance="a-1", profile="a", stage="s", elapsed_s=1),
        e.LeaseGranted(id=2, request="r", profile="a", instance="a-1", waited_s=0.001),
        e.EngineMemory(id=3, instance="a-1", profile="a", device="host", kind="output", mib=0.2),
    )
    assert lines(Happenings(), board(*events)) == ["Nothing yet."]


def test_the_filter_takes_all_words_in_any_case() -> None:
    panel = Happenings()
    panel.filter = "READY a"
    known = board(*(event for event, _ in EVENTS))
    assert [line.split("  ", 1)[1] for line in lines(panel, known)] == ["a is ready"]
    assert panel.show(known, 78).title == "Events, with 'READY a'"
    panel.filter = "nowhere"
    assert lines(panel, known) == ["Nothing with 'nowhere' in it."]


def test_a_log_takes_the_place_of_events() -> None:
    known = msgspec.structs.replace(board(EVENTS[0][0]), log=Log("a", ("one\tline", "another")))
    assert lines(Happenings(), known) == ["one line", "another"]
    assert Happenings().show(known, 78).title == "Log of a"


def test_lines_are_made_anew_for_another_width_and_another_run_of_the_gateway() -> None:
    panel = Happenings()
    assert lines(panel, board(EVENTS[0][0]), 14) == [lines(panel, board(EVENTS[0][0]))[0][:13] + "…"]
    later = msgspec.structs.replace(EVENTS[1][0], id=EVENTS[0][0].id, at=9.0)
    assert lines(panel, board(later)) != lines(panel, board(EVENTS[0][0]))


def test_lines_of_a_long_log_keep_their_numbers() -> None:
    panel = Happenings()
    known = msgspec.structs.replace(board(), log=Log("a"))
    known = logged(known, "a", [f"line {number}" for number in range(KEPT)])
    before = panel.show(known, 78).rows
    after = panel.show(logged(known, "a", ["one", "two"]), 78).rows
    assert [row.key for row in before[2:]] == [row.key for row in after[:-2]]
    assert after[-1].line.plain == "two"


def test_the_first_line() -> None:
    assert header(board(), NOW, 80).plain.startswith(f"hostler 0.1.0  {URL}  up 10m  1 running  0 waiting")
    assert "stopping" in header(board(status=status(draining=True)), NOW, 120).plain
    assert "line 3 is wrong" in header(board(status=status(config_error="line 3 is wrong")), NOW, 120).plain
    assert header(Board(url=URL), NOW, 80).plain == f"connecting to {URL}"
    gone = lost(board(), NOW, f"No gateway runs at {URL}.", "Start one with `hostler up`.")
    wide = header(gone, NOW + 12, 120).plain
    assert wide == f"reconnecting for 12s: No gateway runs at {URL}. Start one with `hostler up`."
    assert header(gone, NOW + 12, 80).plain == f"reconnecting for 12s: No gateway runs at {URL}."


@given(st.integers(1, 200), st.text(max_size=40))
def test_every_line_fits_any_width(width: int, name: str) -> None:
    known = board(
        *(event for event, _ in EVENTS),
        instances=(instance("smollm2"), instance(name or "x", state="loading")),
        profiles=(profile("broken", state="failed", reason="because " * 30),),
    )
    assert all(line.cell_len <= width for line in (header(known, NOW, width), footer(width)))
    for panel in (Devices(), RequestsPanel(), Happenings()):
        assert all(row.line.cell_len <= max(width, 40) for row in panel.show(known, width).rows)
    assert all(row.line.cell_len <= max(width, 60) for row in Instances().show(known, width).rows)


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_a_frame_fits_the_terminal(width: int) -> None:
    known = board(*(event for event, _ in EVENTS))
    shown = list(frame(known, NOW, width))
    assert max(line.cell_len for line in shown) <= width
    titles = [line.plain for line in shown if line.plain.startswith("── ")]
    assert [title.split()[1] for title in titles] == ["Instances", "Devices", "Requests", "Events"]
    assert len(panels()) == 4


def test_all_keys_fit_eighty_columns_and_help_and_quit_any() -> None:
    whole = footer(80).plain
    assert all(f" {key.written} {key.short} " in whole for key in KEYS if key.short)
    assert footer(30).plain.endswith("? help  q quit ")
    assert all(line.cell_len < 72 for line in help_lines())


def test_before_the_first_answer_every_panel_says_so() -> None:
    for panel in (Instances(), Devices(), RequestsPanel()):
        assert lines(panel, Board()) == ["waiting for the gateway"]


def test_columns_go_when_there_is_no_room_the_highest_rank_first() -> None:
    columns: tuple[Column[str], ...] = (
        Column("NAME", lambda item: item, least=4),
        Column("FIRST", lambda _: "1", rank=1),
        Column("SECOND", lambda _: "2", rank=2),
        Column("EMPTY", lambda _: "", rank=3),
    )
    items = ["a long name"]
    assert fit(columns, items, 80).head().plain == "NAME         FIRST  SECOND"
    assert fit(columns, items, 20).row("a long name").plain == "a lo…  1      2     "
    assert fit(columns, items, 12).head().plain == "NAME   FIRST"
    assert fit(columns, items, 4).head().plain == "NAME"
    assert fit(columns, items, 2).head().plain == "N…"


def test_details_of_a_failed_profile_label_what_is_known_of_the_failure() -> None:
    failure = Problem(code="engine_lost", message="It ended.", cause="no_memory", evidence="OOM at 3", retry_after_s=90)
    known = board(profiles=(profile("a", state="failed", reason="It ended.", failure=failure),))
    thing = find(known, "a")
    assert thing is not None
    shown = [line.plain for line in details(known, thing)]
    at = next(n for n, line in enumerate(shown) if line.startswith("failure"))
    assert shown[at + 1 : at + 7] == [
        "  code            engine_lost",
        "  message         It ended.",
        "  source          gateway",
        "  retry after     90s",
        "  cause           no_memory",
        "  evidence        OOM at 3",
    ]


def test_details_are_the_fields_then_events_then_the_command_line() -> None:
    known = board(
        EVENTS[0][0], instances=(instance("a", argv=("llama-server", "--ctx-size", "8192"), changed=("ubatch 256",)),)
    )
    thing = find(known, "a-1")
    assert thing is not None
    shown = [line.plain for line in details(known, thing)]
    assert shown[0].split() == ["id", "a-1"]
    assert "predicted bytes   host 338M" in shown
    assert "tokens/s          85.4" in shown
    assert "ttl               10m" in shown
    assert "changed           ubatch 256" in shown
    assert not any(line.startswith("pinned") for line in shown), "what is not so is not told"
    assert any(line.endswith("is ready") for line in shown)
    assert shown[-1] == "argv              llama-server --ctx-size 8192"
    request, profile_ = find(known, "req-8"), find(known, "gemma3-270m")
    assert request is not None
    assert profile_ is not None
    assert "total             2.4s" in [line.plain for line in details(known, request)]
    assert find(known, "gone") is None
    assert find(Board(), "a-1") is None


def test_short_signs() -> None:
    assert [short_size(n) for n in (None, 0, 1023, 311 * MIB, 5 * GIB, 3000 * GIB)] == [
        "-", "0B", "1K", "311M", "5.0G", "2.9T",
    ]  # fmt: skip
    assert [short_time(s) for s in (None, 0.42, 12, 300, 7200, 900_000)] == ["-", "0.4s", "12s", "5m", "2h", "10d"]
    assert memory_bar(100, 50, 25, 8).plain == "██▒▒░░░░"
    assert memory_bar(100, 1, 1, 8).plain == "█░░░░░░░"
    assert memory_bar(0, 0, 0, 4).plain == "░░░░"
    assert curve((None, 0.0, 100.0), 5) == "   ▁█"


def test_a_snapshot_is_json_and_back() -> None:
    known = snapshot(events=(EVENTS[0][0],))
    assert msgspec.json.decode(msgspec.json.encode(known), type=type(known)) == known
