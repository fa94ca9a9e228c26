"""Schedules and ticks in the engine's database; every answer comes after its commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.core.deferred import Deferred
from engine.modules.cron.records import Claims, Ended, KnownSchedule, Planned, Settings
from kv.stores.database import Database


class CronStore:
    """Every method is called on the event loop; failures are `kv.stores.executor.StoreError`.

    Attributes:
        place: where the rows are, for people.
        is_shared: whether other processes may write them, too.
    """

    def __init__(self, database: Database) -> None:
        self.place = database.description
        self.is_shared = not database.is_sqlite

    async def start(self) -> None:
        """Take from dead engines what they owned and had under way."""
        raise NotImplementedError

    # --- schedules ------------------------------------------------------------------------------

    def attach(self, settings: Settings) -> Deferred[KnownSchedule]:
        """Own a worker's schedule, made if there is none, with these settings from now on.

        Changes that come at once share a commit. It is due from the next matching time on; one
        that was planned already stays as it was planned.
        """
        raise NotImplementedError

    def detach(self, schedule: int) -> Deferred[None]:
        """Own it no longer: its worker has gone and may come back."""
        raise NotImplementedError

    def end(self, schedule: int) -> Deferred[None]:
        """Own it no longer; unless another engine does, it is never due again."""
        raise NotImplementedError

    def save(self, settings: Settings, *, is_new: bool) -> Deferred[KnownSchedule]:
        """Make or change a person's schedule.

        Raises (the outcome):
            ScheduleExists: it is new, and its id is taken.
            ScheduleNotFound: it is not, and there is no person's schedule of this id.
        """
        raise NotImplementedError

    def remove(self, schedule_id: str) -> Deferred[bool]:
        """Delete a schedule with its ticks; a worker's only while no worker has it."""
        raise NotImplementedError

    def set_paused(self, schedule_id: str, is_paused: bool) -> Deferred[KnownSchedule]:
        """Pause or resume; due ticks of a paused schedule are skipped."""
        raise NotImplementedError

    def skip_next(self, schedule_id: str, *, is_skipped: bool = True) -> Deferred[KnownSchedule]:
        """Let the next time be skipped, or not any more."""
        raise NotImplementedError

    # --- the way of a tick ------------------------------------------------------------------------

    def plan(self) -> Deferred[Planned]:
        """See `planning.plan`; for databases that only this process writes."""
        raise NotImplementedError

    def add_manual(self, schedule_id: str, payload: bytes) -> Deferred[int]:
        """Write a tick that is due now, paused or not; return its id."""
        raise NotImplementedError

    def claim(self, can_run: Callable[[str, str], bool]) -> Deferred[Claims]:
        """Claim due ticks until `LEAD_MS` from now: of owned schedules, and of people's.

        Args:
            can_run: whether a function (id, namespace) can be called here; asked about people's.
        """
        raise NotImplementedError

    def finish(self, ended: Sequence[Ended]) -> Deferred[int]:
        """Store outcomes; return how many came too late to count."""
        raise NotImplementedError

    def release(self, ticks: Sequence[int]) -> Deferred[None]:
        """Give back claimed ticks that were not begun."""
        raise NotImplementedError

    def settle(self) -> Deferred[bool]:
        """End what will not run: given up, superseded, of dead engines; say if ticks are due."""
        raise NotImplementedError

    def sweep(self, *, keep_ms: int, keep_count: int) -> Deferred[int]:
        """Delete old ticks and schedules that are over; return how many rows went."""
        raise NotImplementedError
