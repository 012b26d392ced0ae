"""Hardware: the devices of this machine, and how they are doing."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get
from litestar.params import QueryParameter

from hostler.errors import NotFound
from hostler.gateway.admin.problems import fails
from hostler.gateway.admin.wanted import Wanted
from hostler.hardware.facts import Machine
from hostler.wire.hardware import Metrics

OfDevice = Annotated[str | None, QueryParameter(description="Only this device: `gpu0`, `gpu1`, ..., `host`.")]
LastSeconds = Annotated[float, QueryParameter(ge=0, le=900, description="How far back the history goes.")]


class HardwareRoutes(Controller):
    """`/api/hardware`."""

    path = "/api/hardware"
    tags = ("Hardware",)

    @get(summary="Devices of this machine", responses=fails())
    async def machine(self, services: Wanted) -> Machine:
        """Each GPU and the host: memory total, free and held by others, bandwidth, rates, links, drivers; every
        figure with its source. `absent` says why other devices are not there."""
        return await services.hardware.machine()

    @get("/gpu/metrics", summary="Telemetry of the devices", responses=fails(400, 404))
    async def metrics(self, services: Wanted, device: OfDevice = None, seconds: LastSeconds = 900) -> Metrics:
        """Use, memory, temperature, power, clocks and throttling of each device, the host included: the last
        reading, and the history in columns of equal length. What a driver does not tell is null."""
        if device is not None and not services.hardware.knows(device):
            await services.hardware.machine()  # the first look is some seconds after the start
        if device is not None and not services.hardware.knows(device):
            raise NotFound(f"There is no device {device!r}.", hint="/api/hardware lists them.")
        return services.hardware.metrics(device, seconds)
