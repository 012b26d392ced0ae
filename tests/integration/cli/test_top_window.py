"""`hostler top`, its keys and its menu, against a gateway that answers from the wire structs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager

import anyio
import msgspec
import pytest
from fake_gateway import EVENTS, INSTANCE, STATUS, FakeGateway, profile, serving
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from hostler.cli.top.app import Top
from hostler.cli.top.board import Lost
from hostler.cli.top.chooser import Chooser
from hostler.cli.top.sheet import Sheet
from hostler.cli.top.window import Window
from hostler.client.gateway import Client
from hostler.wire.management import RequestInFlight, Requests

pytestmark = pytest.mark.anyio
PATIENCE_S = 20


class Seen:
    """What a user sees of the window, and the keys."""

    def __init__(self, app: Top, pilot: Pilot[None]) -> None:
        self.app = app
        self._pilot = pilot

    def panel(self, name: str) -> str:
        """A panel's lines."""
        window = self.window(name)
        return "\n".join(window.render_line(y).text.rstrip() for y in range(window.size.height))

    def window(self, name: str) -> Window:
        return self.app.screen_stack[0].query_one(f"#{name}", Window)

    def line(self, name: str) -> str:
        """The header, the notice or the keys."""
        return str(self.app.screen_stack[0].query_one(f"#{name}", Static).content)

    def options(self) -> list[str]:
        """The lines of the menu."""
        listed = self.app.screen.query_one(OptionList)
        return [str(listed.get_option_at_index(at).prompt).rstrip() for at in range(listed.option_count)]

    async def press(self, *keys: str) -> None:
        await self._pilot.press(*keys)
        await self._pilot.pause()

    async def click(self, name: str, column: int, line: int) -> None:
        await self._pilot.click(f"#{name}", offset=(column, line))
        await self._pilot.pause()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it is so."""
        with anyio.fail_after(PATIENCE_S):
            while not condition():
                await self._pilot.pause(0.02)

    async def resize(self, width: int, height: int) -> None:
        await self._pilot.resize_terminal(width, height)
        await self._pilot.pause()


@asynccontextmanager
async def top(
    connect: Callable[[], Client], *, menu: bool = False, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Seen]:
    app = Top(connect, menu=menu)
    async with app.run_test(size=size) as pilot:
        yield Seen(app, pilot)


@asynccontextmanager
async def known(gateway: FakeGateway, *, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Seen]:
    """The window once it shows the gateway's answers and events."""
    async with top(lambda: Client(gateway.url), size=size) as seen:
        await seen.until(lambda: "is ready" in seen.panel("happenings"))
        await seen.until(lambda: "smollm2" in seen.panel("instances"))
        yield seen


async def test_every_panel_shows_at_80x24(gateway: FakeGateway) -> None:
    async with known(gateway) as seen:
        assert "0.1.0" in seen.line("header")
        assert "host 338M/300M" in seen.panel("instances")
        assert "4.0G/24.0G" in seen.panel("devices")
        assert "cpu  42%" in seen.panel("devices")
        assert "req-9" in seen.panel("requests")
        assert "req-8" in seen.panel("requests")
        assert seen.line("keys").strip().endswith("q quit")
        heights = [window.size.height for window in seen.app.query(Window)]
        assert sum(heights) + 3 == 24


@pytest.mark.parametrize("size", [(40, 10), (80, 24), (120, 40), (20, 5)])
async def test_any_size_is_survived(gateway: FakeGateway, size: tuple[int, int]) -> None:
    async with known(gateway) as seen:
        await seen.resize(*size)
        await seen.until(lambda: sum(window.size.height for window in seen.app.query(Window)) + 3 == size[1])
        for name in ("instances", "devices", "requests", "happenings"):
            assert all(len(line) <= size[0] for line in seen.panel(name).splitlines())
        await seen.resize(120, 40)
        await seen.until(lambda: "PID" in seen.panel("instances"))


async def test_m_switches_and_l_loads(gateway: FakeGateway) -> None:
    async with known(gateway) as seen:
        await seen.press("m")
        assert isinstance(seen.app.screen, Chooser)
        assert seen.options()[0].startswith("● smollm2")
        assert not any("secret" in option for option in seen.options())
        await seen.press("enter")
        await seen.until(lambda: seen.line("notice") == "smollm2 is ready; unloaded old and older.")
        assert ("POST", "/api/profiles/smollm2/switch") in gateway.asked
        await seen.press("l", "down", "enter")
        await seen.until(lambda: seen.line("notice") == "gemma3-270m is ready.")
        assert ("POST", "/api/profiles/gemma3-270m/load") in gateway.asked


