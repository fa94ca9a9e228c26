"""An engine that is started in an empty folder, as by somebody who tries it out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from engine import __version__
from tests import product
from tests.acceptance.engine_process import START_LIMIT_S
from tests.acceptance.processes import Process
from tests.acceptance.raw_worker import RawWorker

# The default ports on an address of its own: another engine of this machine is not in the way.
ADDRESS: Final = "127.0.0.14"

_NO_SETTINGS: Final = dict.fromkeys(
    ("DATABASE_URL", "REDIS_URL", "III_HOST", "III_DATA_DIR", "III_CONSOLE_PORT"), ""
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Process]:
    environment = _NO_SETTINGS | product.ENVIRONMENT
    engine = Process("engine", product.iii("--host", ADDRESS), tmp_path, environment)
    try:
        engine.start()
        engine.wait_for_line("  Ctrl-C stops", START_LIMIT_S)
        yield engine
    finally:
        engine.kill()


def test_the_default_modules_serve_without_a_config_file(
    engine: Process, http: httpx.Client
) -> None:
    """M014 of the module reference."""
    at = {"scope": "orders", "key": "1"}
    with RawWorker(f"ws://{ADDRESS}:49134") as worker:
        written = worker.call("state::set", {**at, "value": {"total": 5}})
        assert written == {"old_value": None, "new_value": {"total": 5}}
        assert worker.call("state::get", at) == {"total": 5}
        assert worker.call("kv_server::list_keys_with_prefix", {"prefix": ""}) == []
    assert http.get(f"http://{ADDRESS}:3111/health").status_code == 200
    assert http.get(f"http://{ADDRESS}:3113/login/").status_code == 200
    assert "WARN" not in engine.output


def test_the_installed_engine_is_compiled(engine: Process) -> None:
    assert f"iii engine {__version__}, compiled" in engine.output
