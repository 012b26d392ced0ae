"""Listening: the socket first, then uvicorn with signals, limits and shutdown that are ours."""

from __future__ import annotations

import contextlib
import errno
import functools
import ipaddress
import resource
import socket
from collections.abc import Callable, Generator
from typing import Final, cast

import uvicorn

from hostler.errors import ConfigError, HomeError, PortInUse
from hostler.gateway.door.downstream import ClientConnection, ClientLimits, Desk
from hostler.gateway.door.front import ASGIApp

BACKLOG: Final = 2048


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return False


def check_exposure(host: str, *, has_keys: bool) -> None:
    """Raise ConfigError when others could reach a gateway that needs no key."""
    if not has_keys and not is_loopback(host):
        raise ConfigError(
            f"Listening on {host} without any key would let everybody on the network in.",
            hint='Create a key with `hostler key new NAME`, or listen on loopback (`[gateway] host = "127.0.0.1"`).',
        )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises PortInUse, ConfigError or HomeError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise ConfigError(f"{host!r} is not an address of this machine: {error.strerror}.") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _bind_error(host, port, error) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """``http://127.0.0.1:4785``, with the real port."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bind_error(host: str, port: int, error: OSError) -> Exception:
    if error.errno == errno.EADDRINUSE:
        from hostler.hardware.process import who_listens  # only needed when something went wrong

        holder = who_listens(port)
        return PortInUse(f"Port {port} on {host} is already in use{f' by {holder}' if holder else ''}.")
    if error.errno == errno.EADDRNOTAVAIL:
        return ConfigError(f"{host} is not an address of this machine.")
    return HomeError(f"Listening on {host}:{port} is not possible: {error.strerror}.", hint="Choose another port.")


def allow_files(connections: int) -> None:
    """Let this process open as many files as ``connections`` and theirs to engines take, if it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections + 512
    if soft != resource.RLIM_INFINITY and soft < wanted:
        bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (bound, hard))


class _Uvicorn(uvicorn.Server):
    """Signals belong to the composition root: uvicorn would raise them again after its end."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.on_started: Callable[[], None] = lambda: None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class Server:
    """Serves a front and a desk on a socket, and on those ``beside`` it, until :meth:`stop`.

    ``shutdown_s`` bounds the time from ``stop`` to the end of :meth:`serve`.
    """

    def __init__(
        self,
        front: ASGIApp,
        desk: Desk,
        listener: socket.socket,
        limits: ClientLimits,
        *,
        shutdown_s: int = 5,
        beside: tuple[socket.socket, ...] = (),
    ) -> None:
        allow_files(limits.connections)
        self._listener = listener
        self._beside = beside
        self._shutdown_s = shutdown_s
        self._turned_away: set[ClientConnection] = set()
        self._desk = desk
        self._server = _Uvicorn(
            uvicorn.Config(
                front,
                http=cast(type[ClientConnection], self._connection(limits)),
                ws="websockets-sansio",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                headers=[("server", "hostler")],
                timeout_keep_alive=round(limits.idle_s),
                timeout_graceful_shutdown=shutdown_s,
            )
        )

    def configure(self, limits: ClientLimits) -> None:
        """Take other limits, for connections that are made from now on."""
        allow_files(limits.connections)
        made = cast(type[ClientConnection], self._connection(limits))
        self._server.config.http = self._server.config.http_protocol_class = made

    def _connection(self, limits: ClientLimits) -> Callable[..., ClientConnection]:
        return functools.partial(ClientConnection, desk=self._desk, limits=limits, turned_away=self._turned_away)

    @property
    def url(self) -> str:
        return url_of(self._listener)

    async def serve(self, on_started: Callable[[str], None]) -> None:
        """Serve until :meth:`stop`; ``on_started`` gets the URL. Cancelling cuts every connection."""
        self._server.on_started = lambda: on_started(self.url)
        try:
            await self._server.serve(sockets=[self._listener, *self._beside])
        finally:
            for connection in (*self._server.server_state.connections, *self._turned_away):
                connection.transport.abort()
            for listener in (self._listener, *self._beside):
                listener.close()

    def stop(self) -> None:
        """Close the listener and idle connections; running answers have ``shutdown_s``."""
        self._server.should_exit = True

    def stop_now(self) -> None:
        """Cut running answers too."""
        self._server.should_exit = self._server.force_exit = True
