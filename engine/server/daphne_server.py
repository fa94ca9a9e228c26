"""Every kind of port on daphne, for those who run it already; imported only when chosen.

What daphne cannot do: it hands a request body over only when it is whole, never waits for a
slow client (so `OutboxLimits` bound nothing and memory follows the slowest peer), refuses a
WebSocket with 403 only, and cuts a request head by the pause between two parts of it, not by
the time it takes in all.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from engine.core.errors import StartError
from engine.server.base import SERVICE_RESTART, BoundListener, Server

if TYPE_CHECKING:
    from engine.core.listeners import ASGIApp

GRACE_S: Final = 5.0
"""How long requests and applications may take when the server closes."""


def install_reactor() -> Any:
    """Return Twisted's reactor on the running loop, installing and starting it if need be.

    Raises:
        StartError: Twisted was imported before, with a reactor on another loop.
    """
    from twisted.internet import asyncioreactor

    loop = asyncio.get_running_loop()
    if "twisted.internet.reactor" not in sys.modules:
        asyncioreactor.install(loop)  # type: ignore[no-untyped-call]
    from twisted.internet import reactor

    if getattr(reactor, "_asyncioEventloop", None) is not loop:
        raise StartError(
            "daphne cannot serve: Twisted's reactor belongs to another event loop; "
            "run the engine on the loop `daphne.server.twisted_loop`"
        )
    running: Any = reactor
    if not running.running:
        running.startRunning(installSignalHandlers=False)
    return running


class DaphneServer(Server):
    """Serves through daphne within the running loop, which Twisted shares."""

    def __init__(self, application: ASGIApp) -> None:
        super().__init__(application)
        self._ports: list[Any] = []
        self._daphne: Any = None

    async def start(self, listeners: Sequence[BoundListener]) -> None:
        """Hand the sockets to Twisted and start daphne's timers."""
        reactor = install_reactor()
        # Not before: daphne installs a reactor of its own where there is none.
        from engine.server.daphne_protocols import EngineDaphne, TrackingFactory

        self._daphne = EngineDaphne(self.application)
        self._daphne.start()
        for bound in listeners:
            factory = TrackingFactory(self._daphne, bound.listener.handshake_timeout_ms / 1000)
            bound.listen()
            for sock in bound.sockets:
                # Twisted works on a duplicate of the descriptor.
                self._ports.append(reactor.adoptStreamPort(sock.fileno(), sock.family, factory))
                sock.close()

    async def stop_accepting(self) -> None:
        """Close the ports; accepted connections live on."""
        ports, self._ports = self._ports, []
        for port in ports:
            stopped = port.stopListening()
            if stopped is not None:
                await stopped.asFuture(asyncio.get_running_loop())

    async def close(self, code: int = SERVICE_RESTART) -> None:
        """Close WebSockets with `code`; then drop what is left after a grace."""
        await self.stop_accepting()
        if self._daphne is not None:
            await self._daphne.close(code, GRACE_S)
