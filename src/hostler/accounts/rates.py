"""How often somebody may ask: a token bucket for each key and for each address.

A bucket holds as many tokens as a minute brings. It is kept as one number, the moment at which it is full again; a
full one is not kept at all. Nothing here reads a clock.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final

import msgspec

from hostler.accounts.keys import LOCAL, Principal
from hostler.errors import TooManyRequests

#: Buckets that are kept at the most, so that many addresses take no memory.
MOST: Final = 4096


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Requests a minute that hold for each; None is unbounded."""

    key: int | None = None
    address: int | None = None


def spend(full_at: float, now: float, rate: int) -> tuple[float, float]:
    """Take a token from a bucket of ``rate`` a minute that is full at ``full_at`` (seconds, as ``now``).

    When it is full then, and 0; or, when there is no token, the same and the seconds until there is one.
    """
    step = 60.0 / rate
    fuller = max(full_at, now) + step
    wait = fuller - now - 60.0
    return (full_at, wait) if wait > 1e-6 else (fuller, 0.0)


class Buckets:
    """Buckets by name. When there are too many, those that were used longest ago start anew."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, name: str, now: float, rate: int) -> float:
        """Take a token; seconds until there is one, 0 when it was taken."""
        full_at, wait = spend(self._full_at.pop(name, now), now, rate)
        self._full_at[name] = full_at  # at the end: the order is that of use
        if len(self._full_at) > self._most:
            self._forget(now)
        return wait

    def _forget(self, now: float) -> None:
        kept = [(name, full_at) for name, full_at in self._full_at.items() if full_at > now]
        self._full_at = dict(kept[-self._most // 2 :])


class Pace:
    """Who asks too often. Addresses of this machine are bound by nothing but a key's own rate."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._keys = Buckets()
        self._addresses = Buckets()

    def configure(self, rates: Rates) -> None:
        """Take other rates from now on; what was spent stays spent."""
        self._rates = rates

    def check_address(self, address: str, now: float) -> None:
        """Count a request from ``address``, before it says who it is. Raises TooManyRequests."""
        rate = self._rates.address
        if rate is not None and (place := place_of(address)):
            self._told(self._addresses.take(place, now, rate), f"{rate} requests a minute from one address")

    def check_key(self, principal: Principal, address: str, now: float) -> None:
        """Count a request of a key. Raises TooManyRequests."""
        rate = principal.rate
        if rate is None:
            rate = self._rates.key
            if rate is None or principal is LOCAL or not place_of(address):
                return
        self._told(
            self._keys.take(principal.name, now, rate), f"{rate} requests a minute with the key {principal.name!r}"
        )

    @staticmethod
    def _told(wait: float, bound: str) -> None:
        if wait:
            raise TooManyRequests(f"More than {bound}.", retry_after_s=wait)


@lru_cache(maxsize=1024)
def place_of(address: str) -> str:
    """Whom an address belongs to: itself, its /64 network under IPv6, "" for this machine and what is no address."""
    try:
        place = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(place, ipaddress.IPv6Address):
        if place.ipv4_mapped is not None:
            return place_of(str(place.ipv4_mapped))
        if not place.is_loopback:
            return str(ipaddress.ip_network((place, 64), strict=False))
    return "" if place.is_loopback else str(place)
