"""How the two databases say what they say in common, in the words of their drivers."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any, ClassVar, Final

import msgspec

from engine.models import NODE_LEASE
from kv.stores.connection import StoreConnection

CLAIM_LOCK: Final = (0x6969_6300, 0)
"""The advisory lock of whoever decides which due ticks run, and where: one engine at a time.

So no two engines claim ticks of one schedule at the same moment, each unaware of the other.
"""

LOCK_TIMEOUT_MS: Final = 5_000
"""How long that lock is waited for: an engine that holds it may be cut off."""

CHANNEL: Final = "iii_schedules"
"""Where PostgreSQL tells the clock that schedules have changed."""

_encode: Final = msgspec.json.Encoder().encode


class Dialect(ABC):
    """What statements are put together from; the two databases differ in it."""

    mark: ClassVar[str]
    """The driver's placeholder."""

    any_of: ClassVar[str]
    """What makes a condition of a column: that it is in the parameter `id_list`."""

    lock: ClassVar[str]
    """What locks the rows of a query until the commit."""

    skip_locked: ClassVar[str]
    """What locks the rows of a query that nobody else has locked, and leaves out all others."""

    @abstractmethod
    def id_list(self, ids: Collection[int]) -> Any:
        """Return ids as one parameter."""

    @abstractmethod
    def literal(self, node_id: uuid.UUID) -> str:
        """Return the id of an engine as part of a statement."""

    @abstractmethod
    def is_live(self, column: str, node_id: uuid.UUID) -> str:
        """Return the condition that the engine of a column runs; `node_id` is this one."""

    def has_live_owner(
        self, connection: StoreConnection, schedule: int, node_id: uuid.UUID
    ) -> bool:
        """Tell whether an engine that runs has a worker of a schedule."""
        found = connection.fetch(
            f"SELECT 1 FROM engine_scheduleowner o WHERE o.schedule_id = {self.mark} "
            f"AND {self.is_live('o.node', node_id)} LIMIT 1",
            (schedule,),
        )
        return bool(found)

    def decide_alone(self, connection: StoreConnection) -> None:
        """Let no other engine claim or settle until the commit."""
        return

    def read_by_index(self, connection: StoreConnection) -> None:
        """Let what is open be read through its indexes until the commit."""
        return

    def tell_clock(self, connection: StoreConnection) -> None:
        """Say, with the commit, that schedules have changed."""
        return


class SqliteDialect(Dialect):
    """This process is the only writer."""

    mark = "?"
    any_of = "IN (SELECT value FROM json_each(?))"
    lock = ""
    skip_locked = ""

    def id_list(self, ids: Collection[int]) -> str:
        """Return ids as JSON text."""
        return _encode(list(ids)).decode()

    def literal(self, node_id: uuid.UUID) -> str:
        """Return the id as Django stores it."""
        return f"'{node_id.hex}'"

    def is_live(self, column: str, node_id: uuid.UUID) -> str:
        """Return that it is this one: no other runs on the same file."""
        return f"{column} = {self.literal(node_id)}"


class PostgresDialect(Dialect):
    """Other processes may write at the same time."""

    mark = "%s"
    any_of = "= ANY(%b::bigint[])"
    lock = "FOR UPDATE"
    skip_locked = "FOR UPDATE SKIP LOCKED"

    def id_list(self, ids: Collection[int]) -> list[int]:
        """Return ids as an array."""
        return list(ids)

    def literal(self, node_id: uuid.UUID) -> str:
        """Return the id as its type has it."""
        return f"'{node_id}'::uuid"

    def is_live(self, column: str, node_id: uuid.UUID) -> str:
        """Return that it is this one, or has been seen within its lease."""
        return (
            f"({column} = {self.literal(node_id)} OR EXISTS (SELECT 1 FROM engine_enginenode n "
            f"WHERE n.id = {column} AND n.seen_at > now() - interval '{NODE_LEASE.seconds} s'))"
        )

    def decide_alone(self, connection: StoreConnection) -> None:
        """Hold the lock; what is read afterwards, by statements of their own, stays."""
        connection.execute(
            f"SELECT set_config('lock_timeout', '{LOCK_TIMEOUT_MS}', true), "
            "pg_advisory_xact_lock(%s, %s)",
            CLAIM_LOCK,
        )

    def read_by_index(self, connection: StoreConnection) -> None:
        """Use no statistics: those of tables that fill and empty are of another time."""
        connection.execute(
            "SELECT set_config('enable_seqscan', 'off', true), "
            "set_config('enable_hashjoin', 'off', true), "
            "set_config('enable_mergejoin', 'off', true)"
        )

    def tell_clock(self, connection: StoreConnection) -> None:
        """Notify those who listen."""
        connection.execute("SELECT pg_notify(%s, '')", (CHANNEL,))
