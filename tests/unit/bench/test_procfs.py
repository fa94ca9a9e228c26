"""What is read of a process from the kernel."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.bench.procfs import (
    Memory,
    descendants,
    memory,
    parse_cpu_seconds,
    parse_memory,
    tree_cpu_seconds,
)

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def test_processor_time_is_user_and_system_time_of_all_threads() -> None:
    stat = f"12 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 {3 * _TICKS_PER_S} {_TICKS_PER_S} 0 0 20 0 1 0"

    assert parse_cpu_seconds(stat) == 4.0


def test_memory_is_read_with_its_peak() -> None:
    status = "Name:\tpython\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\nThreads:\t1\n"

    assert parse_memory(status) == Memory(rss_kib=1024, hwm_kib=2048)


def test_this_process_has_memory() -> None:
    own = memory(os.getpid())

    assert 0 < own.rss_kib <= own.hwm_kib


def test_children_of_a_process_are_found() -> None:
    command = "import subprocess; subprocess.run(['cat'])"
    child = subprocess.Popen([sys.executable, "-c", command], stdin=subprocess.PIPE)
    with child:
        found = descendants(os.getpid())
        assert found[0] == os.getpid()
        assert child.pid in found


def test_no_process_takes_no_time() -> None:
    assert tree_cpu_seconds(0) == 0.0
    assert tree_cpu_seconds(os.getpid()) > 0
