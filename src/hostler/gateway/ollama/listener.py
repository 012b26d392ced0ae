"""The port on which Ollama's clients look when nobody tells them another."""

from __future__ import annotations

import socket

from hostler import log
from hostler.errors import ConfigError, HomeError, PortInUse
from hostler.gateway.door.server import listen, url_of


def beside(host: str, port: int | None) -> tuple[socket.socket, ...]:
    """A listening socket on ``port``, if there is to be one and it can be had: else the gateway does without it, and
    the log says why."""
    if port is None:
        return ()
    try:
        listener = listen(host, port)
    except (PortInUse, HomeError, ConfigError) as error:
        log.warning("ollama.port_missed", port=port, code=error.code, reason=error.message)
        return ()
    log.info("ollama.listening", url=url_of(listener))
    return (listener,)
