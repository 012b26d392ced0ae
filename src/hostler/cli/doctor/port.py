"""The gateway's address: free, ours, or somebody else's."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

from hostler.cli.doctor import recording
from hostler.cli.doctor.findings import Finding, Ground, ok, problem
from hostler.client.locate import read_record
from hostler.hardware.process import who_listens

CHECK = "port"


def check(ground: Ground) -> Iterator[Finding]:
    """A running gateway of this home; else whether the configured address can be had."""
    record = read_record(ground.home.state)
    if record is not None:
        yield ok(CHECK, f"A gateway runs at {record.url} (pid {record.pid}).")
        yield from recording.check(record.url, ground.home.state)
        return
    gateway = ground.config.gateway
    yield listenable(gateway.host, gateway.port)


def listenable(host: str, port: int) -> Finding:
    """Whether a gateway could listen on the address now; tried for real, and given back at once."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as trial:
            # As the gateway binds: a port in TIME_WAIT can be had.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        return _taken(host, port, error)
    return ok(CHECK, f"{host}:{port} is free.")


def _taken(host: str, port: int, error: OSError) -> Finding:
    if error.errno == errno.EADDRINUSE:
        holder = who_listens(port) or "something"
        return problem(CHECK, f"{holder} listens on {host}:{port}.", "Stop it, or start with `hostler up --port PORT`.")
    return problem(CHECK, f"{host}:{port} cannot be had: {error.strerror}.", "Correct `[gateway] host` and `port`.")
