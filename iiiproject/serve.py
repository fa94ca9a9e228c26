"""Starts an engine, serves until a signal, stops it: the whole life of the process in one place.

Nothing listens before everything that can fail has been tried. Whatever fails is one clear error
on stderr and exit code 1.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import django
import uvloop
from django.core.exceptions import ImproperlyConfigured

import engine as package
from engine.core.config import EngineConfig, resolve_host
from engine.core.errors import EngineError, StartError
from engine.modules.catalogue import installed_modules
from engine.server.base import (
    BoundListener,
    bind_listeners,
    create_server,
    raise_open_file_limit,
)
from iiiproject import environment
from iiiproject.banner import banner, module_names, url
from iiiproject.check import choose_config, print_error
from iiiproject.data_dir import locked
from iiiproject.logs import configure_logging

if TYPE_CHECKING:
    from engine.background.service import BackgroundWork
    from engine.core.engine import Engine
    from engine.trigger_store import TriggerStore
    from kv.stores.database import Database

logger = logging.getLogger(__name__)

# New objects between two looks for garbage among the youngest; Python's default is 700.
GARBAGE_THRESHOLD: Final = 20_000

# Parameters of glibc's mallopt (malloc.h), and what they are set to, in bytes.
M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
KEPT_FREE_BYTES: Final = 32 * 1024 * 1024
MAPPED_FROM_BYTES: Final = 4 * 1024 * 1024

LOOPBACKS: Final = frozenset({"127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What the command line says about a start; None leaves it to the environment.

    Attributes:
        console_port: 0 takes any free port.
        has_console: False serves none, whatever the environment says.
    """

    config_file: Path | None
    uses_default_config: bool
    data_dir: Path | None
    host: str | None
    console_port: int | None
    has_console: bool
    server: str
    grace_s: float
    log_level: str
    log_format: str


def serve(options: ServeOptions) -> int:
    """Run an engine until SIGTERM or SIGINT; return the exit code of the process."""
    configure_logging(options.log_level, options.log_format)
    try:
        config = choose_config(
            options.config_file,
            installed_modules(),
            uses_default_config=options.uses_default_config,
        )
        data_dir = choose_data_dir(options.data_dir)
        with locked(data_dir):
            set_up_django(data_dir)
            _serve(config, data_dir, options)
    except EngineError as error:
        print_error(error)
        return 1
    return 0


def migrate(data_dir: Path | None) -> int:
    """Bring the tables of all databases up to date; return the exit code of the process."""
    try:
        directory = choose_data_dir(data_dir)
        with locked(directory):
            set_up_django(directory)
            from iiiproject.migrations import migrate_all

            migrate_all()
    except EngineError as error:
        print_error(error)
        return 1
    return 0


def choose_data_dir(given: Path | None) -> Path:
    """Return the data directory of the command line, else of the environment."""
    return environment.data_dir(os.environ if given is None else {"III_DATA_DIR": str(given)})


def set_up_django(data_dir: Path) -> None:
    """Load the settings, which read the data directory from the environment.

    Raises:
        StartError: the environment holds what the settings cannot use.
    """
    os.environ["III_DATA_DIR"] = str(data_dir)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iiiproject.settings")
    try:
        django.setup()
    except ImproperlyConfigured as error:
        raise StartError(str(error)) from error


def _serve(config: EngineConfig, data_dir: Path, options: ServeOptions) -> None:
    # What is imported here needs the settings.
    from engine.apps import set_engine
    from engine.core.engine import Engine
    from engine.core.tasks import TaskSender
    from engine.trigger_store import TriggerStore
    from iiiproject.background import background_work
    from iiiproject.console import console_listeners, open_console
    from iiiproject.migrations import describe_database, is_embedded, prepare_databases
    from kv.stores.database import Database

    raise_open_file_limit()
    database = Database.open(is_sqlite=is_embedded(), description=describe_database())
    journal = TriggerStore(database.writer)
    engine = Engine(config, data_dir=data_dir, journal=journal)
    engine.provide(database)
    wanted = list(engine.listeners())
    if options.has_console:
        wanted += console_listeners(options.console_port, os.environ)
    listeners = [
        replace(each, host=resolve_host(options.host, each.host, os.environ)) for each in wanted
    ]
    bound = bind_listeners(listeners)
    try:
        prepare_databases()
        first_admin = open_console(bound)
        background = background_work(bound, on_ready=_set_up_garbage_collection)
        engine.provide(background.publisher, TaskSender)
        engine.watch("Celery", background.health)
        try:
            life = _Life(engine, database, journal, background, bound, options, first_admin)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(life.run())
        finally:
            set_engine(None)
    finally:
        for each in bound:
            each.close()


