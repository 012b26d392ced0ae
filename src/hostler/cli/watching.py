"""What a gateway does meanwhile, shown in one line to someone who waits for a profile."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, TypeVar

from hostler.cli.command import Session

if TYPE_CHECKING:
    from rich.status import Status

    from hostler.client.gateway import Client
    from hostler.events import AnyEvent

T = TypeVar("T")


async def watched(session: Session, client: Client, doing: str, profile: str, act: Awaitable[T]) -> T:
    """Await ``act`` and show the gateway's events about it meanwhile, on a terminal only."""
    screen = None
    if not session.json:
        from hostler.cli import output

        screen = output.console(session, stderr=True)
    if screen is None or not screen.is_terminal:
        return await act
    import anyio

    with screen.status(doing, spinner="line") as status:
        async with anyio.create_task_group() as group:
            group.start_soon(_show_events, client, status, doing, profile)
            done = await act
            group.cancel_scope.cancel()
    return done


async def _show_events(client: Client, status: Status, doing: str, profile: str) -> None:
    """Follow the events for as long as the caller waits. Progress is a courtesy: its loss is not an error."""
    from hostler.errors import HostlerError

    with suppress(HostlerError):
        async with aclosing(client.events()) as arriving:
            async for event in arriving:
                news = describe(event, profile)
                if news:
                    status.update(f"{doing}: {news}")


def describe(event: AnyEvent, profile: str) -> str:
    """What ``event`` means for someone who waits for ``profile``; empty when nothing."""
    from hostler import events

    match event:
        case events.LoadProgress(stage=stage, fraction=None, elapsed_s=elapsed):
            return f"{stage} ({elapsed:.0f} s)"
        case events.LoadProgress(stage=stage, fraction=float(fraction), elapsed_s=elapsed):
            return f"{bar(fraction)} {fraction:4.0%}  {stage} ({elapsed:.0f} s)"
        case events.LoadRetried(profile=other, what=what, device=device) if other == profile:
            return f"out of memory on {device}; once more, {what}"
        case events.Swap(evicted=evicted) if evicted:
            return f"making room: {', '.join(evicted)} leaves"
        case events.InstanceChanged(profile=other, state=state):
            return state if other == profile else f"{other} is {state}"
    return ""


def bar(fraction: float, width: int = 20) -> str:
    """``[#####     ]``: plain enough for every terminal."""
    done = round(max(0.0, min(1.0, fraction)) * width)
    return f"[{'#' * done}{' ' * (width - done)}]"
