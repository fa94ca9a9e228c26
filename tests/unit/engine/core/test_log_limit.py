from __future__ import annotations

import logging

import pytest

from engine.core import log_limit
from engine.core.log_limit import LogLimit


def test_warnings_within_the_interval_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    limit = LogLimit(logging.getLogger("limited"), interval_s=60.0)

    for number in range(3):
        limit.warning(f"problem {number}")

    assert [each.getMessage() for each in caplog.records] == ["problem 0"]


def test_the_next_warning_names_the_number_of_those_held_back(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 59.9, 60.0])
    monkeypatch.setattr(log_limit, "monotonic", lambda: next(clock))
    limit = LogLimit(logging.getLogger("limited"), interval_s=60.0)

    limit.warning("first")
    limit.warning("second")
    limit.warning("third")

    assert caplog.records[-1].getMessage() == "third (and 1 more)"