async def test_u_unloads_and_c_cancels_what_is_selected(gateway: FakeGateway) -> None:
    second = msgspec.structs.replace(INSTANCE, id="other-2", profile="gemma3-270m")
    gateway.instances = [INSTANCE, second]
    async with known(gateway) as seen:
        await seen.until(lambda: "gemma3-270m" in seen.panel("instances"))
        await seen.press("down")
        assert "› gemma3-270m" in seen.panel("instances")
        await seen.press("u")
        await seen.until(lambda: seen.line("notice") == "gemma3-270m is unloaded.")
        await seen.press("c")
        await seen.until(lambda: seen.line("notice") == "req-9 is cancelled.")
        await seen.press("tab", "tab", "down", "c")
        await seen.until(lambda: seen.line("notice") == "No request that waits or runs is selected.")


async def test_p_pins_and_unpins_what_is_selected(gateway: FakeGateway) -> None:
    async with known(gateway) as seen:
        await seen.press("p")
        await seen.until(lambda: seen.line("notice") == "smollm2 is pinned.")
        gateway.instances = [msgspec.structs.replace(INSTANCE, pinned=True)]
        await seen.press("l", "escape")  # looks again at once
        await seen.until(lambda: "pinned" in seen.panel("instances"))
        await seen.press("p")
        await seen.until(lambda: seen.line("notice") == "smollm2 is not pinned any more.")


async def test_a_click_selects(gateway: FakeGateway) -> None:
    gateway.instances = [INSTANCE, msgspec.structs.replace(INSTANCE, id="other-2", profile="gemma3-270m")]
    async with known(gateway) as seen:
        await seen.until(lambda: "gemma3-270m" in seen.panel("instances"))
        await seen.click("instances", 5, 3)
        assert seen.window("instances").selected == "other-2"
        await seen.click("instances", 5, 0)
        assert seen.window("instances").selected == "other-2", "the title is no row"


async def test_the_selection_stays_while_lines_move(gateway: FakeGateway) -> None:
    async with known(gateway) as seen:
        assert seen.window("requests").selected == "req-9"
        first = RequestInFlight(
            id="req-1", profile="smollm2", instance=None, api="chat", state="queued", age_s=9.0, principal="alice"
        )
        gateway.requests = Requests(in_flight=(first, *gateway.requests.in_flight), recent=gateway.requests.recent)
        await seen.until(lambda: "alice" in seen.panel("requests"))
        assert seen.window("requests").selected == "req-9"
        assert "(1 running, 1 waiting)" in seen.panel("requests")


async def test_what_the_gateway_refuses_is_one_line(gateway: FakeGateway) -> None:
    async with known(gateway) as seen:
        gateway.profiles[1] = profile("gone")
        await seen.press("l", "down")
        gateway.profiles.pop(1)
        await seen.press("enter")
        await seen.until(lambda: "No profile is called" in seen.line("notice"))


async def test_slash_filters_events_and_escape_shows_all(gateway: FakeGateway) -> None:
    async with known(gateway) as seen:
        await seen.press("slash", *"loading")
        assert seen.app.query_one("#filter", Input).has_focus
        assert "is loading" in seen.panel("happenings")
        assert "is ready" not in seen.panel("happenings")
        await seen.press("enter")
        assert seen.window("happenings").has_focus
        assert "with 'loading'" in seen.panel("happenings")
        await seen.press("escape")
        assert "is ready" in seen.panel("happenings")


async def test_space_holds_the_events_still(gateway: FakeGateway) -> None:
    async with known(gateway) as seen:
        await seen.press("space")
        before = seen.panel("happenings")
        assert "paused" in before
        seen.app._feed._take([msgspec.structs.replace(EVENTS[0], id=9)])
        await seen.until(lambda: "paused, 1 new" in seen.panel("happenings"))
        await seen.press("space")
        assert seen.panel("happenings").count("is loading") == 2


async def test_g_shows_the_engines_log_then_the_gateways_then_events(gateway: FakeGateway) -> None:
    async with known(gateway) as seen:
        await seen.press("g")
        await seen.until(lambda: "line 5" in seen.panel("happenings"))
        assert "Log of smollm2" in seen.panel("happenings")
        await seen.press("g")
        await seen.until(lambda: "Log of the gateway" in seen.panel("happenings"))
        await seen.press("g")
        await seen.until(lambda: "Events" in seen.panel("happenings"))


async def test_help_and_back(gateway: FakeGateway) -> None:
    async with known(gateway) as seen:
        await seen.press("question_mark")
        assert isinstance(seen.app.screen, Sheet)
        await seen.press("escape")
        assert not isinstance(seen.app.screen, Sheet)


