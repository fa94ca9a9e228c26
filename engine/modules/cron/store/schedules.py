"""What schedules there are, whose they are and what they say; every method changes that."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import count
from typing import Any, Final

from django.db.models import F

from engine.core.errors import EngineError
from engine.models import Schedule, ScheduleOwner, Tick
from engine.modules.cron.errors import CronError, ScheduleExists, ScheduleNotFound
from engine.modules.cron.records import LONGEST_GRACE_MS, KnownSchedule, Settings, grace_ms
from engine.modules.cron.store.dialect import Dialect
from engine.modules.cron.store.foresight import DueSchedule, first_due_at
from engine.modules.cron.store.plan_statements import Advance
from engine.modules.cron.store.planning import catch_up, draw, statements_for
from engine.modules.cron.store.rows import SCHEDULE_FIELDS, known, setting_values
from engine.modules.cron.store.rules import is_same_rule, next_time
from kv.clock import now_ms
from kv.stores.connection import StoreConnection

WORKER: Final = Schedule.Origin.WORKER
PERSON: Final = Schedule.Origin.PERSON
DUE: Final = Tick.State.DUE
CLAIMED: Final = Tick.State.CLAIMED

OWNED_AT_ONCE: Final = 500
"""How many schedules one transaction owns again."""

_TIMES: Final = frozenset({"next_at", "due_at"})


class Schedules:
    """Changes rows in the database thread, each method within a transaction.

    Args:
        alias: the database.
        dialect: how it is spoken to.
        node_id: this engine.
    """

    def __init__(self, alias: str, dialect: Dialect, node_id: uuid.UUID) -> None:
        self._alias = alias
        self._dialect = dialect
        self._node_id = node_id
        self._owned: set[int] = set()
        self._schedules = Schedule.objects.using(alias)
        self._owners = ScheduleOwner.objects.using(alias)
        self._ticks = Tick.objects.using(alias)

    # --- workers' ---------------------------------------------------------------------------------

    def attach(
        self, connection: StoreConnection, wanted: Sequence[Settings]
    ) -> list[KnownSchedule | EngineError]:
        """Own schedules, made where there are none; the last of several about one is in charge."""
        now = now_ms()
        settings = {each.schedule_id: each for each in wanted}
        failed: dict[str, EngineError] = {}
        self._make(settings, now, failed)
        rows = self._locked(schedule_id__in=list(settings))
        for row in rows:
            if row.origin == PERSON:
                failed[row.schedule_id] = ScheduleExists(
                    f"schedule_id: a schedule of the console has the id `{row.schedule_id}`; "
                    "give another one"
                )
        mine = [row for row in rows if row.schedule_id not in failed]
        self._change(connection, mine, settings, now, failed)
        mine = [row for row in mine if row.schedule_id not in failed]
        detached = [row.id for row in mine if row.detached_at is not None]
        self._schedules.filter(id__in=detached).update(detached_at=None)
        # Before there is an owner again: it was not there for these.
        self._ticks.filter(
            schedule__in=detached, state=DUE, state__lt=CLAIMED + 1, give_up_at__lt=now
        ).update(state=Tick.State.MISSED, reason=Tick.Reason.NO_WORKER, finished_at=now)
        self._own(row.id for row in mine)
        self._owned.update(row.id for row in mine)
        self._dialect.tell_clock(connection)
        # With the settings that were given, not equal ones: there may be many to be kept.
        made = {
            row.schedule_id: KnownSchedule(
                id=row.id,
                settings=settings[row.schedule_id],
                is_persons=False,
                is_paused=row.is_paused,
                skip_until=row.skip_until or 0,
                next_at=row.next_at,
            )
            for row in mine
        }
        return [failed.get(each.schedule_id) or made[each.schedule_id] for each in wanted]

    def _make(
        self, settings: Mapping[str, Settings], now: int, failed: dict[str, EngineError]
    ) -> None:
        ids = self._schedules.filter(schedule_id__in=list(settings))
        there = set(ids.values_list("schedule_id", flat=True))
        new: list[Schedule] = []
        for schedule_id in sorted(settings.keys() - there):  # in one order everywhere
            row = Schedule(schedule_id=schedule_id, origin=WORKER, created_at=now)
            try:
                _apply(row, settings[schedule_id], now)
            except EngineError as error:
                failed[schedule_id] = error
            else:
                new.append(row)
        # Another engine may make the same ones now.
        self._schedules.bulk_create(new, ignore_conflicts=True)

    def _change(
        self,
        connection: StoreConnection,
        rows: Sequence[Schedule],
        settings: Mapping[str, Settings],
        now: int,
        failed: dict[str, EngineError],
    ) -> None:
        """Give schedules their settings and their next time, where those differ."""
        self._catch_up(
            connection,
            [row for row in rows if not _has_rule_of(row, settings[row.schedule_id])],
            now,
        )
        again: list[int] = []
        moved: list[Advance] = []
        for row in rows:
            try:
                different = _apply(row, settings[row.schedule_id], now)
            except EngineError as error:
                failed[row.schedule_id] = error
                continue
            if "ended_at" in different:
                again.append(row.id)
            if _TIMES.intersection(different):
                moved.append(Advance(row.id, row.next_at, row.due_at, 0))
            if said := [name for name in different if name in Settings.__struct_fields__]:
                row.save(using=self._alias, update_fields=said)
        # Many at once as a rule: a worker has come back that had unregistered them.
        self._schedules.filter(id__in=again).update(ended_at=None)
        if moved:
            statements_for(connection).advance(connection, moved)

    def detach(self, connection: StoreConnection, schedules: Sequence[int]) -> None:
        """Own schedules no longer; they wait for their workers."""
        self._locked(id__in=schedules)
        self._disown(schedules)
        self._schedules.filter(
            id__in=schedules, origin=WORKER, owners=None, detached_at=None, ended_at=None
        ).update(detached_at=now_ms())

    def end(self, connection: StoreConnection, schedules: Sequence[int]) -> None:
        """Own schedules no longer; those that nobody owns are never due again."""
        now = now_ms()
        rows = self._locked(id__in=schedules, origin=WORKER, ended_at=None)
        self._disown(schedules)
        owned = set(
            self._owners.filter(schedule__in=schedules).values_list("schedule_id", flat=True)
        )
        over = [row for row in rows if row.id not in owned]
        self._catch_up(connection, over, now)
        ids = [row.id for row in over]
        self._schedules.filter(id__in=ids).update(
            ended_at=now, detached_at=None, next_at=None, due_at=None
        )
        self.drop_unbegun(ids, now)

    def drop_unbegun(self, schedules: Collection[int], now: int) -> None:
        """Let due ticks of ended schedules go: their time had not come, or nobody is left."""
        due = self._ticks.filter(schedule__in=schedules, state=DUE, state__lt=CLAIMED + 1)
        ahead = due.filter(scheduled_at__gt=now, is_manual=False)
        gone = list(ahead.select_for_update().values_list("id", "schedule_id"))
        self._ticks.filter(id__in=[row_id for row_id, _ in gone]).delete()
        for schedule, number in Counter(schedule for _, schedule in gone).items():
            self._schedules.filter(id=schedule).update(pruned=F("pruned") + number)
        due.update(state=Tick.State.MISSED, reason=Tick.Reason.NO_WORKER, finished_at=now)

    def drop_ended(self, ticks: Sequence[int]) -> None:
        """Let ticks go that were given back after their schedule had ended."""
        ended = self._schedules.filter(ticks__in=ticks, ended_at__isnull=False)
        if ids := list(ended.values_list("id", flat=True).distinct()):
            self.drop_unbegun(ids, now_ms())

    def own_again(self, after: int) -> int | None:
        """Own what workers here have, in case that another engine has taken it from this one.

        Args:
            after: the row behind which to go on.

        Returns:
            The last row, None at the end.
        """
        held = sorted(each for each in self._owned if each > after)[:OWNED_AT_ONCE]
        there = self._schedules.filter(id__in=held).select_for_update().order_by("id")
        ids = list(there.values_list("id", flat=True))
        self._own(ids)
        self._schedules.filter(id__in=ids, detached_at__isnull=False).update(detached_at=None)
        return held[-1] if len(held) == OWNED_AT_ONCE else None

    def _own(self, schedules: Iterable[int]) -> None:
        self._owners.bulk_create(
            [ScheduleOwner(schedule_id=row_id, node=self._node_id) for row_id in schedules],
            ignore_conflicts=True,
        )

    def _disown(self, schedules: Sequence[int]) -> None:
        self._owned.difference_update(schedules)
        self._owners.filter(schedule__in=schedules, node=self._node_id).delete()

    # --- people's ---------------------------------------------------------------------------------

    def save(
        self, connection: StoreConnection, settings: Settings, *, is_new: bool
    ) -> KnownSchedule | EngineError:
        """Make or change a person's schedule."""
        now, schedule_id = now_ms(), settings.schedule_id
        row = next(iter(self._locked(schedule_id=schedule_id)), None)
        if is_new and row is not None:
            return ScheduleExists(
                f"schedule_id: there is a schedule `{schedule_id}` already; give another id"
            )
        if is_new:
            row = Schedule(schedule_id=schedule_id, origin=PERSON, created_at=now)
        if row is None or row.origin != PERSON:
            return ScheduleNotFound(
                f"schedule_id: the console has made no schedule `{schedule_id}`; "
                "those of workers are changed by their workers"
            )
        if not is_new and not _has_rule_of(row, settings):
            self._catch_up(connection, [row], now)
        try:
            changed = _apply(row, settings, now)
        except EngineError as error:
            return error
        if is_new:
            row.save(using=self._alias, force_insert=True)
        elif changed:
            row.save(using=self._alias, update_fields=changed)
        self._dialect.tell_clock(connection)
        return _known(row)

    def remove(self, connection: StoreConnection, schedule_id: str) -> bool | EngineError:
        """Delete a schedule with its ticks."""
        row = next(iter(self._locked(schedule_id=schedule_id)), None)
        if row is None:
            return False
        if self._dialect.has_live_owner(connection, row.id, self._node_id):
            return CronError(
                f"schedule_id: a worker has `{schedule_id}`; "
                "it can be deleted when its trigger is unregistered"
            )
        self._ticks.filter(schedule=row.id).delete()
        row.delete(using=self._alias)
        return True

    # --- for everyone -----------------------------------------------------------------------------

    def set_paused(
        self, connection: StoreConnection, schedule_id: str, is_paused: bool
    ) -> KnownSchedule | EngineError:
        """Pause or resume."""
        for row in self._locked(schedule_id=schedule_id):
            row.is_paused = is_paused
            row.save(using=self._alias, update_fields=["is_paused"])
            if is_paused:
                due = self._ticks.filter(schedule=row.id, state=DUE, state__lt=CLAIMED + 1)
                due.filter(is_manual=False).update(
                    state=Tick.State.SKIPPED, reason=Tick.Reason.PAUSED, finished_at=now_ms()
                )
            return _known(row)
        return _not_found(schedule_id)

    def skip_next(
        self, connection: StoreConnection, schedule_id: str, *, is_skipped: bool
    ) -> KnownSchedule | EngineError:
        """Let the next time be skipped, or not any more.

        What is due already is skipped by whoever claims it.
        """
        for row in self._locked(schedule_id=schedule_id):
            if not is_skipped:
                self._unskip(row)
            row.skip_until = self._next_unbegun(row) if is_skipped else None
            row.save(using=self._alias, update_fields=["skip_until"])
            return _known(row)
        return _not_found(schedule_id)

    def _next_unbegun(self, row: Schedule) -> int | None:
        """Return the next time of a schedule: it may be planned, even claimed ahead of it."""
        planned = self._ticks.filter(
            schedule=row.id, state__lt=CLAIMED + 1, scheduled_at__gte=now_ms(), is_manual=False
        ).order_by("scheduled_at")
        first = planned.values_list("scheduled_at", flat=True).first()
        return row.next_at if first is None else first

    def _unskip(self, row: Schedule) -> None:
        """Let a time be due again that was skipped when it was planned, if it is still to come."""
        time = row.skip_until
        now = now_ms()
        if time is None or time <= now:
            return
        following = next_time(row.expression, row.timezone, time)
        is_once = row.misfire == Schedule.Misfire.ONCE
        self._ticks.filter(
            schedule=row.id,
            scheduled_at=time,
            state=Tick.State.SKIPPED,
            reason=Tick.Reason.SKIP_NEXT,
        ).update(
            state=DUE,
            reason="",
            finished_at=None,
            give_up_at=None if is_once else F("run_at") + grace_ms(time, following),
        )

    def add_manual(self, schedule_id: str, payload: bytes) -> int | EngineError:
        """Write a tick that is due now; return its id."""
        for row in self._locked(schedule_id=schedule_id):
            now = now_ms()
            taken = set(
                self._ticks.filter(schedule=row.id, scheduled_at__gte=now).values_list(
                    "scheduled_at", flat=True
                )
            )
            # Whole seconds belong to the rule.
            time = next(each for each in count(now) if each % 1_000 and each not in taken)
            tick = self._ticks.create(
                schedule_id=row.id,
                scheduled_at=time,
                run_at=now,
                give_up_at=now + LONGEST_GRACE_MS,
                is_manual=True,
                payload=payload.decode(),
            )
            self._schedules.filter(id=row.id).update(planned=F("planned") + 1)
            return tick.id
        return _not_found(schedule_id)

    # --- within -----------------------------------------------------------------------------------

    def _locked(self, **conditions: Any) -> list[Schedule]:
        """Return schedules, locked in the order of their rows."""
        return list(self._schedules.filter(**conditions).select_for_update().order_by("id"))

    def _catch_up(self, connection: StoreConnection, rows: Iterable[Schedule], now: int) -> None:
        """Plan what is past of schedules, as they were, before they change."""
        behind = {row.id: row for row in rows if row.next_at is not None and row.next_at <= now}
        due = [_due(row) for row in behind.values()]
        for row_id, foreseen in catch_up(connection, due, now).items():
            behind[row_id].next_at, behind[row_id].due_at = foreseen.next_at, foreseen.due_at


