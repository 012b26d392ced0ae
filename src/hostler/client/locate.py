"""Which gateway a client talks to.

1. An address that was asked for: `--url`, else ``HOSTLER_URL``.
2. The running gateway of this home, by the record it keeps in the state folder.
3. The host and port in the configuration.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

RECORD = "gateway.json"
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}

How = Literal["asked", "record", "config"]


class GatewayRecord(msgspec.Struct, frozen=True):
    """Who holds a state folder: ``pid``, when that process started (Unix seconds), where it listens."""

    pid: int
    start_time: float
    url: str


class Target(msgspec.Struct, frozen=True):
    """The address of a gateway, without a trailing slash, and how it was found."""

    url: str
    how: How


def read_record(state: Path) -> GatewayRecord | None:
    """The record in ``state`` when the process that wrote it still runs and listens; else None. Never raises."""
    try:
        record = msgspec.json.decode((state / RECORD).read_bytes(), type=GatewayRecord)
    except (OSError, msgspec.DecodeError):
        return None
    # Until it listens the record has no address; then there is nothing to talk to yet.
    return record if record.url and _still_runs(record) else None


def _still_runs(record: GatewayRecord) -> bool:
    """True when the pid is alive and is not a later process that was given the same number."""
    from hostler.hardware.process import is_same_process

    return is_same_process(record.pid, record.start_time)


def locate(asked: str | None, state: Path) -> Target | None:
    """The gateway that was asked for, or that the record in ``state`` names; None: look in the configuration."""
    url = asked or os.environ.get("HOSTLER_URL")
    if url:
        return Target(_with_scheme(url), "asked")
    record = read_record(state)
    return None if record is None else Target(_reachable(record.url), "record")


def address(host: str, port: int) -> str:
    """``http://host:port`` as a client can reach it: an any-address becomes loopback."""
    host = ANY_ADDRESS.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{port}"


def _reachable(url: str) -> str:
    """The address where ``url`` listens, as a client can reach it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return address(host, parts.port) if host in ANY_ADDRESS and parts.port else url.rstrip("/")


def _with_scheme(url: str) -> str:
    url = url.rstrip("/")
    return url if "://" in url else f"http://{url}"
