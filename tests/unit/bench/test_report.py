"""The report of the benchmark: targets, tables and JSON."""

from __future__ import annotations

import json

import msgspec
import pytest

from tests.bench.jobs import CallResult
from tests.bench.procfs import Memory
from tests.bench.report import Report, aligned, number

_MEMORY = Memory(rss_kib=51_200, hwm_kib=61_440)
_RESULT = CallResult(
    calls=1000,
    seconds=0.5,
    p50_us=900.0,
    p95_us=1500.0,
    p99_us=2000.0,
    cpu_s=0.02,
    load_cpu_s=0.01,
    lost=0,
    duplicated=0,
    wrong=0,
    sample="",
)


def test_columns_are_aligned_text_to_the_left_and_figures_to_the_right() -> None:
    table = aligned(["name", "calls/s"], [["a", "1"], ["longer", "12,345,678"]], text_columns=1)

    assert table.split("\n") == [
        "name       calls/s",
        "------  ----------",
        "a                1",
        "longer  12,345,678",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.000"), (0.8512, "0.851"), (12.34, "12.3"), (123.4, "123"), (25_500, "25,500")],
)
def test_a_figure_shows_three_digits(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("ours", "at_least", "is_met"),
    [(85, True, True), (84, True, False), (85, False, True), (86, False, False)],
)
def test_a_ratio_is_met_at_its_target(ours: float, at_least: bool, is_met: bool) -> None:
    report = Report()

    report.ratio("call", "rate", [ours], [100], target=0.85, at_least=at_least, unit="R")

    assert report.checks[0].is_met is is_met


def test_a_ratio_is_the_median_of_the_ratios_of_the_rounds() -> None:
    report = Report()

    report.ratio("call", "rate", [10, 40, 90], [20, 50, 100], target=0.8, at_least=True, unit="R")

    check = report.checks[0]
    assert (check.value.low, check.value.middle, check.value.high) == (0.5, 0.8, 0.9)
    assert (check.ours, check.reference) == (40, 50)


def test_a_limit_has_no_reference() -> None:
    report = Report()

    report.limit("idle", "RSS", [140.0], target=130, unit="MiB")

    assert report.checks[0].reference is None
    assert not report.checks[0].is_met
    assert report.tables().split("\n")[-1].endswith("≤ 130 MiB  NOT MET")


def test_the_rounds_of_a_figure_are_summarised() -> None:
    report = Report()
    slow = msgspec.structs.replace(_RESULT, seconds=1.0, p50_us=1900.0)
    slowest = msgspec.structs.replace(_RESULT, seconds=2.0)

    report.figure("call", "engine", [_RESULT, slowest, slow], _MEMORY)

    figure = report.figures[0]
    assert (figure.calls_per_s.low, figure.calls_per_s.middle) == (500, 1000)
    assert (figure.p50_us, figure.cpu_us, figure.calls) == (900.0, 20.0, 3000)


def test_lost_doubled_and_wrong_answers_are_added_up_and_shown() -> None:
    report = Report()
    bad = msgspec.structs.replace(
        _RESULT, lost=1, duplicated=2, wrong=3, sample='{"error":"function_not_found"}'
    )

    report.figure("call", "engine", [_RESULT, bad], _MEMORY)

    assert report.unanswered == 6
    assert 'WRONG call (engine): {"error":"function_not_found"}' in report.tables()


def test_a_scenario_that_broke_is_named() -> None:
    report = Report(failures={"http": "wrk is not installed"})

    assert report.tables() == "BROKEN http: wrk is not installed"


def test_the_report_is_written_as_json() -> None:
    report = Report()
    report.figure("call", "engine", [_RESULT], _MEMORY)
    report.limit("idle", "RSS", [45.0], target=130, unit="MiB")

    written = json.loads(json.dumps(report.as_json({"rounds": 1})))

    assert written["options"] == {"rounds": 1}
    assert written["figures"][0]["calls_per_s"] == {"middle": 2000, "low": 2000, "high": 2000}
    assert written["checks"][0]["is_met"] is True
    assert written["unanswered"] == 0
