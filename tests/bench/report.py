"""What a run found: figures and their targets, as aligned tables and as JSON."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Final

from tests.bench.figures import Spread, ratios
from tests.bench.jobs import CallResult
from tests.bench.procfs import Memory

_PACKAGES: Final = ("picows", "uvloop", "orjson", "msgspec", "uvicorn", "django")


@dataclass(frozen=True, slots=True)
class Figure:
    """How one process did with one workload, the rounds summarised.

    Attributes:
        cpu_us: its processor time for one call; `load_cpu_us` the generator's, 0 for wrk.
        busy: share of one processor that it used.
        lost, duplicated, wrong: answers, over all rounds.
    """

    workload: str
    subject: str
    calls_per_s: Spread
    p50_us: float
    p95_us: float
    p99_us: float
    cpu_us: float
    load_cpu_us: float
    busy: float
    calls: int
    lost: int
    duplicated: int
    wrong: int
    sample: str
    rss_kib: int
    hwm_kib: int


@dataclass(frozen=True, slots=True)
class Check:
    """One target beside what was measured.

    Attributes:
        ours, reference: medians of what is compared; no reference for an absolute target.
        value: their ratio round by round, or ours if the target is absolute.
        at_least: whether the value must not be below the target; else it must not exceed it.
        unit: what the value is counted in, such as `R` or `MiB`.
    """

    workload: str
    measure: str
    ours: float
    reference: float | None
    value: Spread
    target: float
    at_least: bool
    unit: str

    @property
    def is_met(self) -> bool:
        """Whether the median over the rounds reaches the target."""
        middle = self.value.middle
        return middle >= self.target if self.at_least else middle <= self.target


@dataclass(slots=True)
class Report:
    """Collects what the scenarios find.

    Attributes:
        failures: name of each scenario that broke, and why.
    """

    figures: list[Figure] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def unanswered(self) -> int:
        """Answers that were lost, came twice or were wrong, over all figures."""
        return sum(figure.lost + figure.duplicated + figure.wrong for figure in self.figures)

    def figure(
        self, workload: str, subject: str, results: Sequence[CallResult], memory: Memory
    ) -> None:
        """Summarise the rounds of one process with one workload."""
        self.figures.append(
            Figure(
                workload=workload,
                subject=subject,
                calls_per_s=Spread.of([result.calls_per_s for result in results]),
                p50_us=_middle([result.p50_us for result in results]),
                p95_us=_middle([result.p95_us for result in results]),
                p99_us=_middle([result.p99_us for result in results]),
                cpu_us=_middle([result.cpu_us_per_call for result in results]),
                load_cpu_us=_middle([result.load_cpu_us_per_call for result in results]),
                busy=_middle([result.cpu_s / result.seconds for result in results]),
                calls=sum(result.calls for result in results),
                lost=sum(result.lost for result in results),
                duplicated=sum(result.duplicated for result in results),
                wrong=sum(result.wrong for result in results),
                sample=next((result.sample for result in results if result.sample), ""),
                rss_kib=memory.rss_kib,
                hwm_kib=memory.hwm_kib,
            )
        )

    def ratio(
        self,
        workload: str,
        measure: str,
        ours: Sequence[float],
        references: Sequence[float],
        *,
        target: float,
        at_least: bool,
        unit: str,
    ) -> None:
        """Compare figures with those of the same rounds of a reference."""
        self.checks.append(
            Check(
                workload,
                measure,
                _middle(ours),
                _middle(references),
                Spread.of(ratios(ours, references)),
                target,
                at_least,
                unit,
            )
        )

    def limit(
        self,
        workload: str,
        measure: str,
        values: Sequence[float],
        *,
        target: float,
        unit: str,
        at_least: bool = False,
    ) -> None:
        """Compare figures with a limit that they should not exceed, or at least reach."""
        spread = Spread.of(values)
        self.checks.append(
            Check(workload, measure, spread.middle, None, spread, target, at_least, unit)
        )

    def tables(self) -> str:
        """Write the tables for people."""
        parts = [
            figures_table(self.figures),
            checks_table(self.checks),
            *(f"BROKEN {name}: {reason}" for name, reason in self.failures.items()),
            *(
                f"WRONG {figure.workload} ({figure.subject}): {figure.sample}"
                for figure in self.figures
                if figure.sample
            ),
        ]
        return "\n\n".join(part for part in parts if part)

    def as_json(self, options: dict[str, object]) -> dict[str, object]:
        """Return the whole run as JSON values."""
        return {
            "machine": {
                "cpus": os.cpu_count(),
                "kernel": platform.release(),
                "python": sys.version.split()[0],
                "packages": {name: version(name) for name in _PACKAGES},
            },
            "options": options,
            "figures": [asdict(figure) for figure in self.figures],
            "checks": [asdict(check) | {"is_met": check.is_met} for check in self.checks],
            "failures": self.failures,
            "unanswered": self.unanswered,
        }


def figures_table(figures: Sequence[Figure]) -> str:
    """Write a line for each process and workload: rate, latency, processor time, memory."""
    header = ["workload", "process", "calls/s", "low", "high", "p50 µs", "p95 µs", "p99 µs"]
    header += ["CPU µs", "busy %", "load µs", "lost", "twice", "wrong", "RSS MiB", "peak MiB"]
    rows = [
        [
            figure.workload,
            figure.subject,
            number(figure.calls_per_s.middle),
            number(figure.calls_per_s.low),
            number(figure.calls_per_s.high),
            number(figure.p50_us),
            number(figure.p95_us),
            number(figure.p99_us),
            number(figure.cpu_us),
            number(figure.busy * 100),
            number(figure.load_cpu_us) if figure.load_cpu_us else "-",
            str(figure.lost),
            str(figure.duplicated),
            str(figure.wrong),
            number(figure.rss_kib / 1024),
            number(figure.hwm_kib / 1024),
        ]
        for figure in figures
    ]
    return aligned(header, rows, text_columns=2) if rows else ""


def checks_table(checks: Sequence[Check]) -> str:
    """Write a line for each target: ours, the reference, their ratio with its spread."""
    header = ["workload", "measure", "ours", "reference", "value", "low", "high"]
    header += ["target", "result"]
    rows = [
        [
            check.workload,
            check.measure,
            number(check.ours),
            "-" if check.reference is None else number(check.reference),
            number(check.value.middle),
            number(check.value.low),
            number(check.value.high),
            f"{'≥' if check.at_least else '≤'} {check.target:g} {check.unit}".rstrip(),
            "met" if check.is_met else "NOT MET",
        ]
        for check in checks
    ]
    return aligned(header, rows, text_columns=2) if rows else ""


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], *, text_columns: int) -> str:
    """Write a table; the first columns hold text and stand to the left, all others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < text_columns else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def number(value: float) -> str:
    """Write a figure with three digits that say something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _middle(values: Sequence[float]) -> float:
    return Spread.of(values).middle
