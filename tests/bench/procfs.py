"""What the kernel knows about a process: its processor time and its memory."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of a process in KiB: now, and at its highest."""

    rss_kib: int
    hwm_kib: int


def cpu_seconds(pid: int) -> float:
    """Return user and system time of all threads of a process, in steps of 10 ms."""
    return parse_cpu_seconds(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8"))


def tree_cpu_seconds(pid: int) -> float:
    """Return user and system time of a process and all its living descendants; 0.0 for pid 0."""
    return sum(map(cpu_seconds, descendants(pid))) if pid else 0.0


def descendants(pid: int) -> list[int]:
    """Return a process with its children, their children and so on."""
    found = [pid]
    for parent in found:
        for children in Path("/proc").glob(f"{parent}/task/*/children"):
            # A thread may end between the two looks.
            with suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, children.read_text(encoding="ascii").split())
    return found


def parse_cpu_seconds(stat: str) -> float:
    """Add utime and stime of a `/proc/<pid>/stat` line.

    The name of the program stands in parentheses and may hold blanks and parentheses itself.
    """
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def memory(pid: int) -> Memory:
    """Return VmRSS and VmHWM of a process."""
    return parse_memory(Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))


def parse_memory(status: str) -> Memory:
    """Read VmRSS and VmHWM from the text of a `/proc/<pid>/status`."""
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return Memory(
        rss_kib=int(fields["VmRSS"].split()[0]),
        hwm_kib=int(fields["VmHWM"].split()[0]),
    )


def raise_open_files_limit() -> None:
    """Raise the soft limit of open files to the hard one: a fleet needs a socket per worker."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
