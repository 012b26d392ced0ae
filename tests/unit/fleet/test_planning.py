"""Plans for profiles: beside whom, in whose place, and what listings keep."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from hostler.config.settings import EngineSettings, LoadMode, Profile
from hostler.engines.builds import Build
from hostler.errors import ConfigError, NeverFits
from hostler.fleet.profiles.planning import RIPPLE, Asked, Planning, Resident, World, less
from hostler.fleet.recovery.ladder import NONE, Changes
from hostler.hardware import machines
from hostler.hardware.facts import Machine
from hostler.models.facts import Model
from hostler.placement.plan import Plan
from hostler.placement.wish import Room, rooms_of
from hostler.testing.specs import SHAPE

MIB = 2**20
GIB = 2**30
DESKTOP = machines.load("rtx4090-5070ti")
BUILD = Build(name="b", kind="binary", version="1", sha256="f" * 64, devices=("CUDA0", "CUDA1"))
#: Thirty layers of 512 MiB: 15 GiB.
LARGE = replace(SHAPE, layers=tuple(replace(layer, feed_forward=512 * MIB) for layer in SHAPE.layers))


class Bench:
    """A world of which everything can be changed."""

    def __init__(self, machine: Machine = DESKTOP, build: Build | None = BUILD) -> None:
        self.machine = machine
        self.found: dict[str, Room] = rooms_of(machine)
        self.residents: list[Resident] = []
        self.known = build
        self.reads = 0
        self.environ: dict[str, str] = {}
        self.load_mode: tuple[LoadMode, str] | None = None

    def rooms(self, anew: bool) -> dict[str, Room]:
        self.reads += anew
        return self.found

    @property
    def planning(self) -> Planning:
        return Planning(
            World(
                machine=lambda: self.machine,
                rooms=self.rooms,
                build=lambda _: self.known,
                residents=lambda: self.residents,
                loading=lambda *_: self.load_mode,
                environ=self.environ,
            )
        )

    def loaded(self, asked: Asked, changes: Changes = NONE) -> Plan:
        return self.planning.load(asked, changes).plan


def _asked(name: str = "coder", extra: tuple[str, ...] = (), **profile: object) -> Asked:
    settings = Profile(model="m", context=4096, engine=EngineSettings(extra_args=extra))
    model = Model(name="m", files=(Path("/models/m.gguf"),), size=1, origin="path")
    return Asked(name=name, profile=replace(settings, **profile), task="chat", model=model, shape=LARGE)


def test_a_load_reads_the_devices_anew_and_a_listing_does_not() -> None:
    bench = Bench()
    planning = bench.planning
    planning.load(_asked(), NONE)
    assert bench.reads == 1
    planning.empty(_asked())
    assert bench.reads == 1


def test_the_fast_card_is_taken_and_the_other_one_beside_a_pinned_resident() -> None:
    bench = Bench()
    assert bench.loaded(_asked()).layout.gpus == ("gpu0",)

    bench.residents = [Resident(profile="other", bytes={"gpu0": 23 * GIB}, pinned=True)]
    beside = bench.loaded(_asked())
    assert beside.goes == ()
    assert "gpu0" not in beside.layout.gpus
    assert beside.rooms["gpu0"].residents == {"other": 23 * GIB}


def test_who_is_idle_may_have_to_go() -> None:
    bench = Bench()
    bench.residents = [Resident(profile="other", bytes={"gpu0": 20 * GIB})]
    made = bench.loaded(_asked(devices=("gpu0",)))

    assert made.layout.gpus == ("gpu0",)
    assert made.goes == ("other",)


def test_who_is_busy_is_waited_for_only_when_nothing_else_fits() -> None:
    bench = Bench()
    host = bench.machine.host.total
    bench.residents = [
        Resident(profile="busy", bytes={"gpu0": 22 * GIB, "gpu1": 11 * GIB}, idle=False),
        Resident(profile="idle", bytes={"host": host // 2}),
    ]
    # It fits on the host once the idle one is gone, so nobody waits for the busy one.
    assert "busy" not in bench.loaded(_asked()).goes

    bench.residents = [Resident(profile="busy", bytes={"gpu0": 22 * GIB, "host": host}, idle=False)]
    assert bench.loaded(_asked(devices=("gpu0",))).goes == ("busy",)


def test_who_is_pinned_never_goes() -> None:
    bench = Bench()
    everything = {device.id: device.total for device in DESKTOP.devices}
    bench.residents = [Resident(profile="pinned", bytes=everything, pinned=True)]

    with pytest.raises(NeverFits) as refused:
        bench.loaded(_asked())
    assert refused.value.message.startswith("Profile 'coder' fits nowhere: it needs")
    assert "'pinned'" in refused.value.message
    assert "gpu0" in refused.value.message


def test_its_own_instance_is_not_in_its_way() -> None:
    bench = Bench()
    bench.residents = [Resident(profile="coder", bytes={"gpu0": 23 * GIB}, pinned=True)]

    assert bench.loaded(_asked()).layout.gpus == ("gpu0",)


def test_after_running_out_of_memory_less_is_used() -> None:
    bench = Bench()
    changes = Changes(ubatch=64, most={"gpu0": 8 * GIB}, cleared=("gpu0",))
    load = bench.planning.load(_asked(devices=("gpu0",)), changes)

    assert load.clears == ("gpu0",)
    assert load.plan.need["gpu0"] <= 8 * GIB
    assert load.build == BUILD.key


def test_an_unknown_build_and_one_without_gpus_compute_on_the_host() -> None:
    for build in (None, replace(BUILD, devices=())):
        made = Bench(build=build).loaded(_asked())
        assert made.layout.gpus == ()
        assert made.need.keys() == {"host"}


def test_the_load_mode_that_was_measured_is_planned_unless_the_profile_says_another() -> None:
    bench = Bench()
    assert "mmap" in bench.loaded(_asked()).argv
    bench.load_mode = ("direct", "measured: quick")
    made = bench.loaded(_asked())
    assert (made.run.mapped, made.run.direct) == (False, True)
    [why] = [each.reason for each in made.flags if each.argv == ("--load-mode", "dio")]
    assert why == "measured: quick"
    assert "none" in bench.loaded(_asked(engine=EngineSettings(load_mode="read"))).argv


def test_hidden_cards_are_not_used() -> None:
    bench = Bench(build=replace(BUILD, devices=("CUDA0",)))
    bench.environ = {"CUDA_VISIBLE_DEVICES": "1"}
    made = bench.loaded(_asked())

    assert made.layout.gpus == ("gpu1",)
    assert made.argv[made.argv.index("--device") + 1] == "CUDA0"


def test_a_card_that_is_not_there_is_an_error_and_one_that_is_lost_is_left_out() -> None:
    bench = Bench()
    with pytest.raises(ConfigError, match="gpu7"):
        bench.loaded(_asked(devices=("gpu7",)))
    del bench.found["gpu0"]
    assert "gpu0" not in bench.loaded(_asked()).layout.gpus


def test_a_mac_s_gpu_and_host_are_one_memory() -> None:
    mac = machines.load("m2-16gb")
    bench = Bench(mac, replace(BUILD, devices=("MTL0",)))
    made = bench.loaded(replace(_asked(), shape=SHAPE))
    assert made.layout.gpus == ("gpu0",)
    assert made.need["host"] >= made.need["gpu0"]

    bench.residents = [Resident(profile="other", bytes=made.need, pinned=True)]
    beside = bench.loaded(replace(_asked(), shape=SHAPE))
    free, ripple = rooms_of(mac), {"gpu0": 0, "host": mac.host.total // RIPPLE}
    for device in ("gpu0", "host"):
        assert beside.rooms[device].available == free[device].available - made.need[device] - ripple[device]


def test_by_hand_is_placed_as_it_says() -> None:
    made = Bench().loaded(_asked(extra=("-ngl", "11", "-sm", "none", "-mg", "1"), placement="manual"))

    assert made.layout.gpus == ("gpu1",)
    assert sum(home == "gpu1" for home in made.layout.layers) == 10
    assert made.argv.count("--device") == 0
    assert any("by hand" in note for note in made.notes)


def test_flash_attention_that_is_switched_off_is_counted_so() -> None:
    with_it, without = (Bench().loaded(_asked(extra=extra)) for extra in ((), ("-fa", "off")))

    assert (with_it.run.flash_attention, without.run.flash_attention) == (True, False)


def test_a_listing_keeps_its_plan_until_something_changes() -> None:
    bench = Bench()
    planning, asked = bench.planning, _asked()
    first = planning.empty(asked)
    assert planning.empty(asked) is first

    room = bench.found["gpu0"]
    bench.found["gpu0"] = replace(room, available=room.available - 1)
    assert planning.empty(asked) is first  # nearly the same room
    bench.found["gpu0"] = replace(room, available=GIB)
    assert planning.empty(asked, again=False) is first
    second = planning.empty(asked)
    assert second is not first
    assert planning.empty(replace(asked, profile=replace(asked.profile, context=8192))) is not second
    planning.keep_only(())
    assert planning.empty(asked) is not second


def test_what_fits_nowhere_is_listed_with_what_it_would_take() -> None:
    bench = Bench()
    bench.found = {name: replace(room, available=GIB) for name, room in bench.found.items()}
    found = bench.planning.empty(_asked())

    assert isinstance(found.refusal, NeverFits)
    assert found.need["host"] > 15 * GIB
    assert found.context == 4096
    assert bench.planning.empty(_asked(context="max")).need["host"] > 15 * GIB


def test_residents_leave_nothing_below_nothing() -> None:
    rooms = {"host": Room(device="host", total=4 * GIB, available=GIB)}
    left = less(rooms, [Resident(profile="a", bytes={"host": 3 * GIB}), Resident(profile="b", bytes={"gpu0": GIB})])

    assert left["host"].available == 0
    assert left["host"].residents == {"a": 3 * GIB}


def test_what_is_placed_by_hand_on_cards_without_room_is_listed_too() -> None:
    bench = Bench()
    bench.found["gpu0"] = replace(bench.found["gpu0"], available=GIB)
    found = bench.planning.empty(_asked(extra=("-ngl", "all", "-dev", "CUDA0"), placement="manual"))

    assert found.refusal is not None
    assert found.need["host"] > 15 * GIB


def test_a_cache_that_cannot_be_quantised_is_never_chosen_to_be() -> None:
    bench = Bench()
    rooms = bench.found.items()
    bench.found = {name: replace(room, available=16 * GIB if name == "host" else 0) for name, room in rooms}
    asked = _asked(kv="auto", context=49152)
    assert bench.loaded(asked).run.cache_k == "q8_0"
    with pytest.raises(NeverFits):
        bench.loaded(replace(asked, heads=(80, 80)))
