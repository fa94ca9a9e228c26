"""An engine per server and configuration, shared by all tests of this folder."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.acceptance.engine_process import SERVERS, EngineProcess, Server
from tests.acceptance.raw_worker import Frame, RawWorker
from tests.waiting import wait_until

# Short limits and narrow rules, for the tests that run into them.
STRICT_OPTIONS: Final = """\
      default_timeout: 1000
      concurrency_request_limit: 1
      body_limit: 1000
      cors:
        allowed_origins: ["http://a"]
        allowed_methods: [GET, POST]
      middleware:
        - function_id: guard::all
"""

_numbers = itertools.count(1)


class Site:
    """One engine with a worker of the test's own, and names that no other test uses."""

    def __init__(self, engine: EngineProcess, worker: RawWorker, client: httpx.Client) -> None:
        self.engine = engine
        self.worker = worker
        self.client = client
        self.name = f"t{next(_numbers)}"

    def id(self, name: str) -> str:
        """Return a function id of this test's own."""
        return f"{self.name}::{name}"

    def route(
        self,
        path: str,
        handler: Callable[[Any], Any],
        *,
        method: str = "GET",
        trigger_type: str = "api",
        function: str | None = None,
        worker: RawWorker | None = None,
        **config: Any,
    ) -> str:
        """Serve a path below this test's own and return the trigger's id, once it answers."""
        worker = worker or self.worker
        function_id = self.id(function or path)
        worker.serve(function_id, handler)
        trigger_id = worker.bind(
            trigger_type,
            function_id,
            {"api_path": f"{self.name}/{path}", "http_method": method, **config},
        )
        self.settle(worker)
        return trigger_id

    def connect(self) -> RawWorker:
        """Connect one more worker; the test closes it."""
        return RawWorker(self.engine.worker_url)

    def settle(self, worker: RawWorker | None = None) -> None:
        """Return once the engine has handled what a worker has sent so far."""
        (worker or self.worker).call("engine::workers::list")

    def url(self, path: str) -> str:
        return f"{self.engine.http_url}/{self.name}/{path}"

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(self.url(path), **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.client.post(self.url(path), **options)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.client.request(method, self.url(path), **options)

    def next_invocation(self, function: str, worker: RawWorker | None = None) -> Frame:
        """Wait for a call of a function that has no handler; the test answers it."""
        worker = worker or self.worker
        function_id = self.id(function)

        def arrived() -> Frame | None:
            for frame in worker.frames:
                if frame["type"] == "invokefunction" and frame["function_id"] == function_id:
                    worker.frames.remove(frame)
                    return frame
            return None

        frame = wait_until(arrived, f"{function_id} is called")
        assert frame is not None
        return frame

    def answer(self, invocation: Frame, result: Any, worker: RawWorker | None = None) -> None:
        """Answer an invocation."""
        (worker or self.worker).send(
            {
                "type": "invocationresult",
                "invocation_id": invocation["invocation_id"],
                "function_id": invocation["function_id"],
                "result": result,
            }
        )


class Engines:
    """Engines by server and options, started when first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[tuple[Server, str], EngineProcess] = {}

    def get(self, server: Server, options: str = "") -> EngineProcess:
        key = (server, options)
        if key not in self._running:
            folder = self._folder / f"{server}-{len(self._running)}"
            engine = EngineProcess(folder, server, api_options=options)
            self._running[key] = engine
            engine.start()
        return self._running[key]

    def fresh(self, server: Server) -> EngineProcess:
        """Start one more engine, for a test that ends it."""
        number = len(self._running)
        engine = EngineProcess(self._folder / f"fresh-{number}", server)
        self._running[server, f"fresh {number}"] = engine
        engine.start()
        return engine

    def stop(self) -> None:
        for engine in self._running.values():
            engine.kill()


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    engines = Engines(tmp_path_factory.mktemp("engines"))
    yield engines
    engines.stop()


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    """Each of the servers in turn."""
    name: Server = request.param
    return name


@pytest.fixture
def running(server: Server, engines: Engines) -> EngineProcess:
    """The engine with default options."""
    return engines.get(server)


@pytest.fixture
def connect(running: EngineProcess) -> Iterator[Callable[[], RawWorker]]:
    """Connect more workers; all leave when the test ends."""
    workers: list[RawWorker] = []

    def connect() -> RawWorker:
        worker = RawWorker(running.worker_url)
        workers.append(worker)
        return worker

    yield connect
    for worker in workers:
        worker.close()


@pytest.fixture
def site(running: EngineProcess, http: httpx.Client) -> Iterator[Site]:
    """The engine with default options, and a worker."""
    with RawWorker(running.worker_url) as worker:
        yield Site(running, worker, http)


@pytest.fixture
def strict(server: Server, engines: Engines, http: httpx.Client) -> Iterator[Site]:
    """The engine with STRICT_OPTIONS, and a worker."""
    engine = engines.get(server, STRICT_OPTIONS)
    with RawWorker(engine.worker_url) as worker:
        yield Site(engine, worker, http)
