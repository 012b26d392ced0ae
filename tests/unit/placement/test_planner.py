from __future__ import annotations

from itertools import combinations, product

import pytest
from msgspec.structs import replace
from planning import GIB, MIB, dense, gpu, machine, mixture, site, wish

from hostler.errors import NeverFits
from hostler.hardware.facts import Device
from hostler.models.shape import ModelShape
from hostler.placement.bytes import bytes_of
from hostler.placement.layout import HOST, Layout
from hostler.placement.manual import Manual
from hostler.placement.plan import Plan
from hostler.placement.planner import plan, plan_beside
from hostler.placement.speed import costs, speed_of
from hostler.placement.wish import Site, Wish

BIG, SMALL = 24.0, 16.0


def every_layout(shape: ModelShape, gpus: tuple[str, ...]) -> list[Layout]:
    """All that llama.cpp can be told: runs of blocks on the host and each GPU, experts of any blocks on the host."""
    count, found = len(shape.layers), []
    for order in (gpus, tuple(reversed(gpus)), *((each,) for each in gpus)):
        for inner in combinations(range(count + len(order)), len(order)):
            bounds = [at - index for index, at in enumerate(inner)] + [count]
            layers = (HOST,) * bounds[0] + tuple(
                home for home, low, high in zip(order, bounds, bounds[1:], strict=False) for _ in range(high - low)
            )
            if len(layers) != count or len(set(layers) - {HOST}) != len(order):
                continue
            for away in product((False, True), repeat=count):
                experts = tuple(HOST if gone else home for gone, home in zip(away, layers, strict=True))
                found.append(Layout(gpus=order, layers=layers, experts=experts, output=order[-1], projector=order[0]))
    return found


