"""What the engine wants of a server, and how its ports are bound before any server starts."""

from __future__ import annotations

import errno
import resource
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from engine.core.errors import StartError

if TYPE_CHECKING:
    from engine.core.listeners import ASGIApp, Listener

BACKLOG: Final = 2048

SERVICE_RESTART: Final = 1012
"""The close code of a stopping engine: workers of every generation come back after it."""

SERVER_NAMES: Final = ("picows", "uvicorn", "daphne")

_LOOPBACKS: Final = ("127.0.0.1", "::1")

_PORT_ATTEMPTS: Final = 20
"""How often a free port is looked for that is free on all addresses."""


@dataclass(frozen=True, slots=True)
class BoundListener:
    """A listener whose sockets are bound, one for each address, but do not listen yet.

    Attributes:
        listener: what the module asked for.
        sockets: one for each address; a started server closes them when it stops.
        addresses: the addresses bound, such as `127.0.0.1` and `::1`.
        port: the port really bound, the same on every address.
    """

    listener: Listener
    sockets: tuple[socket.socket, ...]
    addresses: tuple[str, ...]
    port: int

    def listen(self) -> None:
        """Listen on all sockets.

        A server does this before it hands them to its loop: uvloop only logs a failure.

        Raises:
            StartError: somebody else has begun to listen there since they were bound.
        """
        for bound, address in zip(self.sockets, self.addresses, strict=True):
            try:
                bound.listen(BACKLOG)
            except OSError as error:
                raise start_error(self.listener, address, self.port, error) from error

    def close(self) -> None:
        """Close the sockets, unless a server has done so."""
        for bound in self.sockets:
            bound.close()


class Server(ABC):
    """Serves an ASGI application on bound sockets, within the running loop.

    Args:
        application: gets the scopes of all ports; `scope["server"]` carries the port.
    """

    def __init__(self, application: ASGIApp) -> None:
        self.application = application

    @abstractmethod
    async def start(self, listeners: Sequence[BoundListener]) -> None:
        """Listen and serve; connections are accepted when this returns.

        Raises:
            StartError: a port was taken between binding and listening.
        """

    @abstractmethod
    async def stop_accepting(self) -> None:
        """Close the listening sockets and keep the connections; may be called twice."""

    @abstractmethod
    async def close(self, code: int = SERVICE_RESTART) -> None:
        """End what is left and release everything; takes a few seconds at most.

        WebSockets are closed with `code`, idle HTTP connections at once, requests in
        progress after a short grace. May be called without `start`, and twice.
        """


def create_server(name: str, application: ASGIApp) -> Server:
    """Return a server by its name; what only one server needs is imported here.

    Args:
        name: `picows` (WebSockets on picows, HTTP on uvicorn), `uvicorn` or `daphne`.
        application: gets the scopes of all ports.

    Raises:
        StartError: there is no such server.
    """
    if name == "picows":
        from engine.server.picows_server import PicowsServer

        return PicowsServer(application)
    if name == "uvicorn":
        from engine.server.uvicorn_server import UvicornServer

        return UvicornServer(application)
    if name == "daphne":
        from engine.server.daphne_server import DaphneServer

        return DaphneServer(application)
    raise StartError(f"there is no server {name!r}; use one of {', '.join(SERVER_NAMES)}")


def bind_listeners(listeners: Iterable[Listener]) -> list[BoundListener]:
    """Bind all listeners, or none.

    Raises:
        StartError: a port is taken, an address is not this machine's, or the user may not
            bind it; the message names room, address, port and the fix.
    """
    bound: list[BoundListener] = []
    try:
        for listener in listeners:
            bound.append(_bind(listener))
    except BaseException:
        for earlier in bound:
            earlier.close()
        raise
    return bound


def raise_open_file_limit() -> int:
    """Raise the soft limit of open files to the hard one; return the limit then in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def start_error(listener: Listener, address: str, port: int, error: OSError) -> StartError:
    """Return the error that tells an operator why a port could not be had, and the fix."""
    where = f"port {port} ({listener.label})"
    if error.errno == errno.EADDRINUSE:
        other_port = listener.other_port or f"give the {listener.room!r} listener another port"
        return StartError(
            f"{where} is taken on {address}: another engine or program listens there; "
            f"stop it, or {other_port}"
        )
    if error.errno == errno.EACCES:
        return StartError(
            f"{where} may not be opened on {address} by this user; choose a port above 1023"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return StartError(
            f"{where} cannot be opened: {address} is not an address of this machine; "
            f"change the host of the {listener.room!r} listener"
        )
    return StartError(f"{where} cannot be opened on {address}: {error.strerror or error}")


def _bind(listener: Listener) -> BoundListener:
    addresses = _addresses(listener)
    for attempt in range(_PORT_ATTEMPTS):
        sockets: list[socket.socket] = []
        port = listener.port
        try:
            for family, address in addresses:
                try:
                    sockets.append(_bind_one(family, address, port))
                except OSError as error:
                    if listener.host is None and _is_missing_family(family, error):
                        continue
                    raise start_error(listener, address, port, error) from error
                port = sockets[-1].getsockname()[1]
        except StartError as error:
            for opened in sockets:
                opened.close()
            is_last = attempt == _PORT_ATTEMPTS - 1
            if listener.port == 0 and sockets and not is_last and _is_taken(error):
                continue
            raise
        if sockets:
            addresses_bound = tuple(str(opened.getsockname()[0]) for opened in sockets)
            return BoundListener(listener, tuple(sockets), addresses_bound, port)
    raise StartError(f"no loopback address could be opened for {listener.label}")


def _is_taken(error: StartError) -> bool:
    return isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE


def _is_missing_family(family: int, error: OSError) -> bool:
    """Whether the machine has no IPv6: then the IPv4 loopback alone is enough."""
    return family == socket.AF_INET6 and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def _addresses(listener: Listener) -> list[tuple[int, str]]:
    """Return the family and address of every socket that a listener needs."""
    if listener.host is None:
        return [(socket.AF_INET, _LOOPBACKS[0]), (socket.AF_INET6, _LOOPBACKS[1])]
    try:
        found = socket.getaddrinfo(
            listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise StartError(
            f"port {listener.port} ({listener.label}) cannot be opened: the host "
            f"{listener.host!r} is unknown ({error.strerror}); change the host of the "
            f"{listener.room!r} listener"
        ) from error
    # A name may stand for one address several times.
    return list(dict.fromkeys((int(family), str(name[0])) for family, _, _, _, name in found))


def _bind_one(family: int, address: str, port: int) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            # "::" alone means every address of both families, as people expect.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address != "::")
        bound.setblocking(False)
        bound.bind((address, port))
    except BaseException:
        bound.close()
        raise
    return bound
