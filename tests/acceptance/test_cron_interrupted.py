"""An engine dies while functions run: what was under way is interrupted, or called once more."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance.cron_schedule import Schedule, unix_ms
from tests.acceptance.deployment import Deployment, embedded, with_services
from tests.acceptance.raw_worker import RawWorker
from tests.waiting import wait_until

AHEAD: Final = dt.timedelta(seconds=3)
LIMIT_S: Final = 30


@pytest.fixture(params=[embedded, with_services], ids=["sqlite", "services"])
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    """One of each kind."""
    deploy: Callable[[Path], Any] = request.param
    with deploy(tmp_path) as deployment:
        yield deployment


def test_what_ran_when_the_engine_died_is_interrupted_unless_it_is_to_be_repeated(
    deployment: Deployment,
) -> None:
    url = deployment.engine.worker_url
    at = (dt.datetime.now(dt.UTC) + AHEAD).replace(microsecond=0)
    ids = {"plain": "clock::plain", "repeated": "clock::repeated"}
    calls: list[tuple[str, int]] = []

    def bind(worker: RawWorker) -> None:
        for name, schedule_id in ids.items():
            config: dict[str, Any] = {"schedule_id": schedule_id}
            config |= {"expression": f"{at:%S %M %H %d %m * %Y}"}
            config |= {"repeat_interrupted": name == "repeated"}
            worker.bind("cron", schedule_id, config)

    def take(name: str, data: dict[str, Any]) -> None:
        calls.append((name, unix_ms(data["scheduled_time"])))

    with RawWorker(url) as worker:
        for schedule_id in ids.values():  # what is called never answers
            worker.send({"type": "registerfunction", "id": schedule_id})
        bind(worker)
        wait_until(lambda: len(worker.frames_of("invokefunction")) == 2, "both run", LIMIT_S)
        deployment.engine.kill()
    deployment.engine.start()

    with RawWorker(url) as worker:
        for name, schedule_id in ids.items():
            worker.serve(schedule_id, partial(take, name))
        bind(worker)
        repeated = Schedule(worker, ids["repeated"])
        plain = Schedule(worker, ids["plain"])
        wait_until(lambda: repeated.states() == [("done", "")], "one is repeated", LIMIT_S)
        wait_until(lambda: plain.states() == [("interrupted", "")], "one is not", LIMIT_S)
        (tick,) = plain.ticks()

    assert "has ended" in tick.error
    assert calls == [("repeated", int(at.timestamp() * 1000))]
