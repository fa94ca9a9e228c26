"""What is read from the output of wrk."""

from __future__ import annotations

from tests.bench.jobs import CallResult
from tests.bench.wrk import summarise


def test_the_last_line_of_the_output_is_summarised() -> None:
    output = (
        "Running 2s test @ http://127.0.0.1:3111/\n  20 requests in 2.00s\n"
        '{"requests":20,"duration_us":2000000,"p50_us":1.0,"p95_us":2.0,"p99_us":3.0,'
        '"refused":1,"broken":2,"timeouts":3,"bad_status":4}\n'
    )

    assert summarise(output, cpu_s=0.1) == CallResult(
        calls=20,
        seconds=2.0,
        p50_us=1.0,
        p95_us=2.0,
        p99_us=3.0,
        cpu_s=0.1,
        load_cpu_s=0.0,
        lost=6,
        duplicated=0,
        wrong=4,
        sample="an HTTP status outside of 200 to 399",
    )
