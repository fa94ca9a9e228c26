"""The functions about schedules: what is due when, what became of it, run, pause, skip."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from engine.core.errors import EngineError
from engine.core.functions import Call
from engine.core.modules import nearest
from engine.core.outgoing import random_uuid
from engine.core.payloads import read_payload
from engine.core.protocol import NULL, encode
from engine.modules.cron.answers import next_answer, schedule_answer, tick_answer
from engine.modules.cron.arguments import (
    MAX_COUNT,
    ORIGINS,
    SCHEDULE_STATES,
    TICK_STATES,
    ListArguments,
    NextArguments,
    RunNowArguments,
    SaveArguments,
    ScheduleArguments,
    SkipArguments,
    TicksArguments,
    check_choice,
    check_page,
    tick_state,
)
from engine.modules.cron.errors import CronError, ScheduleNotFound
from engine.modules.cron.manual import ManualRuns
from engine.modules.cron.records import KnownSchedule, ListedSchedule, TickState
from engine.modules.cron.settings import MAX_PAYLOAD_BYTES, read_members, read_settings
from kv.clock import now_ms

if TYPE_CHECKING:
    from engine.modules.cron.store.store import CronStore

T = TypeVar("T")

LOOKED_THROUGH: Final = 200
"""Among how many ids the nearest one to a wrong one is looked for."""


class CronAdministration:
    """Answers questions about schedules, and changes them for people.

    Args:
        store: what is asked.
        manual: begins runs by hand.
        on_known: told of a schedule that was changed.
        on_change: told that something may be due sooner.
    """

    def __init__(
        self,
        store: CronStore,
        manual: ManualRuns,
        on_known: Callable[[KnownSchedule], None],
        on_change: Callable[[], None],
    ) -> None:
        self._store = store
        self._manual = manual
        self._on_known = on_known
        self._on_change = on_change

    # --- questions --------------------------------------------------------------------------------

    async def list(self, call: Call) -> bytes:
        """Answer `{schedules: […], total}`, see `schedule_answer`.

        Raises:
            CronError: a filter or the page cannot be used.
        """
        arguments = read_payload(call, ListArguments)
        check_page(arguments.limit, arguments.offset)
        page = await self._store.list(
            search=arguments.search or "",
            origin=check_choice("origin", arguments.origin, ORIGINS),
            state=check_choice("state", arguments.state, SCHEDULE_STATES),
            function_id=arguments.function_id or "",
            limit=arguments.limit,
            offset=arguments.offset,
        )
        now = now_ms()
        schedules = [schedule_answer(each, now) for each in page.schedules]
        return encode({"schedules": schedules, "total": page.total})

    async def next(self, call: Call) -> bytes:
        """Answer `{description, timezone, runs: [{utc, local}]}`.

        Raises:
            CronError: expression, zone, count or time cannot be used, or nothing is named.
            ScheduleNotFound: there is no schedule of this id.
        """
        arguments = read_payload(call, NextArguments)
        if not 0 < arguments.count <= MAX_COUNT:
            raise CronError(f"`count` must be from 1 to {MAX_COUNT}")
        after_ms = arguments.after_ms(now_ms())
        expression, timezone = arguments.expression, arguments.timezone or "UTC"
        if expression is None:
            if not arguments.schedule_id:
                raise CronError("`schedule_id` or `expression` is missing; name one of them")
            settings = (await self._listed(arguments.schedule_id)).known.settings
            expression, timezone = settings.expression, settings.timezone
        try:
            return encode(next_answer(expression, timezone, after_ms, arguments.count))
        except EngineError as error:
            raise CronError(str(error)) from error

    async def ticks(self, call: Call) -> bytes:
        """Answer `{ticks: […]}`, newest first, see `tick_answer`.

        Raises:
            CronError: a filter or the page cannot be used.
            ScheduleNotFound: there is no schedule of this id.
        """
        arguments = read_payload(call, TicksArguments)
        check_page(arguments.limit)
        ticks = await self._store.ticks(
            schedule_id=arguments.schedule_id or "",
            state=tick_state(arguments.state),
            limit=arguments.limit,
            before_id=arguments.before_id,
        )
        if arguments.schedule_id and not ticks:
            await self._listed(arguments.schedule_id)
        now = now_ms()
        return encode({"ticks": [tick_answer(each, now) for each in ticks]})

    # --- changes ----------------------------------------------------------------------------------

    async def run_now(self, call: Call) -> bytes:
        """Run a schedule; answer `{tick_id, state, reason, error}`, at its end with `wait`.

        Raises:
            CronError: the payload is too large, or no schedule is named.
            ScheduleNotFound: there is no schedule of this id.
        """
        arguments = read_payload(call, RunNowArguments)
        payload = _payload(arguments.payload)
        schedule_id = _named(arguments)
        tick = await self._found(schedule_id, self._manual.add(schedule_id, payload))
        state, reason, error = TickState.DUE, "", ""
        if arguments.wait:
            end = await self._manual.end_of(tick)
            if end is not None:
                state, reason, error = end.state, end.reason, end.error
        return encode(
            {
                "tick_id": tick,
                "state": TICK_STATES[state],
                "reason": reason or None,
                "error": error or None,
            }
        )

    async def pause(self, call: Call) -> bytes:
        """Skip its runs until it is resumed; answer the schedule."""
        return await self._set_paused(call, True)

    async def resume(self, call: Call) -> bytes:
        """Run it again; answer the schedule."""
        return await self._set_paused(call, False)

    async def skip_next(self, call: Call) -> bytes:
        """Skip its next run, or with `skip: false` do not; answer the schedule."""
        arguments = read_payload(call, SkipArguments)
        schedule_id = _named(arguments)
        changed = self._store.skip_next(schedule_id, is_skipped=arguments.skip)
        return await self._changed(await self._found(schedule_id, changed))

    async def save(self, call: Call) -> bytes:
        """Make or change a person's schedule; answer it.

        Raises:
            CronError: one of its settings cannot be used.
            ScheduleExists: it is new, and its id is taken.
            ScheduleNotFound: it is not, and no person has made one of this id.
        """
        members = read_members(call.data)
        arguments = read_payload(call, SaveArguments)
        if not arguments.function_id:
            raise CronError("`function_id` is missing or empty; name the function to call")
        if not members.get("schedule_id"):
            if not arguments.is_new:
                raise CronError("`schedule_id` is missing or empty; name the schedule")
            members["schedule_id"] = random_uuid()
        settings = read_settings(
            members,
            function_id=arguments.function_id,
            namespace=arguments.namespace or None,
            payload=_payload(arguments.payload),
        )
        saved = self._store.save(settings, is_new=arguments.is_new)
        return await self._changed(await self._found(settings.schedule_id, saved))

    async def remove(self, call: Call) -> bytes:
        """Delete a schedule with its ticks; answer `{removed: true}`.

        Raises:
            CronError: a worker has it.
            ScheduleNotFound: there is no schedule of this id.
        """
        schedule_id = _named(read_payload(call, ScheduleArguments))
        if not await self._store.remove(schedule_id):
            raise await self._not_found(schedule_id)
        self._on_change()
        return encode({"removed": True})

    async def plan(self, call: Call) -> bytes:
        """Let the clock write the ticks that are due; answer `{ticks, next_due_at, urls}`."""
        return encode(await self._store.plan())

    # --- which schedule ---------------------------------------------------------------------------

    async def _set_paused(self, call: Call, is_paused: bool) -> bytes:
        schedule_id = _named(read_payload(call, ScheduleArguments))
        changed = self._store.set_paused(schedule_id, is_paused)
        return await self._changed(await self._found(schedule_id, changed))

    async def _changed(self, known: KnownSchedule) -> bytes:
        """Tell of a change; answer the schedule as it is now."""
        self._on_known(known)
        self._on_change()
        listed = await self._listed(known.settings.schedule_id)
        return encode(schedule_answer(listed, now_ms()))

    async def _listed(self, schedule_id: str) -> ListedSchedule:
        listed = await self._store.find(schedule_id)
        if listed is None:
            raise await self._not_found(schedule_id)
        return listed

    async def _found(self, schedule_id: str, asked: Awaitable[T]) -> T:
        """Return what the store answers; if there is no such schedule, say which was meant."""
        try:
            return await asked
        except ScheduleNotFound:
            raise await self._not_found(schedule_id) from None

    async def _not_found(self, schedule_id: str) -> ScheduleNotFound:
        page = await self._store.list(search=schedule_id[:3], limit=LOOKED_THROUGH)
        near = nearest(schedule_id, (each.known.settings.schedule_id for each in page.schedules))
        hint = f"; did you mean `{near}`?" if near and near != schedule_id else ""
        return ScheduleNotFound(f"`schedule_id`: there is no schedule `{schedule_id}`{hint}")


def _named(arguments: ScheduleArguments) -> str:
    if not arguments.schedule_id:
        raise CronError("`schedule_id` is missing or empty; name the schedule")
    return arguments.schedule_id


def _payload(given: msgspec.Raw) -> bytes:
    """Return a payload as it is stored: empty for none and for `null`."""
    payload = bytes(given)
    if payload.strip() == NULL:
        return b""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise CronError(f"`payload` has {len(payload)} bytes, at most {MAX_PAYLOAD_BYTES} are kept")
    return payload
