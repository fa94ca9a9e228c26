"""The turns of subscriptions in the database: outcomes are stored, deliveries are claimed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Final, TypeAlias

import msgspec

from engine.models import Delivery
from engine.modules.queue.adapters.base import (
    ERROR_LIMIT,
    HISTORY_LIMIT,
    Done,
    Failed,
    Outcome,
    Turn,
)
from engine.modules.queue.adapters.base import Delivery as ClaimedDelivery
from engine.modules.queue.adapters.in_flight import InFlight
from engine.modules.queue.adapters.known import Standing
from engine.modules.queue.adapters.statements import Failure, Statements
from kv.clock import now_ms
from kv.stores.connection import StoreConnection
from kv.stores.executor import Operation, Table

DELAYED: Final = Delivery.State.DELAYED.value
DEAD: Final = Delivery.State.DEAD.value

TurnsTaken: TypeAlias = "list[TakeTurn]"
"""The turns of one subscription in one commit: the row of the executor's table."""


class Turns(Table[int, "TurnsTaken"]):
    """The subscriptions as the executor writes them.

    Args:
        attached: the subscriptions that a worker of this engine has. Nothing of others is claimed.
    """

    def __init__(self, statements: Statements, attached: Collection[int]) -> None:
        super().__init__("engine_queuesubscription")
        self._statements = statements
        self._attached = attached
        self._standings: dict[int, Standing] = {}

    def begin(self, connection: StoreConnection, keys: Sequence[int], changes: int) -> None:
        """Lock subscriptions."""
        self._standings = self._statements.standings(connection, keys)

    def read(self, connection: StoreConnection, keys: Sequence[int]) -> dict[int, TurnsTaken]:
        """Return nothing: every batch begins with no turns."""
        return {}

    def write(self, connection: StoreConnection, rows: Mapping[int, TurnsTaken]) -> None:
        """Let every turn happen, and leave each its result."""
        for number, turns in enumerate(zip_longest(*rows.values())):
            if number:
                self._standings = self._statements.standings(connection, rows)
            for turn in turns:
                if turn is not None:
                    turn.result = self._take(connection, turn)

    def _take(self, connection: StoreConnection, turn: TakeTurn) -> Turn:
        statements, subscription = self._statements, turn.key
        standing = self._standings.get(subscription)
        if standing is None:
            return Turn((), False, None, lost=len(turn.outcomes))
        if standing.is_elsewhere:
            if turn.limit:
                statements.want(connection, subscription)
            return Turn((), False, None, is_elsewhere=True, lost=len(turn.outcomes))
        if turn.known is not None:
            statements.give_back_others(connection, subscription, turn.known)
        now = now_ms()
        settling = _Settling(statements, connection, subscription, standing.is_fifo)
        settling.settle(turn.outcomes, now)
        is_open = not standing.is_paused and subscription in self._attached
        claimed: Sequence[ClaimedDelivery] = ()
        if is_open:
            if _is_due(now, (standing.next_run_at_ms, settling.next_retry_at_ms)):
                statements.ripen(connection, subscription, now)
            if standing.is_fifo:
                claimed = statements.claim_heads(connection, subscription, turn.limit)
            elif turn.limit:
                claimed = statements.claim(connection, subscription, turn.limit)
        waits, next_run_at_ms = statements.conclude(
            connection, subscription, settling.delivered, settling.failed
        )
        lost = len(turn.outcomes) - settling.settled
        if not is_open:
            return Turn((), False, None, lost=lost)
        return Turn(claimed, waits or _is_due(now, (next_run_at_ms,)), next_run_at_ms, lost=lost)

    def delete(self, connection: StoreConnection, keys: Sequence[int]) -> None:
        """Never called: a turn leaves its subscription in place."""
        raise AssertionError(keys)

    def committed(self, rows: Mapping[int, TurnsTaken | None]) -> None:
        """Keep nothing."""

    def forget(self) -> None:
        """Keep nothing."""


