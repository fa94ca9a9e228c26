"""Schedules and ticks in the engine's database; every answer comes after its commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar, cast

from engine.core.deferred import Deferred
from engine.core.errors import EngineError
from engine.modules.cron.records import (
    LEAD_MS,
    Claims,
    Ended,
    KnownSchedule,
    ListedSchedule,
    Planned,
    SchedulePage,
    Settings,
    TickRecord,
    TickState,
)
from engine.modules.cron.store import planning
from engine.modules.cron.store.claims import UnderWay, claim, has_claimable
from engine.modules.cron.store.reading import Reading
from engine.modules.cron.store.schedules import Schedules
from engine.modules.cron.store.settle_statements import SETTLED_AT_ONCE, Look
from engine.modules.cron.store.settling import Settling
from engine.modules.cron.store.sweeping import SWEPT_AT_ONCE, Sweeping
from engine.modules.cron.store.tick_statements import (
    PostgresTickStatements,
    SqliteTickStatements,
    TickStatements,
)
from kv.clock import now_ms
from kv.stores.connection import StoreConnection
from kv.stores.database import Database
from kv.stores.gathered import GatheredChanges
from kv.stores.steps import Step, in_steps

T = TypeVar("T")

BACK_MS: Final = 60_000
"""How far the clock has to be set back for schedules to begin again at the new time."""

OWNED_S: Final = 15.0
"""An engine that was held up for so long may be taken for dead, see `engine.models.NODE_LEASE`:
it says again then what it owns."""


class Detach(NamedTuple):
    """A schedule whose worker has gone."""

    schedule: int


class End(NamedTuple):
    """A schedule whose last trigger was unregistered."""

    schedule: int


_Change: TypeAlias = Settings | Detach | End


class CronStore:
    """Every method is called on the event loop; failures are `kv.stores.executor.StoreError`.

    Attributes:
        place: where the rows are, for people.
        is_shared: whether other processes may write them, too.
    """

    def __init__(self, database: Database) -> None:
        self.place = database.description
        self.is_shared = not database.is_sqlite
        self._writer = database.writer
        self._reader = database.reader
        statements: TickStatements = (
            SqliteTickStatements(database.node_id)
            if database.is_sqlite
            else PostgresTickStatements(database.node_id)
        )
        self._statements = statements
        self._schedules = Schedules(database.writer.alias, statements, database.node_id)
        self._changes: GatheredChanges[_Change] = GatheredChanges(self._writer, self._make)
        self._under_way = UnderWay()
        self._settling = Settling(statements)
        self._sweeping = Sweeping(statements)
        self._reading = Reading(database.writer.alias)
        self._looked_at = 0
        self._settled_at = time.monotonic()

    async def start(self) -> None:
        """Take from dead engines what they had under way, and tell the clock that one lives."""

        def take_over(connection: StoreConnection) -> bool:
            self._statements.decide_alone(connection)
            self._statements.tell_clock(connection)
            return self._settling.take_over(connection) == SETTLED_AT_ONCE

        await in_steps(self._writer, [take_over], lambda: None)

    # --- schedules ------------------------------------------------------------------------------

    def attach(self, settings: Settings) -> Deferred[KnownSchedule]:
        """Own a worker's schedule, made if there is none, with these settings from now on.

        Changes that come at once share a commit. It is due from the next matching time on; one
        that was planned already stays as it was planned.

        Raises (the outcome):
            ScheduleExists: it is a person's.
            InvalidExpression, UnknownZone: its rule cannot be read.
        """
        return self._changes.add(settings)

    def detach(self, schedule: int) -> Deferred[None]:
        """Own it no longer: its worker has gone and may come back."""
        return self._changes.add(Detach(schedule))

    def end(self, schedule: int) -> Deferred[None]:
        """Own it no longer; unless another engine does, it is never due again."""
        return self._changes.add(End(schedule))

    def _make(self, connection: StoreConnection, changes: Sequence[_Change]) -> list[Any]:
        """Make changes in their order, those of a kind that follow each other together."""
        made: list[Any] = []
        for kind, same in groupby(changes, type):
            if kind is Settings:
                made += self._schedules.attach(connection, cast("list[Settings]", list(same)))
                continue
            ids = [each.schedule for each in cast("list[Detach | End]", list(same))]
            (self._schedules.detach if kind is Detach else self._schedules.end)(connection, ids)
            made += [None] * len(ids)
        return made

    def save(self, settings: Settings, *, is_new: bool) -> Deferred[KnownSchedule]:
        """Make or change a person's schedule.

        Raises (the outcome):
            ScheduleExists: it is new, and its id is taken.
            ScheduleNotFound: it is not, and there is no person's schedule of this id.
        """
        return self._run(
            lambda connection: self._schedules.save(connection, settings, is_new=is_new)
        )

    def remove(self, schedule_id: str) -> Deferred[bool]:
        """Delete a schedule with its ticks; return whether there was one.

        Raises (the outcome):
            CronError: a worker has it.
        """
        return self._run(lambda connection: self._schedules.remove(connection, schedule_id))

    def set_paused(self, schedule_id: str, is_paused: bool) -> Deferred[KnownSchedule]:
        """Pause or resume; due ticks of a paused schedule are skipped."""
        return self._run(
            lambda connection: self._schedules.set_paused(connection, schedule_id, is_paused)
        )

    def skip_next(self, schedule_id: str, *, is_skipped: bool = True) -> Deferred[KnownSchedule]:
        """Let the next time be skipped, or not any more."""
        return self._run(
            lambda connection: self._schedules.skip_next(
                connection, schedule_id, is_skipped=is_skipped
            )
        )

    def _run(self, change: Callable[[StoreConnection], T | EngineError]) -> Deferred[T]:
        """Make a change in a transaction of its own; an error that it returns is its outcome."""
        made: Deferred[T] = Deferred()

        def answer(job: Deferred[T | EngineError]) -> None:
            error = job.error
            if error is None and isinstance(job.value, EngineError):
                error = job.value
            if error is None:
                made.resolve(cast("T", job.value))
            else:
                made.reject(error)

        self._writer.run(change).then(answer)
        return made

    # --- the way of a tick ------------------------------------------------------------------------

    def add_manual(self, schedule_id: str, payload: bytes) -> Deferred[int]:
        """Write a tick that is due now, paused or not; return its id."""
        return self._run(lambda _: self._schedules.add_manual(schedule_id, payload))

    def claim(self, can_run: Callable[[str, str], bool]) -> Deferred[Claims]:
        """Claim due ticks until `LEAD_MS` from now: of owned schedules, and of people's.

        Args:
            can_run: whether a function (id, namespace) can be called here; asked about people's.
        """
        known = self._under_way.begin()

        def work(connection: StoreConnection) -> Claims:
            if known is not None:
                self._settling.interrupt_besides(connection, known)
            return claim(connection, self._statements, can_run)

        claimed: Deferred[Claims] = Deferred()

        def answer(job: Deferred[Claims]) -> None:
            if job.error is not None:
                self._under_way.fail()
                claimed.reject(job.error)
                return
            self._under_way.end(job.value.ticks, is_certain=known is not None)
            claimed.resolve(job.value)

        self._writer.run(work).then(answer)
        return claimed

    def finish(self, ended: Sequence[Ended]) -> Deferred[int]:
        """Store outcomes; return how many came too late to count."""
        return self._over(
            [each.id for each in ended],
            lambda connection: (
                len(ended) - self._statements.finish(connection, ended) if ended else 0
            ),
        )

    def release(self, ticks: Sequence[int]) -> Deferred[None]:
        """Give back claimed ticks that were not begun."""
        return self._over(ticks, lambda connection: self._give_back(connection, ticks))

    def _give_back(self, connection: StoreConnection, ticks: Sequence[int]) -> None:
        self._statements.release(connection, ticks)
        self._schedules.drop_ended(ticks)

    def _over(self, ticks: Sequence[int], work: Callable[[StoreConnection], T]) -> Deferred[T]:
        """Do something that leaves ticks in this engine's hands no longer."""
        done: Deferred[T] = Deferred()

        def answer(job: Deferred[T]) -> None:
            if job.error is not None:
                done.reject(job.error)
                return
            self._under_way.remove(ticks)
            done.resolve(job.value)

        self._writer.run(work).then(answer)
        return done

    def plan(self) -> Deferred[Planned]:
        """See `planning.plan`; for databases that only this process writes.

        Where the clock was set back, schedules begin again first. With nothing due, nothing is
        written: a write waits for a file that others have locked, and all others behind it.
        """
        now = now_ms()
        is_back = now < self._looked_at - BACK_MS
        planned: Deferred[Planned] = Deferred()

        def looked(look: Deferred[int | None]) -> None:
            if look.error is not None:
                planned.reject(look.error)
            elif not is_back and (look.value is None or look.value > now + LEAD_MS):
                self._looked_at = now
                planned.resolve(Planned(0, look.value, ()))
            else:
                self._plan(now, planned, is_back=is_back)

        self._reader.query(planning.next_due_at).then(looked)
        return planned

    def _plan(self, now: int, planned: Deferred[Planned], *, is_back: bool) -> None:
        """Write the ticks of what is due, in steps."""
        ticks, urls = 0, set[str]()
        next_due_at: int | None = None
        after: int | None = 0

        def rewind(connection: StoreConnection) -> bool:
            nonlocal after
            after = planning.rewind_some(connection, now, after or 0)
            return after is not None

        def plan(connection: StoreConnection) -> bool:
            nonlocal ticks, next_due_at
            step = planning.plan_some(connection, now)
            ticks += step.ticks
            urls.update(step.urls)
            next_due_at = planning.next_due_at(connection)
            return step.has_more and time.monotonic() < deadline

        def finish() -> Planned:
            self._looked_at = now
            return Planned(ticks, next_due_at, sorted(urls))

        deadline = time.monotonic() + planning.LOOK_S
        in_steps(self._writer, [rewind, plan] if is_back else [plan], finish, planned)

    def settle(self, can_run: Callable[[str, str], bool]) -> Deferred[bool]:
        """End what will not run: given up, superseded, of dead engines.

        Args:
            can_run: see `claim`.

        Returns:
            Whether ticks are due that this engine may claim.
        """
        settled: Deferred[bool] = Deferred()
        steps: list[Step] = []
        owned: int | None = 0

        def own_again(_: StoreConnection) -> bool:
            nonlocal owned
            owned = self._schedules.own_again(owned or 0)
            return owned is not None

        if self.is_shared and time.monotonic() - self._settled_at > OWNED_S:
            steps.append(own_again)

        def looked(job: Deferred[tuple[Look, bool]]) -> None:
            if job.error is not None:
                settled.reject(job.error)
                return
            look, is_due = job.value
            if look.has_hopeless or look.has_orphans:
                steps.append(lambda connection: self._settling.settle_ticks(connection, can_run))
            if look.has_dead_owners:
                steps.append(self._settling.settle_owners)
            self._settled_at = time.monotonic()
            if steps:
                in_steps(self._writer, steps, lambda: is_due, settled)
            else:
                settled.resolve(is_due)

        def look_around(connection: StoreConnection) -> tuple[Look, bool]:
            look = self._settling.look(connection)
            is_due = look.has_overdue and has_claimable(connection, self._statements, can_run)
            return look, is_due

        self._reader.query(look_around).then(looked)
        return settled

    def sweep(self, *, keep_ms: int, keep_count: int) -> Deferred[int]:
        """Delete old ticks and schedules that are over; return how many rows went."""
        sweeping, gone = self._sweeping, 0
        crowded: dict[int, int] | None = None

        def prune(connection: StoreConnection) -> bool:
            nonlocal gone, crowded
            if crowded is None:
                crowded = sweeping.find_crowded(connection, keep_count)
            if crowded:
                gone += sweeping.prune(connection, crowded)
            return bool(crowded)

        def sweep_over(connection: StoreConnection) -> bool:
            nonlocal gone
            swept = sweeping.sweep_old(connection, keep_ms)
            if swept < SWEPT_AT_ONCE:
                swept += sweeping.sweep_abandoned(connection)
            gone += swept
            return swept >= SWEPT_AT_ONCE

        return in_steps(self._writer, [prune, sweep_over], lambda: gone)

    # --- for people -------------------------------------------------------------------------------

    def next_due_at(self) -> Deferred[int | None]:
        """Return when the next schedule is due; long past if nothing plans them."""
        return self._reader.query(planning.next_due_at)

    def find(self, schedule_id: str) -> Deferred[ListedSchedule | None]:
        """Return one schedule."""
        return self._reader.query(lambda _: self._reading.find(schedule_id))

    def list(
        self,
        *,
        search: str = "",
        origin: str = "",
        state: str = "",
        function_id: str = "",
        limit: int = 50,
        offset: int = 0,
    ) -> Deferred[SchedulePage]:
        """Return some schedules, by id.

        Args:
            search: what id or function contain.
            origin: `worker` or `person`.
            state: a key of `reading.STATES`.
            function_id: what they call.
            limit: how many at most.
            offset: how many are left out before.
        """
        return self._reader.query(
            lambda _: self._reading.page(
                search=search,
                origin=origin,
                state=state,
                function_id=function_id,
                limit=limit,
                offset=offset,
            )
        )

    def tick(self, tick_id: int) -> Deferred[TickRecord | None]:
        """Return one tick."""
        return self._reader.query(lambda _: self._reading.tick(tick_id))

    def ticks(
        self,
        *,
        schedule_id: str = "",
        state: TickState | None = None,
        limit: int = 50,
        before_id: int | None = None,
    ) -> Deferred[Sequence[TickRecord]]:
        """Return ticks, the newest rows first; `before_id` goes on behind a page."""
        return self._reader.query(
            lambda _: self._reading.ticks(
                schedule_id=schedule_id, state=state, limit=limit, before_id=before_id
            )
        )
