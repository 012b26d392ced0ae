"""What the variants of a model at the hub would be like on this machine; known from their headers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import msgspec
from msgspec.structs import replace

from hostler.cli.output import rate
from hostler.config.quantities import format_bytes
from hostler.errors import HostlerError, NeverFits
from hostler.hardware.facts import HOST
from hostler.models.hub import Repository, read_header
from hostler.models.variants import RemoteFile, Variant, usual

if TYPE_CHECKING:
    from hostler.cli.plan_site import Where
    from hostler.models.remote import RemoteModel
    from hostler.models.shape import Layer, ModelShape
    from hostler.placement.plan import Plan
    from hostler.placement.wish import Site, Wish

#: Up to so many variants each header is read; of more, one stands for all.
HEADERS = 8
_AT_ONCE = 4
_ENDLESS = 2**62


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """One variant on this machine, with default settings.

    ``plan`` is None when it does not fit; ``over`` is then by how many bytes. ``need`` is bytes per device, of the
    host alone when it does not fit. ``about``: told from another variant's header.
    """

    plan: Plan | None
    need: dict[str, int]
    over: int = 0
    about: bool = False

    @property
    def spilled(self) -> int:
        """Bytes of weights that lie on the host beside GPUs; the token table always does."""
        if self.plan is None or not self.plan.layout.gpus:
            return 0
        held = self.plan.bytes.get(HOST)
        return held.weights if held is not None and _leaves_gpus(self.plan) else 0

    def words(self) -> str:
        """Where it would lie, in a few words: ``on gpu0``, ``spills 2.1 GiB to the host``."""
        about = "about " if self.about else ""
        if self.plan is None:
            return f"does not fit, by {about}{format_bytes(self.over)}" if self.over else "does not fit"
        if self.spilled:
            return f"spills {about}{format_bytes(self.spilled)} to the host"
        if not self.plan.layout.gpus:
            return "in main memory"
        return f"on {' and '.join(sorted(self.plan.layout.gpus))}"


def _leaves_gpus(plan: Plan) -> bool:
    return HOST in plan.layout.layers or HOST in plan.layout.experts


class Fitting(msgspec.Struct, frozen=True):
    """The outlook of each variant by its label; nothing for those of which no header could be read."""

    outlooks: dict[str, Outlook]

    @classmethod
    def of(
        cls, config_file: Path | None, repository: Repository, variants: Sequence[Variant], projector: RemoteFile | None
    ) -> Fitting:
        """Reads headers over HTTP: of each variant, or of one where there are many. And looks at this machine."""
        from hostler.cli.plan_site import this
        from hostler.cli.whereabouts import load_config

        found = anyio.run(_headers, repository, _to_read(variants))
        if not found:
            return cls({})
        where = this(load_config(config_file).config, config_file)
        images = projector.size if projector else 0
        return cls({variant.label: outlook(variant, found, where, images) for variant in variants})

    def of_variant(self, variant: Variant) -> Outlook | None:
        """None when nothing is known."""
        return self.outlooks.get(variant.label)

    def words(self, variant: Variant) -> str:
        """A sentence on it, without its end; empty when nothing is known."""
        found = self.of_variant(variant)
        if found is None:
            return ""
        if found.plan is None:
            told = f"does NOT fit: needs about {format_bytes(found.need[HOST])}"
            return f"{told}, {format_bytes(found.over)} too much" if found.over else told
        return f"fits: {found.words()}, about {rate(found.plan.speeds[0].decode.value)} tokens/s"


def _to_read(variants: Sequence[Variant]) -> Sequence[Variant]:
    if len(variants) <= HEADERS:
        return variants
    return [usual(variants) or variants[len(variants) // 2]]


async def _headers(repository: Repository, variants: Sequence[Variant]) -> dict[str, RemoteModel]:
    """By label; those that cannot be read are left out: nothing to say about one is no reason not to fetch it."""
    found: dict[str, RemoteModel] = {}
    at_once = anyio.CapacityLimiter(_AT_ONCE)

    async def read(variant: Variant) -> None:
        async with at_once:
            try:
                found[variant.label] = await read_header(repository, variant)
            except (HostlerError, OSError):
                return

    async with anyio.create_task_group() as group:
        for variant in variants:
            group.start_soon(read, variant)
    return found


def outlook(variant: Variant, found: Mapping[str, RemoteModel], where: Where, images: int = 0) -> Outlook:
    """What ``variant`` would be like at ``where``, from its own header in ``found``, else from another's.

    ``images`` is the size of its projector in bytes.
    """
    from hostler.cli.plan_subject import remote
    from hostler.fleet.profiles.planning import wished
    from hostler.placement.planner import plan_beside

    own = found.get(variant.label)
    model = own or next(iter(found.values()))
    shape = model.shape if own else _scaled(model.shape, variant.size / model.size)
    wish = wished(remote(variant.label, replace(model, shape=shape), images))
    site = where.at(shape, wish)
    try:
        made = plan_beside(shape, wish, site, where.leaving)
    except NeverFits:
        need = _unbounded(shape, wish, site)
        return Outlook(plan=None, need=need, over=max(0, need[HOST] - _there(site)), about=own is None)
    return Outlook(plan=made, need=made.need, about=own is None)


def _unbounded(shape: ModelShape, wish: Wish, site: Site) -> dict[str, int]:
    """What it would take on a host without end."""
    from hostler.placement.planner import plan

    machine = replace(site.machine, devices=(site.machine.host,))
    room = replace(site.rooms[HOST], available=_ENDLESS)
    return plan(shape, wish, replace(site, machine=machine, rooms={HOST: room}, usable=())).need


def _there(site: Site) -> int:
    """Bytes that it may use, all devices together; memory that GPUs share with the host counts once."""
    shared = {device.id for device in site.machine.devices if device.unified}
    usable = (*site.usable, HOST)
    return sum(room.available for name, room in site.rooms.items() if name in usable and name not in shared)


def _scaled(shape: ModelShape, ratio: float) -> ModelShape:
    """``shape`` with tensors of so many times the bytes."""

    def scaled(layer: Layer) -> Layer:
        return replace(
            layer,
            attention=round(layer.attention * ratio),
            feed_forward=round(layer.feed_forward * ratio),
            experts=round(layer.experts * ratio),
            shared_experts=round(layer.shared_experts * ratio),
            recurrent=round(layer.recurrent * ratio),
        )

    layers = tuple(scaled(layer) for layer in shape.layers)
    return replace(shape, layers=layers, input=round(shape.input * ratio), output=round(shape.output * ratio))
