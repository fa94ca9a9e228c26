"""What one engine has claimed: due ticks become its own, with a commit, before they are begun."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Final

from engine.modules.cron.records import LEAD_MS, ClaimedTick, Claims
from engine.modules.cron.store.tick_statements import Candidate, TickStatements
from kv.clock import now_ms
from kv.stores.connection import StoreConnection

CLAIMED_AT_ONCE: Final = 1_000
"""How many ticks one transaction claims at most."""

LOOKED_AT_ONCE: Final = 20_000
"""How many due ticks one transaction looks at, in case that most of people's cannot run here."""


class UnderWay:
    """The ticks that this engine has claimed and not ended; on the event loop.

    Where a commit is on its way when the database goes away, nobody knows whether it happened. If
    it did, ticks are claimed that nobody has: the next claim is told which are known.
    """

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._claims = 0
        self._is_in_doubt = False

    def begin(self) -> Collection[int] | None:
        """Note that a claim is on its way.

        Returns:
            The ticks that are known to be claimed, if there is doubt about others.
        """
        self._claims += 1
        is_alone = self._claims == 1
        return frozenset(self._known) if self._is_in_doubt and is_alone else None

    def end(self, ticks: Iterable[ClaimedTick], *, is_certain: bool) -> None:
        """Note what a claim has brought; `is_certain` if it was told what is known."""
        self._claims -= 1
        self._known.update(tick.id for tick in ticks)
        if is_certain:
            self._is_in_doubt = False

    def fail(self) -> None:
        """Note that a claim has failed, or seems to have."""
        self._claims -= 1
        self._is_in_doubt = True

    def remove(self, ticks: Iterable[int]) -> None:
        """Note that ticks have ended, or were given back."""
        self._known.difference_update(ticks)


def claim(
    connection: StoreConnection,
    statements: TickStatements,
    can_run: Callable[[str, str], bool],
) -> Claims:
    """Claim due ticks; runs in the database thread."""
    now = now_ms()
    statements.decide_alone(connection)
    statements.read_by_index(connection)
    chosen: list[ClaimedTick] = []
    after, looked_at, is_last = (-1, -1), 0, False
    while len(chosen) <= CLAIMED_AT_ONCE and looked_at < LOOKED_AT_ONCE and not is_last:
        found = statements.candidates(
            connection, after, now + LEAD_MS, now, CLAIMED_AT_ONCE + 1, is_claiming=True
        )
        chosen += [each.tick for each in found if may_run(each, can_run)]
        looked_at += len(found)
        is_last = len(found) <= CLAIMED_AT_ONCE
        if not is_last:
            after = found[-1].tick.run_at, found[-1].tick.id
    has_more = len(chosen) > CLAIMED_AT_ONCE
    chosen = chosen[:CLAIMED_AT_ONCE]
    if not chosen:
        return Claims((), False)
    claimed = statements.claim(connection, [tick.id for tick in chosen])
    return Claims([tick for tick in chosen if tick.id in claimed], has_more)


def has_claimable(
    connection: StoreConnection,
    statements: TickStatements,
    can_run: Callable[[str, str], bool],
) -> bool:
    """Tell whether ticks whose time has come are this engine's affair; claims nothing."""
    now = now_ms()
    found = statements.candidates(connection, (-1, -1), now, now, LOOKED_AT_ONCE, is_claiming=False)
    return any(may_run(each, can_run) for each in found)


def may_run(candidate: Candidate, can_run: Callable[[str, str], bool]) -> bool:
    """Tell whether a due tick is this engine's affair.

    Where overlapping runs are skipped, it is that of whoever has the run under way: so it is
    skipped there, though its worker may be elsewhere by now.
    """
    settings = candidate.tick.schedule.settings
    if settings.overlap == "skip":
        if candidate.runs_here:
            return True
        if candidate.runs_elsewhere:
            return False
    if candidate.tick.schedule.is_persons:
        return can_run(settings.function_id, settings.namespace)
    return candidate.is_owned