def _apply(row: Schedule, settings: Settings, now: int) -> list[str]:
    """Give a schedule settings, and the time at which it is due with them; return what differs.

    Raises:
        InvalidExpression, UnknownZone: its rule cannot be read.
    """
    first = next_time(settings.expression, settings.timezone, now)
    values: dict[str, Any] = {**setting_values(settings), "ended_at": None, "next_at": first}
    if row.next_at is not None and row.ended_at is None and _has_rule_of(row, settings):
        # Not later than from now on: the clock may have been set back since.
        values["next_at"] = row.next_at if first is None else min(row.next_at, first)
    if values["next_at"] != row.next_at or settings.jitter_ms != row.jitter_ms:
        values["due_at"] = first_due_at(
            settings.expression, settings.timezone, values["next_at"], settings.jitter_ms, draw
        )
    changed = [name for name, value in values.items() if getattr(row, name) != value]
    for name in changed:
        setattr(row, name, values[name])
    return changed


def _has_rule_of(row: Schedule, settings: Settings) -> bool:
    try:
        return is_same_rule(
            (row.expression, row.timezone), (settings.expression, settings.timezone)
        )
    except EngineError:
        return False


def _due(row: Schedule) -> DueSchedule:
    assert row.next_at is not None
    return DueSchedule(
        row.id,
        row.expression,
        row.timezone,
        row.misfire == Schedule.Misfire.ONCE,
        row.jitter_ms,
        row.is_enabled,
        row.is_paused,
        row.skip_until,
        row.next_at,
        row.next_at if row.due_at is None else row.due_at,
    )


def _known(row: Schedule) -> KnownSchedule:
    return known([getattr(row, name) for name in SCHEDULE_FIELDS])


def _not_found(schedule_id: str) -> ScheduleNotFound:
    return ScheduleNotFound(f"schedule_id: there is no schedule `{schedule_id}`")
