"""Messages as rows: everything is answered after its commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from engine.core.deferred import Deferred
from engine.modules.queue.adapters.base import (
    Chosen,
    DeadLetter,
    Due,
    NewMessage,
    Outcome,
    Policy,
    QueueName,
    QueueStats,
    QueueStore,
    Receipt,
    Subscription,
    Turn,
)
from engine.modules.queue.adapters.dead_letters import DeadLetters
from engine.modules.queue.adapters.figures import Figures
from engine.modules.queue.adapters.in_flight import InFlight
from engine.modules.queue.adapters.intake import Enqueue, Intake
from engine.modules.queue.adapters.layout import Layout, Subscribe
from engine.modules.queue.adapters.layout_changes import Detach, LayoutChanges, Unsubscribe
from engine.modules.queue.adapters.outbox import TAKEN_AT_ONCE, Outbox
from engine.modules.queue.adapters.postgres_statements import PostgresStatements
from engine.modules.queue.adapters.sqlite_statements import SqliteStatements
from engine.modules.queue.adapters.statements import Statements
from engine.modules.queue.adapters.sweeping import Sweeping
from engine.modules.queue.adapters.turns import TakeTurn, Turns
from kv.clock import now_ms
from kv.stores.connection import StoreConnection
from kv.stores.database import Database
from kv.stores.steps import Step, in_steps

T = TypeVar("T")

CHANGED_AT_ONCE: Final = 500
"""How many dead letters change with one commit: what else is waiting comes in between."""


class DatabaseQueueStore(QueueStore):
    """Deliveries in tables; messages and turns share their commits with all else that waits.

    A subscription is claimed for by the engines that have it attached, one at a time: its row
    names the holder.
    """

    is_durable = True

    def __init__(self, database: Database) -> None:
        self.place = database.description
        self.is_shared = not database.is_sqlite
        self._writer = database.writer
        self._reader = database.reader
        self._attached: set[int] = set()
        self._in_flight = InFlight()
        statements: Statements = (
            SqliteStatements() if database.is_sqlite else PostgresStatements(database.node_id)
        )
        alias = database.writer.alias
        self._statements = statements
        self._intake = Intake(statements)
        self._turns = Turns(statements, self._attached)
        self._layout = Layout(alias, statements, self._attached)
        self._changes = LayoutChanges(database.writer, self._layout)
        self._sweeping = Sweeping(alias, statements, self._layout, is_shared=self.is_shared)
        self._dead_letters = DeadLetters(alias, statements)
        self._figures = Figures(alias, statements)
        self._outbox = Outbox(alias, statements)

    async def start(self) -> Sequence[Subscription]:
        """Make due again what is in nobody's hands; return the known subscriptions."""
        for table in (self._intake, self._turns):
            self._writer.attach(table)
        return await self._writer.run(
            lambda connection: self._layout.start(connection, is_shared=self.is_shared)
        )

    # --- subscriptions --------------------------------------------------------------------------

    def subscribe(
        self, queue: QueueName, function_id: str, policy: Policy
    ) -> Deferred[Subscription]:
        """Attach a subscription, made if there is none."""
        return self._changes.add(Subscribe(queue, function_id, policy))

    def detach(self, subscription_id: int) -> Deferred[None]:
        """Note that no worker has it any more."""
        return self._changes.add(Detach(subscription_id))

    def unsubscribe(self, subscription_id: int) -> Deferred[int]:
        """Remove it with all that waits for it."""
        return self._changes.add(Unsubscribe(subscription_id))

    def distribute(self, queue: QueueName) -> Deferred[tuple[int, ...]]:
        """Give what waited for a subscription to all that there are now."""
        return self._writer.run(lambda connection: self._layout.distribute(connection, queue))

    # --- the way of a message ---------------------------------------------------------------------

    def enqueue(self, message: NewMessage, finish: Callable[[Receipt], T]) -> Deferred[T]:
        """Put a message into a queue."""
        return self._writer.submit(Enqueue(self._intake, message, finish))

    def turn(self, subscription_id: int, outcomes: Sequence[Outcome], limit: int) -> Deferred[Turn]:
        """Store outcomes and claim due deliveries."""
        return self._writer.submit(
            TakeTurn(self._turns, self._in_flight, subscription_id, outcomes, limit)
        )

    def due(self) -> Deferred[Due]:
        """Tell what is due."""
        now = now_ms()
        return self._reader.query(
            lambda connection: self._statements.due(connection, tuple(self._attached), now),
            lambda found: self._see(found, now),
        )

    def _see(self, found: tuple[list[tuple[int, bool, int | None, bool]], bool], now: int) -> Due:
        rows, has_outbox = found
        if detached := [row_id for row_id, _, _, is_detached in rows if is_detached]:
            self._writer.run(lambda _: self._layout.mend(detached))
        later = [run_at for _, _, run_at, _ in rows if run_at is not None and run_at > now]
        doubtful = self._in_flight.doubtful
        return Due(
            tuple(row_id for row_id, is_due, _, _ in rows if is_due or row_id in doubtful),
            min(later, default=None),
            has_outbox,
        )

    def take_outbox(self) -> Deferred[tuple[int, ...]]:
        """Put what Django projects have written into their queues, in their order."""
        woken: dict[int, None] = {}

        def take(connection: StoreConnection) -> bool:
            taken, subscriptions = self._outbox.take(connection)
            woken.update(dict.fromkeys(subscriptions))
            return taken == TAKEN_AT_ONCE

        taken: Deferred[tuple[int, ...]] = Deferred()

        def looked(look: Deferred[bool]) -> None:
            if look.error is not None:
                taken.reject(look.error)
            elif look.value:
                in_steps(self._writer, [take], lambda: tuple(woken), taken)
            else:
                taken.resolve(())

        self._writer.query(self._outbox.has_rows).then(looked)
        return taken

    def sweep(self) -> Deferred[int]:
        """Delete what is over."""
        gone: list[int] = []

        def once(sweep: Callable[[StoreConnection], int]) -> Step:
            def step(connection: StoreConnection) -> bool:
                gone.append(sweep(connection))
                return False

            return step

        sweeping = self._sweeping
        sweeps = (sweeping.sweep_expired, sweeping.sweep_old, sweeping.sweep_layout)
        return in_steps(self._writer, map(once, sweeps), lambda: sum(gone))

    # --- for people -------------------------------------------------------------------------------

    def queues(self) -> Deferred[Sequence[QueueStats]]:
        """Return every queue with its figures, by name."""
        return self._reader.query(self._figures.all)

    def stats(self, queue: QueueName) -> Deferred[QueueStats | None]:
        """Return the figures of one queue."""
        return self._reader.query(lambda connection: self._figures.one(connection, queue))

    def dead_letters(
        self, queue: QueueName, offset: int, limit: int
    ) -> Deferred[Sequence[DeadLetter]]:
        """Return dead letters, the oldest failure first."""
        return self._reader.query(lambda _: self._dead_letters.page(queue, offset, limit))

    def set_paused(self, queue: QueueName, is_paused: bool) -> Deferred[tuple[int, ...]]:
        """Pause or resume a queue."""
        return self._writer.run(
            lambda connection: self._layout.set_paused(connection, queue, is_paused)
        )

    def redrive(
        self, queue: QueueName, chosen: Chosen, data: bytes | None = None
    ) -> Deferred[tuple[int, tuple[int, ...]]]:
        """Let dead letters be delivered anew, at the end of their queue."""
        receivers: list[int | None] = []

        def redrive(connection: StoreConnection) -> bool:
            limit = _step(chosen, len(receivers))
            got = self._dead_letters.redrive(connection, queue, chosen, data, limit)
            receivers.extend(got)
            return len(got) == CHANGED_AT_ONCE

        return in_steps(
            self._writer,
            [redrive],
            lambda: (
                len(receivers),
                tuple(each for each in dict.fromkeys(receivers) if each is not None),
            ),
        )

    def discard(self, queue: QueueName, chosen: Chosen) -> Deferred[int]:
        """Delete dead letters for good."""
        gone = [0]

        def discard(connection: StoreConnection) -> bool:
            count = self._dead_letters.discard(queue, chosen, _step(chosen, sum(gone)))
            gone.append(count)
            return count == CHANGED_AT_ONCE

        return in_steps(self._writer, [discard], lambda: sum(gone))


def _step(chosen: Chosen, done: int) -> int:
    """Return how many dead letters the next step may change."""
    return CHANGED_AT_ONCE if chosen.limit is None else min(CHANGED_AT_ONCE, chosen.limit - done)
