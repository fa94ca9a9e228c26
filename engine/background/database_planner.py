"""The clock of schedules on PostgreSQL: it plans by itself, so that it depends on no engine."""

from __future__ import annotations

import logging
from typing import Final

import django.db
import psycopg
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from engine.background.alarm import Alarm
from engine.background.planners import NEWS_PAUSE_S, Planner, PlanningFailed
from engine.core.log_limit import LogLimit
from engine.models import live_nodes
from engine.modules.cron.records import LEAD_MS, Planned
from engine.modules.cron.store import planning
from engine.modules.cron.store.dialect import CHANNEL
from engine.modules.cron.store.store import BACK_MS
from kv.clock import now_ms
from kv.stores.connection import StoreConnection

logger = logging.getLogger(__name__)

LISTENING_PAUSE_S: Final = 10.0
"""How often it looks while it hears of changes: each look is a statement."""

CONNECT_TIMEOUT_S: Final = 5

_complaints = LogLimit(logger, interval_s=60.0)


class DatabasePlanner(Planner):
    """Plans on this thread's connection of Django, and listens on one of its own.

    Where listening is not possible (a pooler that shares connections), it looks every few seconds.

    Args:
        alias: of the database.
    """

    def __init__(self, alias: str = "default") -> None:
        self._alias = alias
        self._news: psycopg.Connection[tuple[object, ...]] | None = None
        self._looked_at = 0

    @property
    def _database(self) -> BaseDatabaseWrapper:
        return connections[self._alias]

    def plan(self) -> Planned | None:
        """Plan what is due, unless no engine runs that has the cron module.

        Its rows would be nobody's to end and delete. What passes meanwhile is found as a gap
        afterwards.
        """
        failure = self._listen()  # before the look: no change gets between the two
        connection = StoreConnection(self._database)
        try:
            planned = self._plan(connection, now_ms())
        except django.db.Error as error:
            connection.recover()
            raise PlanningFailed(f"the database failed: {_line(error)}") from error
        if failure is not None:
            _complaints.warning(
                f"no word comes from the database when schedules change: looking every "
                f"{NEWS_PAUSE_S:g} s: {_line(failure)}"
            )
        self.pause_s = NEWS_PAUSE_S if failure is not None else LISTENING_PAUSE_S
        return planned

    def _plan(self, connection: StoreConnection, now: int) -> Planned | None:
        if now < self._looked_at - BACK_MS:
            planning.rewind(connection, now)
        self._looked_at = now
        next_due_at = planning.next_due_at(connection)
        if next_due_at is None or next_due_at > now + LEAD_MS:
            return Planned(0, next_due_at, ())
        if not live_nodes().using(self._alias).filter(runs_schedules=True).exists():
            return None
        return planning.plan(connection, now)

    def wait(self, alarm: Alarm, timeout_s: float) -> None:
        """Sleep until the alarm rings, somebody has changed schedules, or the time is over."""
        news = self._news
        if news is None:
            alarm.sleep(timeout_s)
            return
        try:
            alarm.sleep(timeout_s, news.fileno())
            for _ in news.notifies(timeout=0):
                pass
        except psycopg.Error:  # its end is news, too; the next look listens again
            self._stop_listening()

    def close(self) -> None:
        """Close both connections."""
        self._stop_listening()
        self._database.close()

    def _listen(self) -> psycopg.Error | None:
        """Listen; return why it is not possible."""
        if self._news is not None:
            return None
        try:
            parameters = self._database.get_connection_params()
            parameters.setdefault("connect_timeout", CONNECT_TIMEOUT_S)
            self._news = psycopg.connect(**parameters, autocommit=True)
            self._news.execute(f"LISTEN {CHANNEL}")
        except psycopg.Error as error:
            self._stop_listening()
            return error
        return None

    def _stop_listening(self) -> None:
        news, self._news = self._news, None
        if news is not None:
            news.close()


def _line(error: Exception) -> str:
    """Return what the server said, in one line."""
    return " ".join(str(error).split())