class TakeTurn(Operation[int, "TurnsTaken", Turn]):
    """Take a turn of a subscription.

    Attributes:
        known: what is in flight, where something else may be claimed, see `InFlight`.
    """

    __slots__ = ("_in_flight", "known", "limit", "outcomes", "result")

    def __init__(
        self,
        table: Turns,
        in_flight: InFlight,
        subscription: int,
        outcomes: Sequence[Outcome],
        limit: int,
    ) -> None:
        super().__init__(table, subscription)
        self._in_flight = in_flight
        self.known = in_flight.begin(subscription)
        self.outcomes = outcomes
        self.limit = limit
        self.result: Turn | None = None

    @property
    def outlives_power(self) -> bool:
        """Whether it has outcomes: a claim is void when nobody is left that made it."""
        return bool(self.outcomes)

    def apply(self, row: TurnsTaken | None, now_ms: int) -> TurnsTaken:
        """Come behind what other turns of the subscription this commit has."""
        if row is None:
            return [self]
        row.append(self)
        return row

    def finish(self) -> Turn:
        """Return what the turn has brought."""
        assert self.result is not None
        return self.result

    def resolve(self, value: Turn) -> None:
        """Note what is in flight now, and answer."""
        self._in_flight.end(
            self.key,
            [outcome.id for outcome in self.outcomes],
            [delivery.id for delivery in value.claimed],
            is_certain=self.known is not None,
        )
        super().resolve(value)

    def reject(self, error: Exception) -> None:
        """Note that it is not known what is in flight, and answer."""
        self._in_flight.fail(self.key)
        super().reject(error)


class _Settling:
    """The outcomes of one turn on their way into the database, all of a kind together.

    Attributes:
        delivered: how many messages have succeeded.
        failed: how many attempts have failed.
        settled: how many outcomes belonged to a claim that still stood.
        next_retry_at_ms: when the first retry is due; None if there is none.
    """

    def __init__(
        self,
        statements: Statements,
        connection: StoreConnection,
        subscription: int,
        is_fifo: bool,
    ) -> None:
        self._statements = statements
        self._connection = connection
        self._subscription = subscription
        self._is_fifo = is_fifo
        self._groups: set[str] = set()
        self.delivered = self.failed = self.settled = 0
        self.next_retry_at_ms: int | None = None

    def settle(self, outcomes: Sequence[Outcome], now: int) -> None:
        """Store outcomes; groups whose first is gone go on."""
        if not outcomes:
            return
        done: dict[tuple[bool, int], list[int]] = {}
        returned: dict[int, list[int]] = {}
        failed: list[Failed] = []
        for outcome in outcomes:
            if isinstance(outcome, Done):
                done.setdefault((outcome.is_success, outcome.attempt), []).append(outcome.id)
            elif isinstance(outcome, Failed):
                failed.append(outcome)
            else:
                returned.setdefault(outcome.attempt, []).append(outcome.id)
        for (is_success, attempt), ids in done.items():
            self._finish(attempt, ids, is_success=is_success)
        for attempt, ids in returned.items():
            self.settled += self._statements.give_back(
                self._connection, self._subscription, attempt, ids
            )
        if failed:
            self._fail(failed)
        if self._groups:
            self._statements.promote(self._connection, self._subscription, self._groups, now)

    def _finish(self, attempt: int, ids: Collection[int], *, is_success: bool) -> None:
        count, groups = self._statements.finish(
            self._connection, self._subscription, attempt, ids, is_fifo=self._is_fifo
        )
        self.settled += count
        self.delivered += count if is_success else 0
        self._groups |= groups

    def _fail(self, outcomes: Sequence[Failed]) -> None:
        wanted = {(each.id, each.attempt): each for each in outcomes}
        failures: list[Failure] = []
        for row_id, attempt, history, group in self._statements.claimed(
            self._connection, self._subscription, [each.id for each in outcomes]
        ):
            outcome = wanted.get((row_id, attempt))
            if outcome is None:
                continue
            failures.append(_failure(outcome, history))
            if outcome.retry_at_ms is not None:
                self.next_retry_at_ms = min(
                    outcome.retry_at_ms, self.next_retry_at_ms or outcome.retry_at_ms
                )
            elif self._is_fifo:
                self._groups.add(group or "")
        if failures:
            self._statements.fail(self._connection, failures)
        self.failed += len(failures)
        self.settled += len(failures)


def _failure(outcome: Failed, history: str) -> Failure:
    # What came from outside may hold what a database refuses: NUL, lone surrogates.
    text = outcome.error[:ERROR_LIMIT].encode(errors="replace").decode().replace("\0", "\ufffd")
    entry = {"attempt": outcome.attempt, "at": outcome.at_ms, "error": text}
    former = msgspec.json.decode(history, type=list[msgspec.Raw]) if history else []
    entries = [*former, msgspec.Raw(msgspec.json.encode(entry))][-HISTORY_LIMIT:]
    is_dead = outcome.retry_at_ms is None
    return Failure(
        DEAD if is_dead else DELAYED,
        outcome.retry_at_ms or 0,
        text,
        msgspec.json.encode(entries).decode(),
        outcome.at_ms,
        outcome.id,
    )


def _is_due(now: int, run_times_ms: Iterable[int | None]) -> bool:
    return any(each is not None and each <= now for each in run_times_ms)