async def test_enter_shows_all_of_what_is_selected_as_it_changes(gateway: FakeGateway) -> None:
    async with known(gateway) as seen:
        await seen.press("enter")
        sheet = seen.app.screen
        assert isinstance(sheet, Sheet)
        await seen.until(lambda: "4242" in str(sheet.query_one(Static).content))
        gateway.instances = [msgspec.structs.replace(INSTANCE, pid=5151)]
        await seen.until(lambda: "5151" in str(sheet.query_one(Static).content))
        await seen.press("escape", "tab", "tab", "tab", "enter")
        assert not isinstance(seen.app.screen, Sheet), "nothing can be selected among events"


async def test_what_is_over_does_not_keep_the_selection_when_nobody_looks(gateway: FakeGateway) -> None:
    flying = gateway.requests.in_flight
    gateway.requests = Requests(in_flight=(), recent=gateway.requests.recent)
    async with known(gateway) as seen:
        await seen.until(lambda: seen.window("requests").selected == "req-8")
        gateway.requests = Requests(in_flight=flying, recent=gateway.requests.recent)
        await seen.until(lambda: seen.window("requests").selected == "req-9")


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
async def test_q_leaves(gateway: FakeGateway, key: str) -> None:
    async with known(gateway) as seen:
        await seen.press(key)
        await seen.until(lambda: not seen.app.is_running)
        assert seen.app.return_code == 0


async def test_a_gateway_that_comes_back_elsewhere_is_found_again() -> None:
    where = []
    with ExitStack() as first:
        old = first.enter_context(serving())
        where.append(old.url)
        async with top(lambda: Client(where[-1])) as seen:
            await seen.until(lambda: "smollm2" in seen.panel("instances"))
            await anyio.to_thread.run_sync(first.close)
            await seen.until(lambda: "reconnecting" in seen.line("header"))
            assert isinstance(seen.app._feed.board.link, Lost)
            assert "smollm2" in seen.panel("instances"), "what was known stays to be seen"
            assert seen.line("notice") == "Start one with `hostler up`."
            await seen.press("m")
            assert "reconnecting" in seen.line("notice"), "nothing is offered that cannot work"
            with serving() as new:
                new.status = msgspec.structs.replace(STATUS, pid=1, started_at=STATUS.started_at + 60)
                new.instances = []
                where.append(new.url)
                await seen.until(lambda: "Nothing is loaded" in seen.panel("instances"))
                assert new.url in seen.line("header")


async def test_another_run_at_the_same_address_begins_its_events_anew(gateway: FakeGateway) -> None:
    async with known(gateway) as seen:
        asked = len(gateway.last_event_ids)
        gateway.status = msgspec.structs.replace(STATUS, pid=99, last_event=3)
        await seen.until(lambda: len(gateway.last_event_ids) > asked)
        assert gateway.last_event_ids[-1] == "0"


async def test_the_menu_marks_what_runs_and_keeps_groups_apart(gateway: FakeGateway) -> None:
    gateway.profiles += [
        profile("bench-a", group="bench", state="ready"),
        profile("bench-b", group="bench"),
        profile("found", origin="root"),
    ]
    async with top(lambda: Client(gateway.url), menu=True) as seen:
        await seen.until(lambda: len(seen.options()) == 4)
        assert isinstance(seen.app.screen, Chooser)
        assert seen.options()[2:] == ["◐ bench ›  2 profiles, 1 loaded", "  found on this machine ›  1 profile"]
        await seen.press("down", "down", "enter")
        assert seen.options()[0].startswith("● bench-a")
        await seen.press("escape")
        assert len(seen.options()) == 4
        await seen.press("slash", *"bench-b", "enter")
        assert len(seen.options()) == 1
        await seen.press("enter")
        await seen.until(lambda: seen.line("notice") == "bench-b is ready.")
        assert ("POST", "/api/profiles/bench-b/load") in gateway.asked
        assert not isinstance(seen.app.screen, Chooser), "the window comes after the menu"


async def test_the_menu_goes_to_what_runs_already_without_asking_for_it(gateway: FakeGateway) -> None:
    async with top(lambda: Client(gateway.url), menu=True) as seen:
        await seen.until(lambda: len(seen.options()) == 2)
        await seen.press("enter")
        await seen.until(lambda: seen.line("notice") == "smollm2 is ready already.")
        assert not any(method == "POST" for method, _ in gateway.asked)


async def test_the_menu_switches_with_s_and_quits_with_q(gateway: FakeGateway) -> None:
    async with top(lambda: Client(gateway.url), menu=True) as seen:
        await seen.until(lambda: len(seen.options()) == 2)
        await seen.press("s")
        await seen.until(lambda: ("POST", "/api/profiles/smollm2/switch") in gateway.asked)
    async with top(lambda: Client(gateway.url), menu=True) as seen:
        await seen.until(lambda: len(seen.options()) == 2)
        await seen.press("q")
        await seen.until(lambda: not seen.app.is_running)
