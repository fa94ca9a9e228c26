"""The SQL of the way of a message, behind the models: what is said thousands of times a second.

Through the models these statements cost several times as much. What the two databases have in
common is here; what each says in its own way is in a class for each.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from engine.modules.queue.adapters.base import Delivery, QueueName
from engine.modules.queue.adapters.known import KnownQueue, Standing
from engine.modules.queue.adapters.upkeep_statements import UpkeepStatements
from kv.stores.connection import StoreConnection

RIPEN_SIZE: Final = 1_000
"""How many delayed deliveries become due in one turn."""

JUDGED_BEYOND: Final = 64
"""How many candidates of a FIFO subscription a turn looks at beyond those that it may claim."""

COLUMNS: Final = (
    "queue_id, subscription_id, message_id, function_id, data, context, message_group, state, "
    "run_at, enqueued_at, expires_at, id"
)
"""Of a new row, in this order; the others have their defaults."""


class NewRow(NamedTuple):
    """A delivery that is put in, as `COLUMNS` says without its id."""

    queue_id: int
    subscription_id: int | None
    message_id: str
    function_id: str
    data: bytes
    context: bytes
    message_group: str | None
    state: int
    run_at: int
    enqueued_at: int
    expires_at: int | None


class Failure(NamedTuple):
    """What becomes of a delivery whose attempt has failed."""

    state: int
    run_at: int
    error: str
    history: str
    failed_at: int
    id: int


class Redriven(NamedTuple):
    """A dead letter that is delivered anew.

    Attributes:
        subscription_id: None if it waits for the first subscription of its topic.
    """

    id: int
    subscription_id: int | None
    state: int
    is_fifo: bool


class WantedKey(NamedTuple):
    """An idempotency key that a message brings."""

    queue_id: int
    key: str
    message_id: str


class Statements(UpkeepStatements):
    """What is said to the database; every method runs in its thread, in a transaction.

    Attributes:
        has_news: whether others may have written since `note_no_news`.
    """

    has_news = True

    def note_no_news(self) -> None:
        """Note that all is known that others have written, if it shows when they write more."""

    # --- queues and subscriptions ---------------------------------------------------------------

    @abstractmethod
    def hold_layout(self, connection: StoreConnection) -> None:
        """Let no other engine change what subscriptions there are, until the commit."""

    @abstractmethod
    def change_layout(self, connection: StoreConnection) -> None:
        """Let no other engine put messages in or change subscriptions, until the commit."""

    @abstractmethod
    def hold_outbox(self, connection: StoreConnection) -> bool:
        """Let no other engine take from the outbox until the commit; False if one does already."""

    @abstractmethod
    def forget_layout(self) -> None:
        """Forget what subscriptions there are: that has changed, or a batch was rolled back."""

    @abstractmethod
    def queues(
        self, connection: StoreConnection, names: Collection[QueueName]
    ) -> Mapping[QueueName, KnownQueue]:
        """Return queues; those that were not there are made."""

    # --- messages come in -----------------------------------------------------------------------

    @abstractmethod
    def insert(self, connection: StoreConnection, rows: Sequence[NewRow]) -> None:
        """Put rows in, with ids in their order."""

    @abstractmethod
    def new_ids(self, connection: StoreConnection, count: int) -> list[int]:
        """Return ids behind all that there are, in their order."""

    def redrive(
        self, connection: StoreConnection, redriven: Sequence[Redriven], data: bytes | None
    ) -> None:
        """Put dead letters behind all that waits, as if they had never been attempted.

        What has become of the former attempts stays known.
        """
        mark, text = self._mark, self._text_of(data)
        ids = self.new_ids(connection, len(redriven))
        connection.execute_many(
            f"UPDATE engine_delivery SET id = {mark}, subscription_id = {mark}, state = {mark}, "
            f"message_group = CASE WHEN {mark} THEN COALESCE(message_group, '') "
            f"ELSE message_group END, data = COALESCE({self._text}, data), attempts = 0, "
            f"run_at = 0, error = '', failed_at = NULL WHERE id = {mark}",
            [
                (row_id, each.subscription_id, each.state, each.is_fifo, text, each.id)
                for each, row_id in zip(redriven, ids, strict=True)
            ],
        )

    def take_keys(
        self, connection: StoreConnection, wanted: Sequence[WantedKey], now: int, expires_at: int
    ) -> dict[tuple[int, str], str]:
        """Take idempotency keys, each once; return the message that each belongs to now."""
        mark = self._mark
        connection.execute_many(
            "INSERT INTO engine_idempotencykey (queue_id, key, message_id, expires_at) "
            f"VALUES ({mark}, {mark}, {mark}, {mark}) "
            "ON CONFLICT (queue_id, key) DO UPDATE SET message_id = excluded.message_id, "
            "expires_at = excluded.expires_at "
            f"WHERE engine_idempotencykey.expires_at <= {mark}",
            # One order everywhere: engines that want the same keys wait for each other, never
            # both.
            [(*each, expires_at, now) for each in sorted(wanted)],
        )
        found = connection.fetch(
            "SELECT queue_id, key, message_id FROM engine_idempotencykey "
            f"WHERE queue_id {self._any_of} AND key IN (SELECT g.value FROM {self._texts})",
            (
                self._id_list({each.queue_id for each in wanted}),
                self._text_list([each.key for each in wanted]),
            ),
        )
        return {(queue_id, key): message_id for queue_id, key, message_id in found}

    def trim_unclaimed(self, connection: StoreConnection, queue_id: int, limit: int) -> None:
        """Drop the oldest messages of a queue without subscription that are too many."""
        mark = self._mark
        connection.execute(
            "DELETE FROM engine_delivery WHERE state = 5 AND queue_id = "
            f"{mark} AND id <= (SELECT id FROM engine_delivery WHERE state = 5 "
            f"AND queue_id = {mark} ORDER BY id DESC LIMIT 1 OFFSET {mark})",
            (queue_id, queue_id, limit),
        )

    # --- a turn: outcomes -----------------------------------------------------------------------

    @abstractmethod
    def standings(
        self, connection: StoreConnection, subscriptions: Collection[int]
    ) -> dict[int, Standing]:
        """Lock subscriptions, in one order everywhere; return how those stand that exist.

        What a dead engine had in flight of them is due again.
        """

    def finish(
        self,
        connection: StoreConnection,
        subscription: int,
        attempt: int,
        ids: Collection[int],
        *,
        is_fifo: bool,
    ) -> tuple[int, set[str]]:
        """Delete deliveries that are claimed for this attempt.

        Returns:
            How many, and their message groups in a FIFO subscription.
        """
        mark = self._mark
        sql = (
            f"DELETE FROM engine_delivery WHERE {self._among} AND state = 1 "
            f"AND attempts = {mark} AND subscription_id = {mark}"
        )
        parameters = (self._id_list(ids), attempt, subscription)
        if not is_fifo:
            return connection.execute(sql, parameters), set()
        gone = connection.fetch(f"{sql} RETURNING message_group", parameters)
        return len(gone), {group or "" for (group,) in gone}

    def give_back(
        self, connection: StoreConnection, subscription: int, attempt: int, ids: Collection[int]
    ) -> int:
        """Let deliveries that are claimed for this attempt wait again; return how many."""
        mark = self._mark
        return connection.execute(
            "UPDATE engine_delivery SET state = 0, attempts = attempts - 1 "
            f"WHERE {self._among} AND state = 1 "
            f"AND attempts = {mark} AND subscription_id = {mark}",
            (self._id_list(ids), attempt, subscription),
        )

    def give_back_others(
        self, connection: StoreConnection, subscription: int, known: Collection[int]
    ) -> None:
        """Let all claimed deliveries but these wait again: nobody has them."""
        connection.execute(
            "UPDATE engine_delivery SET state = 0, attempts = attempts - 1 "
            f"WHERE subscription_id = {self._mark} AND state = 1 AND NOT ({self._among})",
            (subscription, self._id_list(known)),
        )

    def claimed(
        self, connection: StoreConnection, subscription: int, ids: Collection[int]
    ) -> list[tuple[int, int, str, str | None]]:
        """Return id, attempt, history and group of those deliveries that are claimed."""
        return connection.fetch(
            "SELECT id, attempts, history, message_group FROM engine_delivery "
            f"WHERE {self._among} AND state = 1 AND subscription_id = {self._mark}",
            (self._id_list(ids), subscription),
        )

    def fail(self, connection: StoreConnection, failures: Sequence[Failure]) -> None:
        """Note failed attempts; dead letters expire by their own rule."""
        mark = self._mark
        connection.execute_many(
            f"UPDATE engine_delivery SET state = {mark}, run_at = {mark}, error = {mark}, "
            f"history = {mark}, failed_at = {mark}, "
            f"expires_at = CASE WHEN {mark} = 4 THEN NULL ELSE expires_at END WHERE id = {mark}",
            [(*failure[:-1], failure.state, failure.id) for failure in failures],
        )

    def promote(
        self, connection: StoreConnection, subscription: int, groups: Collection[str], now: int
    ) -> None:
        """Let the first of each of these groups wait no longer behind its group."""
        mark = self._mark
        connection.execute(
            f"UPDATE engine_delivery SET state = CASE WHEN run_at > {mark} THEN 2 ELSE 0 END "
            "WHERE state = 3 AND id IN (SELECT (SELECT id FROM engine_delivery "
            f"WHERE subscription_id = {mark} AND message_group = g.value AND state < 4 "
            f"ORDER BY id LIMIT 1) FROM {self._texts})",
            (now, subscription, self._text_list(groups)),
        )

    # --- a turn: claims -------------------------------------------------------------------------

    def ripen(self, connection: StoreConnection, subscription: int, now: int) -> None:
        """Let delayed deliveries that are due wait as others do."""
        mark = self._mark
        connection.execute(
            "UPDATE engine_delivery SET state = 0 WHERE "
            + self._first(
                f"SELECT id FROM engine_delivery WHERE subscription_id = {mark} AND state = 2 "
                f"AND run_at <= {mark} ORDER BY run_at LIMIT {RIPEN_SIZE}"
            ),
            (subscription, now),
        )

    @abstractmethod
    def claim(self, connection: StoreConnection, subscription: int, limit: int) -> list[Delivery]:
        """Claim the oldest deliveries that wait."""

    @abstractmethod
    def claim_these(self, connection: StoreConnection, ids: Collection[int]) -> list[Delivery]:
        """Claim deliveries, in the order of their ids."""

    def claim_heads(
        self, connection: StoreConnection, subscription: int, limit: int
    ) -> Sequence[Delivery]:
        """Claim the oldest deliveries of a FIFO subscription that are the first of their groups.

        What is not goes behind its group, so that it is looked at once.
        """
        mark = self._mark
        candidates = connection.fetch(
            "SELECT id, EXISTS (SELECT 1 FROM engine_delivery o "
            "WHERE o.subscription_id = c.subscription_id AND o.message_group = c.message_group "
            "AND o.state < 4 AND o.id < c.id)"
            # A younger one of its group may be in flight: engines that put in at the same time
            # may commit in another order than that of their ids.
            f" OR c.message_group IN (SELECT f.message_group FROM engine_delivery f "
            f"WHERE f.subscription_id = {mark} AND f.state = 1 AND f.message_group IS NOT NULL)"
            f" FROM engine_delivery c WHERE {self._waiting} LIMIT {mark}",
            (subscription, *self._one(subscription), limit + JUDGED_BEYOND),
        )
        if behind := [row_id for row_id, is_behind in candidates if is_behind]:
            connection.execute(
                f"UPDATE engine_delivery SET state = 3 WHERE {self._among}",
                (self._id_list(behind),),
            )
        heads = [row_id for row_id, is_behind in candidates if not is_behind][:limit]
        return self.claim_these(connection, heads) if heads else ()

    @abstractmethod
    def conclude(
        self,
        connection: StoreConnection,
        subscription: int,
        delivered: int,
        failed: int,
    ) -> tuple[bool, int | None]:
        """Count outcomes; hold the subscription as long as something of it is in flight.

        Returns:
            Whether something waits, and when the next delayed delivery is due.
        """

    @abstractmethod
    def want(self, connection: StoreConnection, subscription: int) -> None:
        """Tell the engine that holds a subscription that it was asked for."""

    # --- what there is to do --------------------------------------------------------------------

    @abstractmethod
    def due(
        self, connection: StoreConnection, subscriptions: Collection[int], now: int
    ) -> tuple[list[tuple[int, bool, int | None, bool]], bool]:
        """Look at subscriptions that this engine may deliver.

        Returns:
            Of each that is not paused and not held elsewhere: id, whether something is due, when
            the next delayed delivery is, whether it is noted as detached; and whether there is
            anything in the outbox.
        """


def delivery(row: tuple[Any, ...]) -> Delivery:
    """Return a claimed row, whose bytes are bytes, as it is attempted."""
    row_id, message_id, function_id, data, context, group, attempt, enqueued_at, expires_at = row
    return Delivery(
        row_id,
        message_id,
        function_id,
        data,
        context,
        group or "",
        attempt,
        enqueued_at,
        expires_at,
    )
