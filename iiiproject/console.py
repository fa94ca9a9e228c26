"""The console's port: which one, for which host names, and who may make the first administrator.

Needs Django to be set up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from django.conf import settings

from console.first_admin import invite
from engine.core.errors import StartError
from engine.core.listeners import Listener
from engine.server.base import BoundListener
from iiiproject.banner import url
from iiiproject.migrations import close_connections

ROOM: Final = "console"
DEFAULT_PORT: Final = 3113
PORT_VARIABLE: Final = "III_CONSOLE_PORT"
OFF: Final = "off"

ANY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})


def console_listeners(port: int | None, environ: Mapping[str, str]) -> Sequence[Listener]:
    """Return the console's listener, none if the environment turns it off.

    Args:
        port: what the command line says, 0 for any free port; None leaves it to the environment.
        environ: names the port in III_CONSOLE_PORT, or `off`.

    Raises:
        StartError: the variable holds something else.
    """
    if port is None:
        text = environ.get(PORT_VARIABLE, "").strip() or str(DEFAULT_PORT)
        if text.lower() == OFF:
            return ()
        if not text.isdecimal() or int(text) > 65_535:
            raise StartError(f"{PORT_VARIABLE}: {text!r} is not a port; use 0 to 65535, or {OFF}")
        port = int(text)
    return (
        Listener(
            room=ROOM,
            host=None,
            port=port,
            protocol="http",
            label="console",
            other_port=f"choose another with --console-port or {PORT_VARIABLE}, "
            "or turn the console off with --no-console",
        ),
    )


def open_console(bound: Sequence[BoundListener]) -> str | None:
    """Prepare the console for the address that it is bound to, which the banner names.

    Returns:
        Where the first administrator is made, None if there is one or no console.
    """
    for each in bound:
        if each.listener.room == ROOM:
            _allow(each.listener.host)
            path = invite()
            close_connections()
            return None if path is None else url(each.listener, each.port) + path
    return None


def _allow(host: str | None) -> None:
    """Let Django answer requests for this host; its settings know the loopback only."""
    if host is not None and host not in ANY_ADDRESS:
        settings.ALLOWED_HOSTS.append(f"[{host}]" if ":" in host else host)
