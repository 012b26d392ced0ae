"""Events in words, one line each. Pure."""

from __future__ import annotations

import time
from typing import Literal

import msgspec

from hostler import events as e
from hostler.cli.output import listed
from hostler.events import AnyEvent

Level = Literal["info", "good", "warning", "error"]
#: A grant sooner than this is no news: the end of the lease tells of the request.
NEWS_S = 0.05
NEWS_MIB = 1.0
LEAST_TOLD_GB_PER_S = 0.05


class Told(msgspec.Struct, frozen=True):
    """An event as people read it: whom it concerns (a profile, a device, or nobody), and what happened."""

    level: Level
    who: str
    what: str


def tell(event: AnyEvent) -> Told:
    """The event in words.

    1. A profile's life. 2. A request's. 3. The gateway's and the machine's. 4. Any other, field by field: an
    event of a newer kind is never silently left out.
    """
    return _profile(event) or _request(event) or _machine(event) or _other(event)


def _profile(event: AnyEvent) -> Told | None:
    match event:
        case e.InstanceChanged(state="ready"):
            return Told("good", event.profile, "is ready")
        case e.InstanceChanged():
            level: Level = "error" if event.state == "failed" else "info"
            state = "failed" if event.state == "failed" else f"is {event.state}"
            return Told(level, event.profile, f"{state}{_because(event.reason)}")
        case e.Swap():
            left = f"{listed(event.evicted)} makes room" if event.evicted else "comes in"
            return Told("info", event.profile, f"{left}{_because(event.reason)}")
        case e.LoadProgress():
            return Told("info", event.profile, f"{event.stage}, {event.elapsed_s:.1f} s")
        case e.EngineMessage():
            return Told(event.level, event.profile, event.text)
        case e.EngineMemory():
            return Told("info", event.profile, f"{event.kind} on {event.device}: {event.mib:.0f} MiB")
        case e.PlacementMeasured():
            return Told(event.level, event.profile, _measured(event))
        case e.LoadMeasured():
            rate = f", {event.gb_per_s:.1f} GB/s" if event.gb_per_s >= LEAST_TOLD_GB_PER_S else ""
            return Told("info", event.profile, f"loaded in {event.seconds:.1f} s{rate}")
        case e.LoadForeseen():
            return Told(
                "info", event.profile, f"{event.bytes / 2**20:.0f} MiB read ahead, it often follows {event.after}"
            )
        case e.LoadRetried():
            why = f"out of memory on {event.device}" if event.device else "out of memory"
            return Told(event.level, event.profile, f"{why}; try {event.attempt}: {event.what}")
        case e.SlowerThanPredicted():
            return Told(event.level, event.profile, event.reason)
    return None


def _request(event: AnyEvent) -> Told | None:
    match event:
        case e.RequestQueued():
            return Told("info", event.profile, f"{event.request} waits at place {event.position}")
        case e.LeaseGranted():
            return Told("info", event.profile, f"{event.request} begins after {event.waited_s:.1f} s")
        case e.LeaseEnded():
            bad: Level = "warning" if event.status >= 400 else "info"
            outcome = "left by its client" if event.status == 499 else f"ended with {event.status}"
            return Told(bad, event.profile, f"{event.request} {outcome} after {event.held_s:.1f} s")
    return None


def _machine(event: AnyEvent) -> Told | None:
    match event:
        case e.GatewayStarted():
            return Told("good", "", f"the gateway {event.version} serves at {event.url}")
        case e.GatewayDraining():
            return Told("warning", "", f"the gateway stops; requests still running: {event.leases}")
        case e.ConfigReloaded():
            return Told("info", "", f"configuration reloaded: {_differences(event)}")
        case e.ConfigRejected():
            return Told("error", "", f"configuration rejected: {event.reason}")
        case e.LedgerDropped():
            return Told("warning", "", f"the ledger dropped {event.total} rows: {event.reason}")
        case e.StateUnwritable(active=True):
            return Told("warning", "", f"the {event.part} cannot be written: {event.reason}")
        case e.StateUnwritable():
            return Told("info", "", f"the {event.part} can be written again")
        case e.DeviceThrottling(active=True):
            return Told("warning", event.device, f"is throttled: {', '.join(event.reasons)}")
        case e.DeviceThrottling():
            return Told("info", event.device, "is no longer throttled")
        case e.DeviceLost():
            return Told("error", event.device, f"does not answer: {event.reason}")
        case e.DeviceFound():
            return Told("good", event.device, "answers again")
        case e.Gap():
            return Told("warning", "", f"events {event.first} to {event.last} were missed")
    return None


def _other(event: AnyEvent) -> Told:
    fields: dict[str, object] = msgspec.to_builtins(event)
    subject = next((name for name in ("profile", "device") if fields.get(name)), "")
    hidden = {"id", "at", "type", "instance", "level", "text", subject}
    shown = [f"{name} {_plain(value)}" for name, value in fields.items() if name not in hidden and _plain(value)]
    kind = str(event.__struct_config__.tag)
    text = str(fields.get("text") or f"{kind}: {', '.join(shown)}".removesuffix(": "))
    return Told(_level(getattr(event, "level", "info")), str(fields.get(subject, "")), " ".join(text.split()))


def news(event: AnyEvent) -> bool:
    """Whether an event is worth a line of its own; progress of a load is shown with its instance."""
    match event:
        case e.LoadProgress():
            return False
        case e.LeaseGranted():
            return event.waited_s >= NEWS_S
        case e.EngineMemory():
            return event.mib >= NEWS_MIB
    return True


def _level(said: object) -> Level:
    match said:
        case "warning" | "error" | "good":
            return said
    return "info"


def clock(at: float) -> str:
    """``at`` (seconds since the Unix epoch) as this machine's time of day."""
    return time.strftime("%H:%M:%S", time.localtime(at))


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _measured(event: e.PlacementMeasured) -> str:
    if event.warnings:
        return "; ".join(event.warnings)
    held = ", ".join(f"{mib:.0f} MiB on {device}" for device, mib in event.held.items())
    return f"holds {held}, as planned" if held else "took what was planned"


def _differences(event: e.ConfigReloaded) -> str:
    parts = [
        f"{listed(names)} {word}"
        for names, word in ((event.added, "added"), (event.changed, "changed"), (event.removed, "removed"))
        if names
    ]
    return "; ".join(parts) or "no profile differs"


def _plain(value: object) -> str:
    """A scalar as it is, a list of them joined; nothing for what does not fit one line."""
    match value:
        case bool():
            return "yes" if value else ""
        case float():
            return f"{value:.3g}"
        case str() | int():
            return str(value)
        case list() | tuple():
            return " ".join(_plain(each) for each in value)
    return ""