@pytest.mark.parametrize("gibs", [(4.0, 3.0), (3.0, 4.0), (7.0, 2.0), (1.5, 1.5)])
def test_no_layout_that_fits_is_quicker_than_the_one_found(gibs: tuple[float, float]) -> None:
    shape = mixture(6)
    where = site(machine(gpu(0, gibs[0]), gpu(1, gibs[1], bandwidth=6e11)))
    asked = wish(shape, context=4096, engine={"ubatch": 512, "batch": 512})
    made = plan(shape, asked, where)
    kinds = {device.id: device.kind for device in where.machine.devices}
    priced = costs(shape, made.run, where.machine, where.efficiencies, asked.prompt + asked.answer // 2)

    def fits(layout: Layout) -> bool:
        held = bytes_of(shape, made.run, layout, kinds)
        return all(each.total <= where.rooms[device].available for device, each in held.items())

    def seconds(layout: Layout) -> float:
        speed = speed_of(priced, layout)
        return asked.prompt / speed.prefill.value + asked.answer / speed.decode.value

    best = min(seconds(layout) for layout in every_layout(shape, ("gpu0", "gpu1")) if fits(layout))
    assert made.request_s <= 1.03 * best


def test_a_plan_is_within_every_room() -> None:
    shape, where = mixture(30), site(machine(gpu(0, 12), gpu(1, 8)))
    made = plan(shape, wish(shape, context=32768), where)
    assert all(size <= where.rooms[device].available for device, size in made.need.items())
    assert HOST in made.layout.experts
    assert HOST not in made.layout.layers


def test_what_fits_the_fast_card_lies_there_alone() -> None:
    shape, where = dense(), site(machine(gpu(0, 16, bandwidth=5e11), gpu(1, 16)))
    made = plan(shape, wish(shape, context=8192), where)
    assert made.layout.gpus == ("gpu1",)
    assert flag(made, "--device") == "CUDA1"
    assert flag(made, "--split-mode") == "none"


def test_of_two_cards_the_fast_one_is_filled_first() -> None:
    shape, where = dense(), site(machine(gpu(0, 8, bandwidth=5e11), gpu(1, 7)))
    made = plan(shape, wish(shape, context=8192), where)
    assert set(made.layout.layers) == {"gpu0", "gpu1"}
    left = {device: where.rooms[device].available - held.total for device, held in made.bytes.items()}
    assert left["gpu1"] < (512 + 64) * MIB
    counts = [made.layout.layers.count(device) for device in made.layout.gpus]
    assert flag(made, "--tensor-split") == f"{counts[0]},{counts[1] + 1}"


def test_layers_that_no_card_can_hold_stay_on_the_host() -> None:
    shape, where = dense(), site(machine(gpu(0, 4)))
    made = plan(shape, wish(shape, context=4096), where)
    on_host = made.layout.layers.count(HOST)
    assert made.layout.layers[:on_host] == (HOST,) * on_host
    assert flag(made, "--n-gpu-layers") == str(16 - on_host + 1)


def test_cards_that_are_alike_may_share_every_layer() -> None:
    shape = replace(dense(8, mib=1500), architecture="llama")
    pair = (gpu(0, 24, name="same"), gpu(1, 24, name="same"))
    made = plan(shape, wish(shape, context=8192), site(machine(*pair)))
    single = plan(shape, wish(shape, context=8192), site(machine(pair[0])))
    assert made.speeds[0].decode.value >= single.speeds[0].decode.value
    unsupported = plan(replace(shape, architecture="deepseek2"), wish(shape, context=8192), site(machine(*pair)))
    assert unsupported.layout.split != "tensor"


def test_without_gpus_everything_is_on_the_host() -> None:
    shape = dense()
    made = plan(shape, wish(shape), site(machine()))
    assert set(made.bytes) == {HOST}
    assert flag(made, "--fit") == "off"
    assert flag(made, "--device") is None
    assert flag(made, "--threads") == "8"


def test_a_profile_may_name_its_devices() -> None:
    shape, where = dense(), site(machine(gpu(0, 24), gpu(1, 24)))
    assert plan(shape, wish(shape, devices=("gpu1",)), where).layout.gpus == ("gpu1",)
    assert plan(shape, wish(shape, devices=("host",)), where).layout.gpus == ()


def test_the_cache_may_be_left_open() -> None:
    shape = dense()
    roomy, narrow = site(machine(gpu(0, 80))), site(machine(gpu(0, 12)))
    asked = wish(shape, context=65536, kv="auto")
    assert plan(shape, asked, roomy).run.cache_k == "f16"
    made = plan(shape, asked, narrow)
    assert (made.run.cache_k, made.run.cache_v) == ("q8_0", "q8_0")
    assert flag(made, "--flash-attn") == "on"
    half = plan(shape, wish(shape, context=65536, kv="auto", engine={"cache_type_v": "f16"}), narrow)
    assert (half.run.cache_k, half.run.cache_v) == ("q8_0", "f16")


def test_the_largest_context_is_the_largest_that_costs_little() -> None:
    shape = dense()
    asked = wish(shape, context="max")
    assert plan(shape, asked, site(machine(gpu(0, 80)))).run.context == shape.context
    narrow = site(machine(gpu(0, 12)))
    made = plan(shape, asked, narrow)
    assert 8192 < made.run.context < shape.context
    assert made.run.context % 1024 == 0
    assert HOST not in made.layout.layers
    more = plan(shape, wish(shape, context=made.run.context + 2048), narrow)
    least = plan(shape, wish(shape, context=8192), narrow)
    assert more.request_s > 1.1 * least.request_s or HOST in more.layout.layers


def test_a_batch_takes_two_seconds_at_most() -> None:
    shape = dense()
    made = plan(shape, wish(shape), site(machine()))
    assert made.run.batch / made.speeds[0].prefill.value <= 2.1 or made.run.batch == 32
    assert made.run.ubatch <= made.run.batch
    asked = plan(shape, wish(shape, engine={"batch": 256, "ubatch": 128}), site(machine()))
    assert (asked.run.batch, asked.run.ubatch) == (256, 128)


def test_a_projector_goes_where_it_costs_least() -> None:
    shape = dense()
    roomy, asked = site(machine(gpu(0, 24))), wish(shape)
    assert plan(shape, replace(asked, projector=GIB), roomy).layout.projector == "gpu0"
    tight = site(machine(gpu(0, 10.2)))
    made = plan(shape, replace(asked, projector=2 * GIB), tight)
    assert made.layout.projector == HOST
    assert ("--no-mmproj-offload",) in [chosen.argv for chosen in made.flags]


def test_what_cannot_fit_is_refused_with_numbers() -> None:
    shape = dense()
    with pytest.raises(NeverFits) as refused:
        plan(shape, wish(shape, context=131072), site(machine(gpu(0, 4), host_gib=8)))
    assert "weights" in refused.value.message
    assert "on gpu0" in refused.value.message
    assert 'kv = "auto"' in refused.value.hint
    with pytest.raises(NeverFits) as hopeless:
        plan(shape, wish(shape, context="max"), site(machine(host_gib=4)))
    assert "no context is small enough" in hopeless.value.hint


def test_a_context_that_is_absurd_is_not_blamed_on_the_model() -> None:
    # Scratch memory grows with the context too: without the cache alone it would still not have fitted.
    with pytest.raises(NeverFits) as refused:
        plan(dense(), wish(dense(), context=10**9), site(machine(gpu(0, 24))))
    assert "a smaller `context`" in refused.value.hint
    with pytest.raises(NeverFits) as crowded:
        plan(dense(), wish(dense(), context=8192, slots=1024), site(machine(gpu(0, 24))))
    assert "fewer `slots`" in crowded.value.hint
    with pytest.raises(NeverFits) as narrow:
        plan(dense(), wish(dense(), context="max", slots=64), site(machine(host_gib=12)))
    assert "below 8192" in narrow.value.hint


def test_more_context_than_the_model_was_trained_for_is_of_no_use() -> None:
    # A request of 9001 tokens was refused by an engine with 16384, of a model that was trained for 8192.
    shape = replace(dense(), context=8192)
    over = plan(shape, wish(shape, context=16384), site(machine(gpu(0, 24))))
    assert any("Trained for 8192" in note for note in over.notes)
    assert not plan(shape, wish(shape, context=8192), site(machine(gpu(0, 24)))).notes


def test_experts_are_named_by_block() -> None:
    shape, where = mixture(30), site(machine(gpu(0, 12), gpu(1, 8)))
    made = plan(shape, wish(shape, context=8192), where)
    away = [index for index, home in enumerate(made.layout.experts) if home == HOST]
    given = flag(made, "--n-cpu-moe") or flag(made, "--override-tensor")
    assert given is not None
    if away == list(range(len(away))):
        assert given == str(len(away))
    else:
        assert given.endswith("exps=CPU")


def test_unified_memory_counts_once() -> None:
    unified = Device(
        id="gpu0",
        kind="apple",
        name="Mac",
        total=16 * GIB,
        free=12 * GIB,
        unified=True,
        limit=11 * GIB,
        bandwidth=gpu(0, 1).bandwidth,
        rates=gpu(0, 1).rates,
    )
    where = site(machine(unified, host_gib=16))
    shape = dense(16, mib=400)
    made = plan(shape, wish(shape, context=8192), where)
    assert made.layout.gpus == ("gpu0",)
    assert made.need[HOST] == made.bytes[HOST].total + made.bytes["gpu0"].total <= where.rooms[HOST].available
    with pytest.raises(NeverFits):
        plan(dense(16, mib=1200), wish(shape, context=8192), where)


def test_what_is_placed_by_hand_is_predicted_and_left_to_the_profile() -> None:
    shape, where = dense(), site(machine(gpu(0, 24)))
    asked = replace(wish(shape, placement="manual"), manual=Manual(layers=5))
    made = plan(shape, asked, where)
    assert (made.layout.layers.count("gpu0"), made.layout.output) == (4, "gpu0")
    assert next(chosen.argv for chosen in made.flags) == ("--fit", "off")
    assert flag(made, "--n-gpu-layers") is None
    assert any("by hand" in note for note in made.notes)
    with pytest.raises(NeverFits, match=r"on gpu0, where 3\.9 GiB may be used"):
        plan(shape, replace(asked, manual=Manual()), site(machine(gpu(0, 4))))


def test_what_the_engine_places_gets_margins_and_no_places() -> None:
    shape, where = dense(), site(machine(gpu(0, 24), gpu(1, 16, display=True)))
    made = plan(shape, wish(shape, placement="engine"), where)
    assert (flag(made, "--fit"), flag(made, "--fit-target")) == ("on", "128,1024")
    assert flag(made, "--n-gpu-layers") is None


def beside(where: Site, residents: dict[str, dict[str, int]]) -> Site:
    rooms = {
        name: replace(
            room,
            available=room.available - sum(sizes.get(name, 0) for sizes in residents.values()),
            residents={profile: sizes[name] for profile, sizes in residents.items() if name in sizes},
        )
        for name, room in where.rooms.items()
    }
    return replace(where, rooms=rooms)


def placed(shape: ModelShape, asked: Wish, residents: dict[str, dict[str, int]], *, gib: float = 24) -> Plan:
    return plan_beside(shape, asked, beside(site(machine(gpu(0, gib))), residents), residents)


def test_a_plan_leaves_residents_alone_when_there_is_room_beside_them() -> None:
    shape = dense()
    assert placed(shape, wish(shape), {"small": {"gpu0": 4 * GIB}}).goes == ()


def test_a_plan_says_who_would_have_to_go_and_no_more() -> None:
    shape = dense()
    residents = {"large": {"gpu0": 12 * GIB}, "small": {"gpu0": 2 * GIB}, "elsewhere": {"host": GIB}}
    made = placed(shape, wish(shape), residents, gib=20)
    assert made.goes == ("large",)
    assert HOST not in made.layout.layers


def flag(made: Plan, name: str) -> str | None:
    return next((chosen.argv[1] for chosen in made.flags if chosen.argv[0] == name), None)


def test_vectors_beside_chat_take_the_outputs_of_a_whole_ubatch() -> None:
    """SmolLM2 with `embeddings` was planned with 17 MiB of scratch memory; the engine reported 104."""
    shape = dense()
    asked = replace(wish(shape), batch=512, ubatch=512)
    plain = plan(shape, asked, site(machine()))
    beside = plan(shape, replace(asked, whole_inputs=True), site(machine()))
    assert beside.run.pooled
    assert beside.bytes[HOST].compute >= 4 * 512 * shape.vocabulary > plain.bytes[HOST].compute
    assert beside.bytes[HOST].output >= 4 * 512 * shape.vocabulary
