"""The rows of schedules that are stored past the engine."""

from __future__ import annotations

import datetime as dt
from typing import Final

from engine.models import Schedule
from engine.modules.cron.dialect.expression import parse_expression
from engine.modules.cron.dialect.occurrences import next_after
from tests.bench.stored_schedules import COLUMNS, schedule_rows

NOW_MS: Final = 1_790_000_000_000


def test_a_row_has_all_that_the_table_wants() -> None:
    wanted = {field.column for field in Schedule._meta.concrete_fields if not field.null}

    assert wanted - {"id"} <= set(COLUMNS)
    assert {len(row) for row in schedule_rows(3, NOW_MS)} == {len(COLUMNS)}


def test_a_schedule_is_due_when_its_expression_says_so() -> None:
    now = dt.datetime.fromtimestamp(NOW_MS / 1000, dt.UTC)
    for values in schedule_rows(4, NOW_MS):
        row = dict(zip(COLUMNS, values, strict=True))
        due_at = next_after(parse_expression(str(row["expression"])), now)

        assert due_at is not None
        assert row["next_at"] == row["due_at"] == due_at.timestamp() * 1000
        assert due_at - now >= dt.timedelta(hours=11, minutes=59)
