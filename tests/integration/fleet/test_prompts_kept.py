"""Prompts from one engine to the next, on engines that really write and read them: whose, when, and what goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest

from hostler.clock import SystemClock
from hostler.config.quantities import Bytes
from hostler.config.settings import KvSettings
from hostler.engines.protocol import Endpoint, LoadSpec
from hostler.events import Bus, PromptCache, PromptCacheProblem
from hostler.fleet.prompts.figures import FAILURES
from hostler.fleet.prompts.keeper import Keeper
from hostler.fleet.prompts.seat import Seat
from hostler.fleet.prompts.tenants import Tenancy
from hostler.fleet.protocol import Conversation, Timing
from hostler.store.watching import Unwritable
from hostler.testing import http
from hostler.testing.gguf_files import write_tiny_gguf
from hostler.testing.launch import Running
from hostler.testing.specs import SPEC
from hostler.wire.caching import SavedPrompt

pytestmark = pytest.mark.anyio

FakeEngine = Callable[..., Awaitable[Running]]
UNNAMED = Conversation()
SECRET = "the harbour master wrote down every boat " * 60


class Place:
    """One home and one profile; engines come and go."""

    def __init__(self, state: Path, fake_engine: FakeEngine) -> None:
        self.state = state
        self.settings = KvSettings()
        self.only: str | None = None
        self.bus = Bus()
        self.slots = 1
        self.flags: tuple[str, ...] = ("--ctx-size", "4096")
        self.lacks_folder = False
        self.model = write_tiny_gguf(state / "model.gguf")
        self._fake_engine = fake_engine
        self.keeper = self.new_keeper()

    def new_keeper(self) -> Keeper:
        tenancy = Tenancy(of=str, only=lambda: self.only)
        return Keeper(self.state, lambda: self.settings, tenancy, self.bus, SystemClock())

    async def engine(self, instance: str, waiting: Collection[str] = ()) -> Loaded:
        """A ready engine, as the first lease finds it."""
        folder = self.state / "slots" / instance
        folder.mkdir(parents=True)
        path = () if self.lacks_folder else ("--slot-save-path", str(folder))
        running = await self._fake_engine("-np", str(self.slots), "-c", str(self.slots * 4096), "--slots", *path)
        model = msgspec.structs.replace(SPEC.model, files=(self.model,))
        spec = msgspec.structs.replace(SPEC, instance=instance, model=model, slots=self.slots, build="b1", task="chat")
        loaded = Loaded(running, spec, Seat(self.keeper, self.bus, spec))
        argv = ("engine", "--model", str(self.model), *self.flags)
        await loaded.seat.restore(loaded.endpoint, argv, waiting)
        return loaded

    async def kept(self) -> int:
        """How many prompts there are, when everything pending is done."""
        return len(await self.prompts())

    async def prompts(self) -> tuple[SavedPrompt, ...]:
        with anyio.fail_after(10):
            await self.keeper.settled()
        return (await self.keeper.status()).prompts

    def told(self, action: str) -> list[PromptCache]:
        return [e for e in self.bus.since(0) if isinstance(e, PromptCache) and e.action == action]

    def problems(self, what: str) -> list[PromptCacheProblem]:
        return [e for e in self.bus.since(0) if isinstance(e, PromptCacheProblem) and e.what == what]


class Loaded:
    """An engine and what the fleet keeps of it."""

    def __init__(self, running: Running, spec: LoadSpec, seat: Seat) -> None:
        self.running = running
        self.spec = spec
        self.seat = seat
        self.endpoint = Endpoint(running.host, running.port, running.key)

    async def ask(
        self, tenant: str, text: str = SECRET, conversation: Conversation = UNNAMED, *, reuse: bool = True
    ) -> int:
        """One request as the fleet sees it; the tokens that its engine had already. It reads 100 tokens a second.

        Without ``reuse`` it does as an engine that cannot go on from what it restored.
        """
        place = self.seat.enter(tenant, conversation)
        body = {"messages": [{"role": "user", "content": text}], "max_tokens": 1, "cache_prompt": reuse}
        if place is not None:
            body |= {"id_slot": place.slot, "cache_prompt": reuse and not place.fresh}
        headers = http.bearer(self.running.key)
        answer = await http.request(self.running.address, "POST", "/v1/chat/completions", body, headers)
        timings = msgspec.json.decode(answer.body)["timings"]
        cached, prompt = int(timings["cache_n"]), int(timings["prompt_n"])
        self.seat.finished(tenant, Timing(cached, prompt, prompt * 10.0, 1, 1.0), place)
        self.seat.left(place)
        return cached

    async def leave(self) -> None:
        """As it is stopped."""
        if self.seat.worth_saving:
            await self.seat.save(self.endpoint)


@asynccontextmanager
async def tended(place: Place) -> AsyncIterator[None]:
    async with anyio.create_task_group() as group:
        group.start_soon(place.keeper.tend)
        yield
        group.cancel_scope.cancel()


@pytest.fixture
async def place(tmp_path: Path, fake_engine: FakeEngine) -> AsyncIterator[Place]:
    (tmp_path / "state").mkdir()
    made = Place(tmp_path / "state", fake_engine)
    async with tended(made):
        yield made


async def test_the_next_turn_goes_on_from_what_the_last_engine_computed(place: Place) -> None:
    first = await place.engine("p-1", {"alice"})
    assert await first.ask("alice") == 0
    await first.leave()
    second = await place.engine("p-2", {"alice"})
    assert await second.ask("alice", SECRET + "and then?") >= 256
    assert len(place.told("saved")) == len(place.told("restored")) == len(place.told("used")) == 1
    assert await place.kept() == 1
    status = await place.keeper.status()
    assert (status.saved, status.restored, status.used) == (1, 1, 1)
    assert status.prompts[0].hits == 1
    assert status.saved_s > 1
    assert status.prompts[0].tenant == "alice"


async def test_what_is_kept_outlives_the_gateway(place: Place) -> None:
    first = await place.engine("p-1")
    await first.ask("alice")
    await first.leave()
    assert await place.kept() == 1
    place.keeper = place.new_keeper()
    async with tended(place):
        assert await (await place.engine("p-2", {"alice"})).ask("alice") > 0


class TestTenants:
    @pytest.mark.parametrize("waiting", [("mallory",), ("alice", "mallory"), ()], ids=["another", "both", "nobody"])
    async def test_no_engine_gets_what_is_not_of_the_one_who_waits(
        self, place: Place, waiting: tuple[str, ...]
    ) -> None:
        first = await place.engine("p-1", {"alice"})
        await first.ask("alice")
        await first.leave()
        second = await place.engine("p-2", waiting)
        assert await second.ask("mallory") == 0
        assert place.told("restored") == []

    async def test_with_one_tenant_alone_nobody_has_to_wait(self, place: Place) -> None:
        place.only = "local"
        first = await place.engine("p-1")
        await first.ask("local")
        await first.leave()
        assert await (await place.engine("p-2")).ask("local") > 0

    async def test_a_load_that_is_measured_restores_for_nobody_but_who_waits(self, place: Place) -> None:
        place.only = "local"
        first = await place.engine("p-1")
        await first.ask("local")
        await first.leave()
        with place.keeper.measuring(SPEC.profile):
            await place.engine("p-2")
            assert place.told("restored") == []
            await place.engine("p-3", {"local"})
            assert len(place.told("restored")) == 1
        await place.engine("p-4")
        assert len(place.told("restored")) == 2

    async def test_slots_of_two_are_saved_for_each_alone(self, place: Place) -> None:
        place.slots = 2
        first = await place.engine("p-1")
        await first.ask("alice")
        assert await first.ask("mallory", SECRET + "and then?") == 0
        await first.leave()
        assert sorted(each.tenant for each in await place.prompts()) == ["alice", "mallory"]
        second = await place.engine("p-2", {"alice", "mallory"})
        assert await second.ask("mallory", SECRET + "and then? Nothing.") >= 256
        assert await second.ask("alice", SECRET + "and where?") >= 256

    async def test_a_slot_that_two_may_have_used_is_not_saved(self, place: Place) -> None:
        place.slots = 2
        first = await place.engine("p-1")
        await first.ask("alice")
        first.seat.enter("mallory", None)
        await first.leave()
        assert await place.kept() == 0

    async def test_nobody_goes_on_from_another_one_s_prompt(self, place: Place) -> None:
        for slots in (1, 2):
            place.slots = slots
            engine = await place.engine(f"p-{slots}")
            for tenant in ("alice", "mallory", "eve"):
                assert await engine.ask(tenant) == 0
            assert await engine.ask("eve") > 0

    async def test_interleaved_conversations_find_their_own_after_a_switch(self, place: Place) -> None:
        place.slots, place.only = 2, "local"
        texts = [f"{SECRET * 2}{name * 600}" for name in ("one ", "other ")]
        marked = [Conversation(name) for name in ("one", "other")]
        first = await place.engine("p-1")
        for text, conversation in zip(texts, marked, strict=True):
            await first.ask("local", text, conversation)
        await first.leave()
        await place.kept()
        second = await place.engine("p-2")
        for text, conversation in zip(reversed(texts), reversed(marked), strict=True):
            assert await second.ask("local", f"{text} and then?", conversation) > 1400

    async def test_a_single_slot_is_saved_for_its_last_user_only(self, place: Place) -> None:
        first = await place.engine("p-1")
        await first.ask("alice")
        await first.ask("bob", "something else entirely " * 200)
        await first.leave()
        assert await place.kept() == 1
        assert await (await place.engine("p-2", {"alice"})).ask("alice") == 0
        assert await (await place.engine("p-3", {"bob"})).ask("bob", "something else entirely " * 200) > 0

    async def test_a_request_that_ended_in_the_dark_makes_a_slot_nobodys(self, place: Place) -> None:
        first = await place.engine("p-1")
        await first.ask("alice")
        first.seat.enter("mallory", Conversation())
        await first.leave()
        assert await place.kept() == 0

    async def test_what_was_restored_is_not_saved_for_another(self, place: Place) -> None:
        place.slots = 2
        first = await place.engine("p-1")
        await first.ask("alice")
        await first.leave()
        second = await place.engine("p-2", {"alice"})
        await second.ask("mallory", "something else entirely " * 200)
        await second.leave()
        assert sorted(each.tenant for each in await place.prompts()) == ["alice", "mallory"]
        assert await (await place.engine("p-3", {"alice"})).ask("alice") > 256


async def test_files_are_their_owners_alone(place: Place) -> None:
    first = await place.engine("p-1")
    await first.ask("alice")
    await first.leave()
    await place.kept()
    folder = place.state / "prompts"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


async def test_other_flags_are_another_key(place: Place) -> None:
    first = await place.engine("p-1")
    await first.ask("alice")
    await first.leave()
    place.flags = ("--ctx-size", "8192")
    assert await (await place.engine("p-2", {"alice"})).ask("alice") == 0


async def test_a_changed_model_is_another_key(place: Place) -> None:
    first = await place.engine("p-1")
    await first.ask("alice")
    await first.leave()
    await place.kept()
    place.model.write_bytes(place.model.read_bytes() + b"x")
    assert await (await place.engine("p-2", {"alice"})).ask("alice") == 0


async def test_a_short_prompt_is_not_worth_it(place: Place) -> None:
    first = await place.engine("p-1")
    await first.ask("alice", "hello")
    assert not first.seat.worth_saving


async def test_a_spoilt_file_is_dropped_and_told(place: Place) -> None:
    first = await place.engine("p-1")
    await first.ask("alice")
    await first.leave()
    await place.kept()
    (file,) = (place.state / "prompts").glob("*.bin")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    assert await (await place.engine("p-2", {"alice"})).ask("alice") == 0
    assert len(place.problems("dropped")) == 1
    assert await place.kept() == 0


async def test_broken_descriptions_and_leftovers_go_at_start(place: Place) -> None:
    folder = place.state / "prompts"
    await place.kept()
    for name in ("a.json", "b.bin", "c.part"):
        (folder / name).write_bytes(b"{")
    place.keeper = place.new_keeper()
    async with tended(place):
        assert await place.kept() == 0
    assert [each for each in folder.iterdir() if each.name != "salt"] == []
    assert len(place.problems("dropped")) == 1


async def test_a_folder_that_cannot_be_used_costs_the_prompts_only_and_is_told_once(
    tmp_path: Path, fake_engine: FakeEngine
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "prompts").write_text("in the way")
    place = Place(tmp_path / "state", fake_engine)
    async with tended(place):
        for number in range(2):
            engine = await place.engine(f"p-{number}", {"alice"})
            assert await engine.ask("alice") == 0
            await engine.leave()
        assert len(place.problems("unavailable")) == 1
        assert "prompts" in (await place.keeper.status()).problem


async def test_a_folder_that_breaks_later_is_told_for_as_long_as_nothing_is_saved(place: Place) -> None:
    folder = place.state / "prompts"
    async with tended(place):
        assert await place.kept() == 0
        for item in folder.iterdir():
            item.unlink()
        folder.rmdir()
        folder.write_text("in the way")
        for number in range(2):
            engine = await place.engine(f"p-{number}")
            await engine.ask("alice")
            await engine.leave()
            assert "prompts" in (await place.keeper.status()).problem
        assert len(place.problems("unavailable")) == 1
        folder.unlink()
        folder.mkdir()
        engine = await place.engine("last")
        await engine.ask("alice")
        await engine.leave()
        assert (await place.keeper.status()).problem == ""


async def test_what_doctors_ask_ends_when_the_folder_works_again(tmp_path: Path, fake_engine: FakeEngine) -> None:
    folder = tmp_path / "state" / "prompts"
    folder.parent.mkdir()
    folder.write_text("in the way")
    place = Place(tmp_path / "state", fake_engine)
    assert await place.keeper.budget() == 0
    watched = Unwritable({"prompts": lambda: place.keeper.problem}, place.bus, {"prompts": place.keeper.try_again})
    await watched.try_again()
    assert "prompts" in watched.now()["prompts"]
    folder.unlink()
    await watched.try_again()
    assert watched.now() == {}


async def test_an_engine_that_cannot_write_is_told_once_until_it_can(place: Place) -> None:
    for number in range(2):
        engine = await place.engine(f"p-{number}")
        await engine.ask("alice")
        (place.state / "slots" / f"p-{number}").rmdir()
        await engine.leave()
    assert len(place.problems("unavailable")) == 1
    assert "could not write" in (await place.keeper.status()).problem
    engine = await place.engine("last")
    await engine.ask("alice")
    await engine.leave()
    assert await place.kept() == 1
    assert (await place.keeper.status()).problem == ""


async def test_an_engine_that_never_saves_is_asked_once(place: Place) -> None:
    place.lacks_folder = True
    first = await place.engine("p-1")
    await first.ask("alice")
    await first.leave()
    assert len(place.problems("unsupported")) == 1
    second = await place.engine("p-2")
    await second.ask("alice")
    assert not second.seat.worth_saving
    assert list((await place.keeper.status()).abandoned) == ["b1 llama"]


async def test_an_engine_that_does_not_use_what_it_gets_is_given_up(place: Place) -> None:
    for number in range(FAILURES + 1):
        engine = await place.engine(f"p-{number}", {"alice"})
        await engine.ask("alice", reuse=False)
        await engine.leave()
        await place.kept()
    assert len(place.told("restored")) == FAILURES
    assert [each.reason for each in place.problems("unsupported")] == ["what it restores is not used"]
    assert await (await place.engine("last", {"alice"})).ask("alice") == 0
    await place.keeper.clear()
    assert not (await place.keeper.status()).abandoned


async def test_another_conversation_proves_nothing(place: Place) -> None:
    for number in range(FAILURES + 1):
        engine = await place.engine(f"p-{number}", {"alice"})
        await engine.ask("alice", f"word{number} " * 700)
        await engine.leave()
        await place.kept()
    assert not (await place.keeper.status()).abandoned


async def test_a_conversation_that_goes_on_replaces_what_was_kept_of_it(place: Place) -> None:
    for number in range(3):
        engine = await place.engine(f"p-{number}", {"alice"})
        await engine.ask("alice", SECRET + "and then? " * 100 * number)
        await engine.leave()
    assert await place.kept() == 1
    assert (await place.keeper.status()).prompts[0].hits == 2


async def test_a_real_engine_goes_on_from_its_own_file(
    tmp_path: Path, smollm2: Path, real_engine: Callable[..., Awaitable[Running]]
) -> None:
    """The same over the embedded build: its files, its format, its word for what it had already."""
    (tmp_path / "state").mkdir()

    async def start(*flags: str) -> Running:
        return await real_engine("--model", str(smollm2), "--ctx-size", "1024", "--threads", "2", *flags[4:])

    place = Place(tmp_path / "state", start)
    async with tended(place):
        story = "The harbour master counted every boat and wrote it down. " * 24
        first = await place.engine("p-1")
        await first.ask("alice", story)
        await first.leave()
        second = await place.engine("p-2", {"alice"})
        assert await second.ask("alice", story + "How many were there?") >= 256
        await second.leave()
        assert await place.kept() == 1


async def test_what_does_not_fit_the_budget_is_not_written_which_is_told_once(place: Place) -> None:
    """On a disk too small for a single prompt nothing was ever saved, and nothing said so."""
    place.settings = KvSettings(budget=Bytes(1000))
    for number in range(2):
        engine = await place.engine(f"p-{number}")
        await engine.ask("alice")
        await engine.leave()
    assert place.told("saved") == []
    [problem] = place.problems("unavailable")
    assert "and 1000 B may be kept in all" in problem.reason
    assert (await place.keeper.status()).problem == problem.reason
    assert place.keeper.problem == ""  # somebody wants it so
    place.settings = KvSettings()
    last = await place.engine("last")
    await last.ask("alice")
    await last.leave()
    assert len(place.told("saved")) == 1
    assert (await place.keeper.status()).problem == ""


async def test_switched_off_it_keeps_nothing(place: Place) -> None:
    first = await place.engine("p-1")
    await first.ask("alice")
    await first.leave()
    assert await place.kept() == 1
    place.settings = KvSettings(persist=False)
    assert await place.kept() == 0
    second = await place.engine("p-2", {"alice"})
    await second.ask("alice")
    assert not second.seat.worth_saving


async def test_clearing_leaves_nothing(place: Place) -> None:
    first = await place.engine("p-1")
    await first.ask("alice")
    await first.leave()
    await place.kept()
    assert (await place.keeper.clear("another")).prompts == 0
    assert (await place.keeper.clear()).prompts == 1
    assert list((place.state / "prompts").glob("*.bin")) == []
    assert await (await place.engine("p-2", {"alice"})).ask("alice") == 0
