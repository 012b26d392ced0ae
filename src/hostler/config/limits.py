"""Every bound, in one table: `[limits]`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from hostler.config.base import Positive, Settings
from hostler.config.quantities import Bytes, Seconds


class LimitSettings(Settings, frozen=True, kw_only=True):
    """Every bound, in one table."""

    body: Annotated[Bytes, Meta(description="Largest request body.")] = Bytes(64 * 2**20)
    head: Annotated[Bytes, Meta(description="Largest request or response head.")] = Bytes(64 * 2**10)
    connections: Annotated[int, Meta(ge=1, description="Client connections at the same time.")] = 2048
    key_rate: Annotated[
        Positive | None,
        Meta(description="Requests a minute with one key, from other machines; default: unbounded."),
    ] = None
    address_rate: Annotated[
        Positive | None,
        Meta(description="Requests a minute from one address, this machine's aside; default: unbounded."),
    ] = None
    connect_s: Annotated[Seconds, Meta(description="To connect to an engine.")] = Seconds(2)
    first_byte_s: Annotated[
        Seconds | None, Meta(description="From a request sent to an engine to its first byte; default: unbounded.")
    ] = None
    idle_stream_s: Annotated[
        Seconds | None,
        Meta(description="Longest silence inside a response, of the engine or of a client that stops reading."),
    ] = Seconds(600)
    stall_s: Annotated[
        Seconds | None,
        Meta(
            description="An engine whose busy slots read and generate nothing for this long hangs, and is started anew."
        ),
    ] = Seconds(120)
    hang_up_s: Annotated[
        Seconds,
        Meta(
            description="How long, up to 20 s, an engine may compute on for a client that left; after that it takes no "
            "new requests, and is started anew."
        ),
    ] = Seconds(20)
    idle_check_s: Annotated[
        Seconds | None,
        Meta(
            description="An idle engine generates a token this often, to show that it works; that costs a prompt in "
            "its slots. Default: only after the machine slept."
        ),
    ] = None
    load_s: Annotated[Seconds, Meta(description="For an engine to become ready.")] = Seconds(600)
    load_grace_s: Annotated[
        Seconds,
        Meta(
            description="A stream gets no byte this long while a model loads, so that a quick failure keeps its status."
        ),
    ] = Seconds(2)
    queue: Annotated[int, Meta(ge=1, description="Requests that may wait at the same time.")] = 512
    queue_timeout_s: Annotated[
        Seconds | None, Meta(description="Longest wait of a request for its instance; default: unbounded.")
    ] = None
    starvation_s: Annotated[
        Seconds, Meta(description="After this wait a request goes before new ones for other profiles.")
    ] = Seconds(30)
    residency: Annotated[
        int,
        Meta(ge=1, description="Requests that a loaded profile answers, while any wait for it, before it makes room."),
    ] = 1
    drain_s: Annotated[Seconds, Meta(description="Running requests may take this long when the gateway stops.")] = (
        Seconds(30)
    )
    grace_s: Annotated[Seconds, Meta(description="From asking an engine to end to killing it.")] = Seconds(5)
    kill_s: Annotated[Seconds, Meta(description="From killing an engine to giving it up.")] = Seconds(2)
    loads: Annotated[
        Positive | None,
        Meta(description="Profiles that may load at the same time; default: as many as fit and their disk can feed."),
    ] = None
    load_tries: Annotated[int, Meta(ge=1, description="Failed loads in a row until a profile stays failed.")] = 3
    backoff_s: Annotated[Seconds, Meta(description="Pause after a failed load; doubles with each further one.")] = (
        Seconds(2)
    )