class _Life:
    """A running engine from its start to its end."""

    def __init__(
        self,
        engine: Engine,
        database: Database,
        journal: TriggerStore,
        background: BackgroundWork,
        bound: Sequence[BoundListener],
        options: ServeOptions,
        first_admin: str | None,
    ) -> None:
        self._engine = engine
        self._database = database
        self._journal = journal
        self._background = background
        self._bound = bound
        self._options = options
        self._first_admin = first_admin
        self._asked_to_stop = asyncio.Event()
        self._asked_to_hurry = asyncio.Event()

    async def run(self) -> None:
        """Start, serve until a signal, stop."""
        from engine.apps import set_engine
        from engine.modules.cron.module import CronModule
        from engine.node import NodeLease
        from iiiproject.asgi import build_application

        loop = asyncio.get_running_loop()
        set_engine(self._engine, loop)
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self._on_signal)
        application = build_application({each.port: each.listener for each in self._bound})
        server = create_server(self._options.server, application)
        self._database.start()
        lease = NodeLease(
            self._database,
            self._engine.data_dir,
            runs_schedules=any(isinstance(each, CronModule) for each in self._engine.modules),
        )
        grace_s = 0.0
        try:
            # First of all: a restore that is under way lets nobody past this row.
            await lease.start()
            orphans = await self._journal.start()
            await self._engine.start()
            for trigger in orphans:
                self._engine.triggers.add(trigger)
            await server.start(self._bound)
            _set_up_garbage_collection()
            _keep_freed_memory()
            self._background.start()
            self._announce()
            await self._asked_to_stop.wait()
            self._background.refuse()
            await server.stop_accepting()
            grace_s = self._options.grace_s
        finally:
            # Its tasks that run are calls of the engine: both end together.
            background = asyncio.ensure_future(self._background.stop(grace_s))
            await self._stop_engine(grace_s)
            await background
            await server.close()
            await self._journal.stop()
            await lease.stop()
            await self._database.stop()

    def _on_signal(self) -> None:
        if self._asked_to_stop.is_set():
            self._asked_to_hurry.set()
            self._background.hurry()
            return
        logger.info("stopping; a second signal ends running calls at once")
        self._asked_to_stop.set()

    async def _stop_engine(self, grace_s: float) -> None:
        stopping = asyncio.ensure_future(self._engine.stop(grace_s))
        hurry = asyncio.ensure_future(self._asked_to_hurry.wait())
        await asyncio.wait({stopping, hurry}, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done() and self._engine.running_calls:
            stopping.cancel()
            stopping = asyncio.ensure_future(self._engine.stop(0))
        hurry.cancel()
        await stopping

    def _announce(self) -> None:
        """Say that the engine is up: a banner for people, a record for machines."""
        config = self._engine.config
        listeners = {each.port: each.listener for each in self._bound}
        if self._options.log_format == "json":
            fields: dict[str, Any] = {
                "version": package.__version__,
                "urls": {each.room: url(each, port) for port, each in listeners.items()},
                "data": self._database.description,
                "config": config.source,
                "tasks": self._background.executor,
                "modules": module_names(config, built=True),
                "not_built_yet": module_names(config, built=False),
            }
            if self._first_admin is not None:
                fields["first_admin"] = self._first_admin
            logger.info("engine is up", extra=fields)
        else:
            description = self._database.description
            executor = self._background.executor
            text = banner(config, listeners, description, executor, self._first_admin)
            print(text, flush=True)
        if self._options.server == "daphne":
            logger.warning(
                "daphne takes a request body into memory before it is handled and never waits "
                "for a slow client: memory is bounded on the other servers only"
            )
        if _is_container() and all(LOOPBACKS.issuperset(each.addresses) for each in self._bound):
            logger.warning(
                "every port is bound to the loopback of this container: nothing outside reaches "
                "the engine; use --host 0.0.0.0, or III_HOST where the config names no host"
            )


def _set_up_garbage_collection() -> None:
    """Keep the collector off what was made at start, and let it run rarely.

    Calls and requests make next to no cycles, but each makes some objects that the collector
    counts: with Python's defaults it took a sixth of the time of a thousand connecting workers
    and stopped everything for up to 50 ms to look at Django's classes once more.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 50)


def _keep_freed_memory() -> None:
    """Tell the C library to keep some freed memory for the next large message.

    By default it gives a megabyte back to the system with nearly every message of that size and
    fetches it again: a fresh engine took twice the time for each. glibc only.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_TRIM_THRESHOLD, KEPT_FREE_BYTES)
    mallopt(M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)


def _is_container() -> bool:
    return os.environ.get("III_EXECUTION_CONTEXT") == "docker" or Path("/.dockerenv").exists()
