"""What handlers get, to the letter."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from engine.modules.cron.payload import payload_head, run_payload
from engine.modules.cron.times import at, local_text, unix_ms, utc_text

TEN = int(datetime(2026, 2, 18, 10, 0, 30, tzinfo=UTC).timestamp())


def test_a_run_gets_its_job_and_both_times() -> None:
    payload = run_payload(payload_head("t-1"), TEN * 1_000, TEN * 1_000_000_000 + 412_345)
    assert payload == (
        b'{"trigger":"cron","job_id":"t-1","scheduled_time":"2026-02-18T10:00:30+00:00",'
        b'"actual_time":"2026-02-18T10:00:30.000412345+00:00"}'
    )


def test_a_manual_run_says_so() -> None:
    payload = run_payload(payload_head("t"), TEN * 1_000 + 7, TEN * 1_000_000_000, is_manual=True)
    assert json.loads(payload) == {
        "trigger": "cron",
        "job_id": "t",
        "scheduled_time": "2026-02-18T10:00:30.007+00:00",
        "actual_time": "2026-02-18T10:00:30.000000000+00:00",
        "manual": True,
    }


def test_any_id_is_json() -> None:
    payload = run_payload(payload_head('a"\\\n√'), 0, 0)
    assert json.loads(payload)["job_id"] == 'a"\\\n√'


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("Europe/Berlin", "2026-02-18T11:00:30+01:00"),
        ("America/New_York", "2026-02-18T05:00:30-05:00"),
        ("UTC", "2026-02-18T10:00:30+00:00"),
    ],
)
def test_a_zone_shows_a_time_by_its_clocks(zone: str, text: str) -> None:
    assert local_text(TEN * 1_000, ZoneInfo(zone)) == text


@pytest.mark.parametrize("instant", [0, 1, TEN * 1_000 + 999, 4_133_980_799_999])
def test_times_come_back_as_they_were(instant: int) -> None:
    assert unix_ms(at(instant)) == instant
    assert unix_ms(datetime.fromisoformat(utc_text(instant))) == instant
