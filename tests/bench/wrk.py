"""HTTP load by Debian's `wrk`, with the figures of the load generator."""

from __future__ import annotations

import http.client
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.generator import HTTP_ANSWER
from tests.bench.jobs import CallResult
from tests.bench.processes import BenchFailed, Processes, Subject
from tests.bench.procfs import cpu_seconds

_READY_LIMIT_S = 60.0
_POLL_S = 0.05

# The requests are written once; each of the paths is asked in turn.
_SCRIPT: Final = """
local requests, turn = {}, 0
function init(paths)
  for i, path in ipairs(paths) do requests[i] = wrk.format("GET", path) end
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"requests":%d,"duration_us":%d,"p50_us":%f,"p95_us":%f,"p99_us":%f,'
    .. '"refused":%d,"broken":%d,"timeouts":%d,"bad_status":%d}\\n',
    summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(95), latency:percentile(99),
    e.connect, e.read + e.write, e.timeout, e.status))
end
"""


class _Summary(msgspec.Struct, frozen=True):
    requests: int
    duration_us: int
    p50_us: float
    p95_us: float
    p99_us: float
    refused: int
    broken: int
    timeouts: int
    bad_status: int


def require_wrk() -> None:
    """Check that `wrk` is installed.

    Raises:
        BenchFailed: it is not; the message says what to do.
    """
    if shutil.which("wrk") is None:
        raise BenchFailed("wrk is not installed: apt-get install wrk, or leave out http scenarios")


def run_wrk(
    processes: Processes, subject: Subject, paths: Sequence[str], connections: int, seconds: float
) -> CallResult:
    """Ask paths in turn over so many connections, and summarise as the generator does.

    Connection errors and timeouts count as lost, answers outside of 200 to 399 as wrong.
    """
    with tempfile.TemporaryDirectory(prefix="iii-bench-") as directory:
        script = Path(directory) / "requests.lua"
        script.write_text(_SCRIPT, encoding="utf-8")
        url = f"http://127.0.0.1:{subject.http_port}/"
        command = ["wrk", "--threads", "1", "--connections", str(connections)]
        command += ["--duration", f"{max(1, round(seconds))}s", "--script", str(script), url, "--"]
        cpu_s = -cpu_seconds(subject.pid)
        output = processes.run_program([*command, *paths], limit_s=seconds + _READY_LIMIT_S)
        cpu_s += cpu_seconds(subject.pid)
    return summarise(output, cpu_s)


def summarise(output: str, cpu_s: float) -> CallResult:
    """Read the last line of wrk's output, which its script wrote."""
    summary = msgspec.json.decode(output.strip().rpartition("\n")[2], type=_Summary)
    return CallResult(
        calls=summary.requests,
        seconds=summary.duration_us / 1e6,
        p50_us=summary.p50_us,
        p95_us=summary.p95_us,
        p99_us=summary.p99_us,
        cpu_s=cpu_s,
        load_cpu_s=0.0,
        lost=summary.refused + summary.broken + summary.timeouts,
        duplicated=0,
        wrong=summary.bad_status,
        sample="an HTTP status outside of 200 to 399" if summary.bad_status else "",
    )


def await_route(port: int, path: str) -> None:
    """Ask a path until the worker behind it answers.

    Raises:
        BenchFailed: no answer in time; the message holds the last one.
    """
    expected = json.loads(HTTP_ANSWER)["body"]
    deadline = time.monotonic() + _READY_LIMIT_S
    answer = ""
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            answer = f"{response.status} {response.read().decode(errors='replace')}"
        except OSError as error:
            answer = str(error)
        finally:
            connection.close()
        if answer.startswith("200 ") and json.loads(answer[4:]) == expected:
            return
        time.sleep(_POLL_S)
    raise BenchFailed(f"GET {path} is not served by the worker: {answer}")
