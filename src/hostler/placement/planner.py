"""Makes plans: tries the runs that a wish leaves open, takes the one whose request is answered soonest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from hostler.config.settings import CacheType
from hostler.errors import NeverFits
from hostler.hardware.facts import Machine
from hostler.models.shape import ModelShape
from hostler.placement.flags import environment, flags_of
from hostler.placement.layout import HOST, Run
from hostler.placement.manual import Manual, layout_of, notes_of
from hostler.placement.plan import Plan
from hostler.placement.refusal import refusal
from hostler.placement.search import Found, Problem, Weights
from hostler.placement.speed import Costs, Speed, costs, speed_of
from hostler.placement.wish import Room, Site, Wish

BATCH_S = 2.0  # a hang-up during prefill is noticed between batches
LEAST_BATCH, LARGEST_BATCH = 32, 2048
UBATCH = 512
LARGER_UBATCHES = (1024, 2048)
SMALLER_UBATCHES = (256, 128, 64)
STEP = 1024  # tokens; contexts that are searched for are multiples of it
WORTH_KV = 0.95  # a coarser cache must make a request at least this much quicker
WORTH_UBATCH = 0.95
WORTH_PROJECTOR = 0.9
MAX_CONTEXT_COST = 1.1  # `max` may make a request this much slower than the least context
WORTH_ROOM = 0.95  # more room must make a request at least this much quicker
BESIDE_COST = 1.15  # a plan beside all residents may be this much slower than one without them


class Option(NamedTuple):
    """A run that was tried, and the best layout for it."""

    run: Run
    found: Found
    costs: Costs


def plan(shape: ModelShape, wish: Wish, site: Site) -> Plan:
    """The plan for ``wish`` on ``site``. Pure; under 30 ms for a 120B model on three devices with a fixed context.

    Raises NeverFits, which says for each device what is needed and what is there.
    """
    site = within(site, wish)
    planner = _Planner(shape, wish, site)
    context = planner.largest() if wish.context == "max" else wish.context
    option = planner.best(context) if context else None
    if option is None:
        raise refusal(shape, wish, site, planner.smallest(context or wish.least_context))
    return planner.finished(option)


def plan_beside(shape: ModelShape, wish: Wish, site: Site, leaving: Mapping[str, Mapping[str, int]]) -> Plan:
    """A plan beside residents, or instead of some of them.

    ``site`` has no room for any resident; ``leaving`` are those that may go, bytes per device by profile. Beside all
    of them when that costs a request at most 15%, else as if they were gone; ``goes`` then names, smallest first,
    those that free enough.
    """
    beside = _or_none(shape, wish, site)
    if not leaving:
        return beside or plan(shape, wish, site)
    freed = replace(site, rooms={name: _with(room, leaving) for name, room in site.rooms.items()})
    alone = plan(shape, wish, freed)
    if beside is not None and beside.request_s <= BESIDE_COST * alone.request_s:
        return beside
    return replace(alone, goes=_who_goes(alone.need, site, leaving))


def full(
    shape: ModelShape, wish: Wish, site: Site, made: Plan, leaving: Mapping[str, Mapping[str, int]]
) -> Plan | None:
    """The plan if all in ``leaving`` were gone; None where ``made`` is as good.

    Better is a larger context, the same with a finer cache, or an answer that comes sooner by more than
    :data:`WORTH_ROOM`.
    """
    freed = replace(site, rooms={name: _with(room, leaving) for name, room in site.rooms.items()})
    alone = _or_none(shape, wish, freed)
    if alone is None or alone.run.context < made.run.context:
        return None
    finer = (made.run.cache_k, made.run.cache_v) != (alone.run.cache_k, alone.run.cache_v) == ("f16", "f16")
    quicker = alone.request_s < WORTH_ROOM * made.request_s
    return alone if alone.run.context > made.run.context or finer or quicker else None


def within(site: Site, wish: Wish) -> Site:
    """``site`` with the GPUs that the build can use and the profile allows, and no others."""
    usable = tuple(gpu for gpu in site.usable if not wish.devices or gpu in wish.devices)
    devices = tuple(device for device in site.machine.devices if device.id in usable or device.kind == HOST)
    machine: Machine = replace(site.machine, devices=devices)
    return replace(site, machine=machine, usable=usable)


class _Planner:
    """The runs that one wish leaves open, on one site."""

    def __init__(self, shape: ModelShape, wish: Wish, site: Site) -> None:
        self.shape, self.wish, self.site = shape, wish, site
        self.weights = Weights(wish.prompt, wish.answer)
        self._costs: dict[tuple[CacheType, CacheType, int, bool], Costs] = {}

    def best(self, context: int) -> Option | None:
        """The best option at ``context`` tokens; None when none fits."""
        options = [self._of_cache(context, kind) for kind in self._caches()]
        first = options[0]
        if len(options) == 1 or options[1] is None:
            return first
        if first is None or options[1].found.seconds < WORTH_KV * first.found.seconds:
            return options[1]
        return first

    def _caches(self) -> tuple[CacheType, ...]:
        return ("f16", "q8_0") if self.wish.open_cache and self.wish.flash_attention else ("f16",)

    def _of_cache(self, context: int, cache: CacheType) -> Option | None:
        run = self.run(context, cache)
        best = self._option(run)
        if self.wish.ubatch is not None or self.wish.pooled:
            return best
        if best is None:
            smaller = (self._option(replace(run, ubatch=size)) for size in SMALLER_UBATCHES if size < run.ubatch)
            return next((option for option in smaller if option), None)
        if HOST in best.found.layout.experts and best.found.layout.gpus:
            # What is read over the bus once for a ubatch is worth a larger one.
            for size in (each for each in LARGER_UBATCHES if each < 2 * self.wish.prompt):
                larger = self._option(replace(run, ubatch=size))
                if larger and larger.found.seconds < WORTH_UBATCH * best.found.seconds:
                    best = larger
        return best

    def run(self, context: int, cache: CacheType = "f16") -> Run:
        """The run with what the wish says, before its batch is known."""
        wish, cpu = self.wish, self.site.machine.cpu
        keys, values = wish.cache(cache)
        whole = min(context, LARGEST_BATCH)
        batch = wish.batch or (whole if wish.pooled else LARGEST_BATCH)
        ubatch = wish.ubatch or (batch if wish.pooled else UBATCH)
        return Run(
            context=context,
            slots=wish.slots,
            cache_k=keys,
            cache_v=values,
            batch=batch,
            ubatch=min(ubatch, batch),
            flash_attention=wish.flash_attention,
            threads=wish.threads or max(1, cpu.cores - cpu.efficiency_cores),
            mapped=wish.mapped,
            direct=wish.load_mode == "direct",
            prompt_cache=wish.prompt_cache,
            checkpoints=wish.checkpoints,
            projector=wish.projector,
            draft=wish.draft,
            pooled=wish.pooled or wish.whole_inputs,
        )

    def _option(self, run: Run) -> Option | None:
        """The best layout of ``run``, with a batch that is computed in two seconds."""
        option = self._placed(run)
        if option is None or self.wish.batch is not None or self.wish.pooled:
            return option
        batch = _batch(option.found.speed)
        if self.wish.whole_inputs:
            return self._placed(replace(option.run, batch=batch, ubatch=batch)) or option
        if batch >= option.run.ubatch:
            return option._replace(run=replace(option.run, batch=batch))
        smaller = replace(option.run, batch=batch, ubatch=min(option.run.ubatch, batch))
        return self._placed(smaller) or option

    def _placed(self, run: Run) -> Option | None:
        if self.wish.manual is not None:
            return self._by_hand(run, self.wish.manual)
        gpus = self.site.usable
        found = [self._layout(run, ())]
        if gpus:
            found.append(self._layout(run, gpus))
        options = [each for each in found if each is not None]
        return min(options, key=lambda each: each.found.seconds, default=None)

    def _layout(self, run: Run, gpus: tuple[str, ...]) -> Option | None:
        if not gpus:
            found = self._problem(run).on_host()
            return Option(run, found, self._costed(run)) if found else None
        best = self._on_gpus(run)
        if run.projector and (best is None or HOST in (*best.found.layout.experts, *best.found.layout.layers)):
            apart = self._on_gpus(run, projector_on_host=True)
            if apart and (best is None or apart.found.seconds < WORTH_PROJECTOR * best.found.seconds):
                return apart
        return best

    def _by_hand(self, run: Run, manual: Manual) -> Option | None:
        room = {device: room.available for device, room in self.site.rooms.items()}
        found = self._problem(run).found(layout_of(manual, self.shape, self.site.usable, room))
        return Option(run, found, self._costed(run)) if found else None

    def _on_gpus(self, run: Run, *, projector_on_host: bool = False) -> Option | None:
        found = self._problem(run, projector_on_host=projector_on_host).best(self.site.usable)
        if found is None:
            return None
        if self.wish.load_mode == "auto" and (
            HOST in found.layout.experts or (len(found.layout.gpus) > 1 and self.shape.experts)
        ):
            # Weights that are read from a mapped file go over the bus at two thirds of the speed (llama.cpp#27742).
            # Experts that would be slower there than on a slow card may be quicker there when they are not mapped.
            unmapped = replace(run, mapped=False)
            again = self._problem(unmapped, projector_on_host=projector_on_host).best(self.site.usable)
            if again is not None and HOST in again.layout.experts and again.seconds < found.seconds:
                return Option(unmapped, again, self._costed(unmapped))
        return Option(run, found, self._costed(run))

    def _problem(self, run: Run, *, projector_on_host: bool = False) -> Problem:
        costed = self._costed(run)
        return Problem(self.shape, run, self.site, costed, self.weights, projector_on_host=projector_on_host)

    def _costed(self, run: Run, depth: int | None = None) -> Costs:
        if depth is not None:
            return costs(self.shape, run, self.site.machine, self.site.efficiencies, depth)
        key = (run.cache_k, run.cache_v, run.ubatch, run.mapped)
        known = self._costs.get(key)
        if known is None:
            middle = min(self.wish.prompt + self.wish.answer // 2, run.context)
            known = self._costs[key] = self._costed(run, middle)
        return known

    # --- the largest context ----------------------------------------------------------------------------

    def largest(self) -> int | None:
        """The largest context that makes a request at most a tenth slower than the least; None when none fits."""
        low = min(self.wish.least_context, self.shape.context)
        least = self.best(low)
        if least is None:
            return None
        bound = MAX_CONTEXT_COST * least.found.seconds
        runs = [
            replace(least.run, cache_k=keys, cache_v=values) for keys, values in map(self.wish.cache, self._caches())
        ]
        if self._within(runs, self.shape.context, bound):
            return self.shape.context
        first, last = low // STEP, max(self.shape.context // STEP, low // STEP)
        while last - first > 1:
            middle = (first + last) // 2
            first, last = (middle, last) if self._within(runs, middle * STEP, bound) else (first, middle)
        return max(first * STEP, low)

    def _within(self, runs: Sequence[Run], context: int, bound: float) -> bool:
        """Whether one of ``runs``, with that context, is quick enough; the coarsest cache is tried first."""
        options = (self._placed(replace(run, context=context)) for run in reversed(runs))
        return any(option is not None and option.found.seconds <= bound for option in options)

    # --- what comes out ---------------------------------------------------------------------------------

    def smallest(self, context: int) -> Run:
        """The run that needs least at ``context``: what a refusal shows the bytes of."""
        return replace(self.run(context, self._caches()[-1]), ubatch=self.wish.ubatch or SMALLER_UBATCHES[-1])

    def finished(self, option: Option) -> Plan:
        run, found = option.run, option.found
        depths = sorted({0, run.context // 2, max(0, run.context - 1)})
        return Plan(
            run=run,
            layout=found.layout,
            bytes={device: held for device, held in found.bytes.items() if held.total},
            rooms=self.site.rooms,
            speeds=tuple(speed_of(self._costed(run, depth), found.layout) for depth in depths),
            flags=flags_of(self.shape, run, found.layout, self.site, self.wish),
            env=environment(found.layout, self.site),
            notes=(*self.shape.guesses, *self._beyond(run), *(notes_of(self.wish.manual) if self.wish.manual else ())),
            placement=self.wish.placement,
            shared=tuple(device.id for device in self.site.machine.devices if device.unified),
            request_s=found.seconds,
        )

    def _beyond(self, run: Run) -> tuple[str, ...]:
        """That more context than the model was trained for is of no use: the engine cuts each slot to that."""
        if run.context <= self.shape.context:
            return ()
        return (
            f"Trained for {self.shape.context} tokens: llama.cpp refuses longer requests, so a context of {run.context}"
            ' only takes room. `context = "max"` takes what can be used.',
        )


def _batch(speed: Speed) -> int:
    """The power of two below what is prefilled in two seconds."""
    allowed = int(speed.prefill.value * BATCH_S)
    return min(max(1 << max(allowed.bit_length() - 1, 0), LEAST_BATCH), LARGEST_BATCH)


def _or_none(shape: ModelShape, wish: Wish, site: Site) -> Plan | None:
    try:
        return plan(shape, wish, site)
    except NeverFits:
        return None


def _with(room: Room, leaving: Mapping[str, Mapping[str, int]]) -> Room:
    """``room`` when all who may leave are gone."""
    freed = {name: sizes[room.device] for name, sizes in leaving.items() if sizes.get(room.device)}
    kept = {name: size for name, size in room.residents.items() if name not in freed}
    available = room.available + sum(freed.values())
    if room.most is not None:
        available = min(available, room.most)
    return replace(room, available=available, residents=kept)


def _who_goes(need: Mapping[str, int], site: Site, leaving: Mapping[str, Mapping[str, int]]) -> tuple[str, ...]:
    """Residents whose leaving makes room on every device, the smallest first, none that is not needed."""
    short = {each: size - site.rooms[each].available for each, size in need.items() if each in site.rooms}
    going: list[str] = []
    for name, sizes in sorted(leaving.items(), key=lambda item: sum(item[1].values())):
        if any(short[each] > 0 and sizes.get(each, 0) > 0 for each in short):
            going.append(name)
            short = {each: size - sizes.get(each, 0) for each, size in short.items()}
    for name in reversed(list(going)):
        without = {each: size + leaving[name].get(each, 0) for each, size in short.items()}
        if all(size <= 0 for size in without.values()):
            going.remove(name)
            short = without
    return tuple(going)
