"""The program behind `make bench`: `python -m tests.bench`."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.bench import Bench
from tests.bench.processes import BenchFailed, Processes
from tests.bench.procfs import raise_open_files_limit
from tests.bench.scenarios import SCENARIOS, Scenario
from tests.bench.wrk import require_wrk

_SERVERS = ("picows", "uvicorn", "daphne")
# Short rounds, and many of them: shared machines change their speed within seconds.
_SECONDS, _ROUNDS = 1.0, 7
_QUICK_SECONDS, _QUICK_ROUNDS = 0.7, 1
_TICKS_S, _QUICK_TICKS_S = 60, 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run scenarios and print their figures.

    Targets that are not met are reported; they do not change the exit code.

    Returns:
        0, or 1 if a scenario broke or an answer was lost, came twice or was wrong.
    """
    options = _parser().parse_args(arguments)
    if options.list:
        print("\n".join(f"{scenario.name:24}{scenario.title}" for scenario in SCENARIOS))
        return 0
    chosen = [one for one in SCENARIOS if not options.scenario or one.name in options.scenario]
    try:
        if any(scenario.name.startswith("http") for scenario in chosen):
            require_wrk()
    except BenchFailed as error:
        print(error, file=sys.stderr)
        return 1
    # As on Ctrl-C: the blocks that run processes are left, and stop them.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    raise_open_files_limit()
    bench = Bench(
        processes=Processes(server=options.server, is_pinned=options.pin),
        seconds=options.seconds or (_QUICK_SECONDS if options.quick else _SECONDS),
        rounds=options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS),
        is_quick=options.quick,
        ticks_s=options.ticks or (_QUICK_TICKS_S if options.quick else _TICKS_S),
    )
    for scenario in chosen:
        _run(bench, scenario)
    report = bench.report
    print(report.tables())
    print(f"\nanswers lost, doubled or wrong: {report.unanswered}")
    if options.json is not None:
        text = json.dumps(report.as_json(_settings(bench)), indent=2, ensure_ascii=False)
        options.json.write_text(text + "\n", encoding="utf-8")
    return 1 if report.failures or report.unanswered else 0


def _run(bench: Bench, scenario: Scenario) -> None:
    """Run one scenario; if it breaks, the others still run."""
    bench.say(f"{scenario.name}: {scenario.title}")
    try:
        scenario.run(bench)
    except (BenchFailed, OSError, subprocess.TimeoutExpired) as error:
        bench.report.failures[scenario.name] = str(error)
        bench.say(f"  broken: {error}")


def _settings(bench: Bench) -> dict[str, object]:
    return {
        "server": bench.processes.server,
        "is_pinned": bench.processes.is_pinned,
        "seconds": bench.seconds,
        "rounds": bench.rounds,
        "is_quick": bench.is_quick,
        "ticks_s": bench.ticks_s,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure one engine process beside a bare router of the same run.",
    )
    parser.add_argument(
        "--scenario",
        action="append",
        choices=[scenario.name for scenario in SCENARIOS],
        metavar="NAME",
        help="run this one only; may be repeated",
    )
    parser.add_argument("--list", action="store_true", help="list the scenarios and stop")
    parser.add_argument("--seconds", type=float, help=f"length of a measurement ({_SECONDS:g})")
    parser.add_argument("--rounds", type=int, help=f"measurements of each kind ({_ROUNDS})")
    parser.add_argument(
        "--ticks", type=int, help=f"seconds of schedules that are due every second ({_TICKS_S})"
    )
    parser.add_argument("--quick", action="store_true", help="one short round, fewer calls")
    parser.add_argument("--server", choices=_SERVERS, help="server of the engine's ports")
    parser.add_argument("--pin", action="store_true", help="engine on CPU 0, load on CPU 1")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
