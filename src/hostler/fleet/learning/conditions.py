"""The devices as telemetry and the budget see them, for whoever looks for a cause."""

from __future__ import annotations

from collections.abc import Mapping

from hostler.fleet.learning.pace import Condition
from hostler.fleet.memory import DeviceReading
from hostler.wire.hardware import Metrics


def conditions(metrics: Metrics, readings: Mapping[str, DeviceReading]) -> dict[str, Condition]:
    """Each device by its id; of one that no longer answers nothing is known but what is in ``readings``."""
    now = {each.device: each.now for each in metrics.devices if each.present and each.now is not None}
    found: dict[str, Condition] = {}
    for device in {*now, *readings}:
        reading, seen = readings.get(device), now.get(device)
        found[device] = Condition(
            total=None if reading is None else reading.total,
            free=None if reading is None else reading.free,
            foreign=_foreign(reading),
            utilisation=None if seen is None else seen.utilisation,
            throttling=() if seen is None else seen.throttling,
        )
    return found


def _foreign(reading: DeviceReading | None) -> int | None:
    if reading is None or reading.ours is None:
        return None
    return max(0, reading.total - reading.free - reading.ours)
