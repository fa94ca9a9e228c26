"""What is over goes: old ticks, more ticks of a schedule than are kept, schedules nobody has."""

from __future__ import annotations

from collections import Counter
from typing import Final

from engine.models import Tick
from engine.modules.cron.store.dialect import Dialect
from kv.clock import now_ms
from kv.stores.connection import StoreConnection

SWEPT_AT_ONCE: Final = 1_000
"""How many rows one transaction deletes at most, and how many ticks it looks at."""

SCHEDULES_AT_ONCE: Final = 5_000
"""How many schedules one sweep looks at: all, one part after the other."""

SLACK: Final = 0.1
"""How much more than is kept a schedule may have, so that it is not looked through each time."""

ABANDONED_MS: Final = 7 * 24 * 3_600_000
"""How long a schedule is kept that no worker has."""

_END: Final = 2**62
"""After the last row."""

DONE: Final = Tick.State.DONE.value


class Sweeping:
    """Deletes a limited number of rows at a time, in the database thread, in a transaction.

    Args:
        dialect: how the database is spoken to.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._window = (0, _END)

    def find_crowded(self, connection: StoreConnection, keep_count: int) -> dict[int, int]:
        """Return which of the next schedules have too many ticks, and how many too many."""
        mark, last = self._dialect.mark, self._window[1]
        after = 0 if last == _END else last
        found = connection.fetch(
            f"SELECT id, planned - pruned FROM engine_schedule WHERE id > {mark} "
            f"ORDER BY id LIMIT {mark}",
            (after, SCHEDULES_AT_ONCE),
        )
        self._window = after, found[-1][0] if len(found) == SCHEDULES_AT_ONCE else _END
        most = keep_count + int(keep_count * SLACK)
        return {row_id: number - keep_count for row_id, number in found if number > most}

    def prune(self, connection: StoreConnection, crowded: dict[int, int]) -> int:
        """Delete the oldest ticks of schedules that have too many; return how many went.

        What is done is taken out of `crowded`.
        """
        self._dialect.read_by_index(connection)
        mark = self._dialect.mark
        doomed: list[tuple[int, int]] = []
        room = SWEPT_AT_ONCE
        for schedule, excess in list(crowded.items()):
            oldest = connection.fetch(
                f"SELECT id, state FROM engine_tick WHERE schedule_id = {mark} "
                f"ORDER BY scheduled_at LIMIT {mark}",
                (schedule, min(excess, room)),
            )
            doomed += [(row_id, schedule) for row_id, state in oldest if state >= DONE]
            if excess > room:
                crowded[schedule] = excess - room
                break
            room -= excess
            del crowded[schedule]
        return self._delete(connection, doomed)

    def sweep_old(self, connection: StoreConnection, keep_ms: int) -> int:
        """Delete the oldest ticks that have ended long ago; return how many went.

        Rows come in the order in which they end, nearly: the first that is not old is the end.
        """
        before, mark = now_ms() - keep_ms, self._dialect.mark
        doomed: list[tuple[int, int]] = []
        after = 0
        while len(doomed) < SWEPT_AT_ONCE:
            rows = connection.fetch(
                "SELECT id, schedule_id, state, finished_at FROM engine_tick "
                f"WHERE id > {mark} ORDER BY id LIMIT {mark}",
                (after, SWEPT_AT_ONCE),
            )
            ended = [row for row in rows if row[2] >= DONE]
            old = [row[:2] for row in ended if (row[3] or 0) < before]
            doomed += old
            if len(rows) < SWEPT_AT_ONCE or len(old) < len(ended):
                break
            after = rows[-1][0]
        return self._delete(connection, doomed[:SWEPT_AT_ONCE])

    def sweep_abandoned(self, connection: StoreConnection) -> int:
        """Delete workers' schedules that nobody has had for long; return how many rows went.

        Of those that `find_crowded` has looked at last.
        """
        before, mark = now_ms() - ABANDONED_MS, self._dialect.mark
        gone = 0
        # Locked: one may be attached this moment.
        for (schedule,) in connection.fetch(
            f"SELECT id FROM engine_schedule WHERE id > {mark} AND id <= {mark} "
            "AND origin = 'worker' "
            f"AND (detached_at < {mark} OR ended_at < {mark}) ORDER BY id LIMIT {mark} "
            f"{self._dialect.skip_locked}",
            (*self._window, before, before, SWEPT_AT_ONCE),
        ):
            ticks = connection.fetch(
                f"SELECT id FROM engine_tick WHERE schedule_id = {mark} LIMIT {mark}",
                (schedule, SWEPT_AT_ONCE - gone),
            )
            gone += self._delete(connection, [(row_id, schedule) for (row_id,) in ticks])
            if gone >= SWEPT_AT_ONCE:
                break
            for table in ("scheduleowner WHERE schedule_id", "schedule WHERE id"):
                connection.execute(f"DELETE FROM engine_{table} = {mark}", (schedule,))
            gone += 1
        return gone

    def _delete(self, connection: StoreConnection, doomed: list[tuple[int, int]]) -> int:
        if not doomed:
            return 0
        gone = connection.execute(
            f"DELETE FROM engine_tick WHERE id {self._dialect.any_of}",
            (self._dialect.id_list([row_id for row_id, _ in doomed]),),
        )
        mark = self._dialect.mark
        connection.execute_many(
            f"UPDATE engine_schedule SET pruned = pruned + {mark} WHERE id = {mark}",
            [(number, schedule) for schedule, number in _numbers(doomed)],
        )
        return gone


def _numbers(doomed: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return schedules with how many of their ticks go, in one order everywhere."""
    return sorted(Counter(schedule for _, schedule in doomed).items())
