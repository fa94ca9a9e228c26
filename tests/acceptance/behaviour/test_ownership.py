"""Several live owners of one function, route or trigger, on every server."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.behaviour.conftest import Site
from tests.acceptance.raw_worker import CallFailed, RawWorker
from tests.waiting import wait_until

Connect = Callable[[], RawWorker]


class Caller:
    """Calls one function and its route without pause, and keeps what happened."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.results: list[Any] = []
        self.failures: list[str] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._worker = RawWorker(site.engine.worker_url)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_over.is_set():
            try:
                self.results.append(self._worker.call(self.site.id("f"), None))
            except CallFailed as error:
                self.failures.append(error.code)
            answer = self.site.client.get(self.site.url("f"))
            if answer.status_code == 200:
                self.results.append(answer.json())
            else:
                self.failures.append(f"HTTP {answer.status_code}")

    def wait_for(self, result: Any) -> None:
        """Return once the newest results are these."""
        seen = len(self.results)
        wait_until(
            lambda: len(self.results) > seen + 20 and self.results[-20:] == [result] * 20,
            f"{result!r} serves",
        )

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join(30)
        self._worker.close()


def serve(site: Site, worker: RawWorker, name: str) -> str:
    """Serve function and route of a test; the answer names the worker."""

    def handler(request: Any) -> Any:
        return {"status_code": 200, "body": name} if request else name

    return site.route("f", handler, worker=worker)


def test_a_newer_owner_that_leaves_gracefully_costs_not_one_call(
    site: Site, connect: Connect
) -> None:
    serve(site, connect(), "older")
    caller = Caller(site)
    caller.wait_for("older")

    newer = connect()
    trigger_id = serve(site, newer, "newer")
    caller.wait_for("newer")
    newer.unbind(trigger_id)
    newer.send({"type": "unregisterfunction", "id": site.id("f")})
    caller.wait_for("older")
    newer.close()
    caller.wait_for("older")
    caller.stop()

    assert caller.failures == []


def test_a_newer_owner_that_is_killed_costs_only_the_calls_already_sent_to_it(
    site: Site, connect: Connect
) -> None:
    serve(site, connect(), "older")
    newer = connect()
    newer.send({"type": "registerfunction", "id": site.id("f")})
    site.settle(newer)
    caller = connect()

    sent = [caller.start_call(site.id("f")) for _ in range(5)]
    wait_until(lambda: len(newer.frames_of("invokefunction")) == 5, "all are sent")
    newer.kill()

    for each in sent:
        with pytest.raises(CallFailed, match="invocation_stopped"):
            each.result(10)
    assert caller.call(site.id("f")) == "older"


def test_a_worker_that_reconnects_before_its_old_socket_ends_loses_nothing(
    site: Site, connect: Connect
) -> None:
    stale = connect()
    serve(site, stale, "stale")
    fresh = connect()
    serve(site, fresh, "fresh")
    caller = Caller(site)
    caller.wait_for("fresh")

    stale.kill()
    wait_until(lambda: _owner_count(site) == 1, "the old connection is forgotten")
    caller.wait_for("fresh")
    caller.stop()

    assert caller.failures == []


def _owner_count(site: Site) -> int:
    count: int = site.worker.call("engine::functions::info", {"function_id": site.id("f")})[
        "owner_count"
    ]
    return count


def _answer(value: int, _: Any) -> int:
    return value


def test_two_workers_of_one_name_both_stay(site: Site, connect: Connect) -> None:
    workers = [connect(), connect()]
    for number, worker in enumerate(workers):
        worker.serve(site.id(f"f{number}"), functools.partial(_answer, number))
        info = {"name": site.name, "runtime": "python", "version": "0.25.0"}
        assert worker.call("engine::workers::register", info) == {"success": True}

    assert [site.worker.call(site.id(f"f{number}")) for number in range(2)] == [0, 1]
    listed = site.worker.call("engine::workers::list", {"worker": site.name})["workers"]
    assert len(listed) == 2


def test_nobody_takes_a_function_from_its_owner(site: Site, connect: Connect) -> None:
    site.worker.serve(site.id("f"), lambda _: "mine")
    stranger = connect()

    stranger.send({"type": "unregisterfunction", "id": site.id("f")})
    site.settle(stranger)

    assert stranger.call(site.id("f")) == "mine"
