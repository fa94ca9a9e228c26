"""What the engine says when it is up: where it listens, where data lives, what to try."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Final

import engine
from engine.core import invocations
from engine.core.config import EngineConfig
from engine.core.listeners import Listener
from iiiproject.terminal import BOLD, DIM, paint, table

TYPED_AS: Final = {"0.0.0.0": "localhost", "::": "localhost"}
"""What to type to reach an address that is none."""


def banner(
    config: EngineConfig,
    listeners: Mapping[int, Listener],
    database: str,
    tasks: str,
    first_admin: str | None = None,
) -> str:
    """Compose the start banner.

    Args:
        config: what runs.
        listeners: what was bound, by the port that was really taken.
        database: where data lives, in words.
        tasks: who executes them, in words.
        first_admin: where the first administrator is made; None if there is one.
    """
    out = sys.stdout
    rows = [(each.label, url(each, port)) for port, each in listeners.items()]
    rows += [("data", database), ("tasks", tasks), ("config", config.source)]
    rows.append(("modules", ", ".join(module_names(config, built=True))))
    if planned := module_names(config, built=False):
        rows.append(("not built yet", ", ".join(planned)))
    title = f"iii engine {engine.__version__}{', compiled' if _is_compiled() else ''}"
    lines = ["", f"  {paint(title, BOLD, out)}", "", *table(rows), ""]
    if first_admin is not None:
        lines += ["  Nobody can log in to the console yet. Make the administrator's account, once:"]
        lines += [f"  {paint(first_admin, BOLD, out)}", ""]
    lines += [f"  {paint('try', DIM, out)}  {each}" for each in _first_things(listeners)]
    return "\n".join([*lines, f"  {paint('Ctrl-C stops the engine.', DIM, out)}", ""])


def _is_compiled() -> bool:
    """Tell whether the hot path runs in its compiled form, see `hatch_build.py`."""
    return not invocations.__file__.endswith(".py")


def url(listener: Listener, port: int) -> str:
    """Return the address of a listener as a client on this machine types it."""
    host = listener.host or "localhost"
    host = TYPED_AS.get(host, host)
    scheme = "ws" if listener.protocol == "websocket" else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def module_names(config: EngineConfig, *, built: bool) -> list[str]:
    """Return the last parts of the class paths that run, or of those that are not built yet."""
    return [each.name.split("::")[-1] for each in config.modules if each.module.built is built]


def _first_things(listeners: Mapping[int, Listener]) -> Sequence[str]:
    things = []
    for port, listener in listeners.items():
        if listener.room == "http":
            things.append(f"curl {url(listener, port)}/health")
        if listener.room == "workers":
            things.append(f"iii trigger --port {port} --function-id engine::functions::list")
    return things
