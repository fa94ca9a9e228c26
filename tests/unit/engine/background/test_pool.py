from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from engine.background.pool import DaemonPool

LIMIT_S = 10.0


@pytest.fixture
def pool() -> Iterator[DaemonPool]:
    pool = DaemonPool(2)
    pool.start()
    yield pool
    pool.stop()


def test_a_task_runs_and_its_result_is_told(pool: DaemonPool) -> None:
    told: list[Any] = []
    is_told = threading.Event()

    def tell(result: int) -> None:
        told.append(result)
        is_told.set()

    pool.apply_async(pow, (2, 5), callback=tell, accept_callback=lambda *_: told.append("accepted"))

    assert is_told.wait(LIMIT_S)
    assert told == ["accepted", 32]


def test_no_more_tasks_run_than_there_are_threads(pool: DaemonPool) -> None:
    running = threading.Semaphore(0)
    go_on = threading.Event()

    def wait() -> None:
        running.release()
        go_on.wait(LIMIT_S)

    for _ in range(3):
        pool.apply_async(wait, callback=lambda result: None)

    assert running.acquire(timeout=LIMIT_S)
    assert running.acquire(timeout=LIMIT_S)
    assert not running.acquire(timeout=0.05)
    go_on.set()
    assert running.acquire(timeout=LIMIT_S)


def test_a_task_that_raises_past_celery_does_not_end_its_thread(
    pool: DaemonPool, caplog: pytest.LogCaptureFixture
) -> None:
    done = threading.Event()

    def fail() -> None:
        raise RuntimeError("asked for")

    for _ in range(4):
        pool.apply_async(fail, callback=lambda result: None)
    pool.apply_async(done.set, callback=lambda result: None)

    assert done.wait(LIMIT_S)
    assert "Celery failed around a task" in caplog.text


def test_its_threads_do_not_keep_the_process_from_ending(pool: DaemonPool) -> None:
    kinds: list[bool] = []
    done = threading.Event()

    def look() -> None:
        kinds.append(threading.current_thread().daemon)
        done.set()

    pool.apply_async(look, callback=lambda result: None)

    assert done.wait(LIMIT_S)
    assert kinds == [True]
