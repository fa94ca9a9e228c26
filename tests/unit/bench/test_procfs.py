"""What is read of a process from the kernel."""

from __future__ import annotations

import os

from tests.bench.procfs import Memory, memory, parse_cpu_seconds, parse_memory

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
