"""A real engine as a child process on free ports, which tests start, stop and kill."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, Literal

from tests import product
from tests.acceptance.processes import Process
from tests.waiting import wait_until

Server = Literal["picows", "uvicorn", "daphne"]

SERVERS: Final[tuple[Server, ...]] = ("picows", "uvicorn", "daphne")
START_LIMIT_S: Final = 60

_CONFIG: Final = """\
port: {worker_port}
modules:
  - class: modules::api::RestApiModule
    config:
      port: {http_port}
{api_options}
  - class: modules::state::StateModule
  - class: modules::kv_server::KvServer
  - class: modules::pubsub::PubSubModule
  - class: modules::queue::QueueModule
    config:
      queue_configs:
        jobs: {{ max_retries: 12, backoff_ms: 20 }}
        ordered: {{ type: fifo, message_group_field: group, concurrency: 4, backoff_ms: 20 }}
  - class: modules::cron::CronModule
  - class: modules::stream::StreamModule
    config:
      port: {stream_port}
"""

# Services the machine may offer; an engine under test brings its own.
_FOREIGN_SETTINGS: Final = {
    "DATABASE_URL": "",
    "REDIS_URL": "",
    "CELERY_BROKER_URL": "",
    "III_HOST": "",
    "III_CONSOLE_PORT": "off",
}


class EngineProcess(Process):
    """An engine with its own data folder; its ports stay the same over restarts.

    Args:
        folder: keeps config, data and output.
        server: which server serves all ports.
        api_options: more options of the REST module, as indented YAML.
        environment: more variables, such as DATABASE_URL.
    """

    def __init__(
        self,
        folder: Path,
        server: Server = "picows",
        api_options: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.server = server
        self.worker_port, self.http_port, self.stream_port = _free_ports(3)
        config = folder / "iii-config.yaml"
        config.write_text(
            _CONFIG.format(
                worker_port=self.worker_port,
                http_port=self.http_port,
                stream_port=self.stream_port,
                api_options=api_options,
            )
        )
        command = product.iii("-c", str(config), "--data-dir", str(folder / "data"))
        command += ["--server", server]
        settings = {**_FOREIGN_SETTINGS, "III_URL": self.worker_url, **(environment or {})}
        settings |= product.ENVIRONMENT
        super().__init__(f"engine-{server}", command, folder, settings)

    @property
    def worker_url(self) -> str:
        """The address that workers connect to."""
        return f"ws://localhost:{self.worker_port}"

    @property
    def http_url(self) -> str:
        """The address of the REST module."""
        return f"http://localhost:{self.http_port}"

    @property
    def stream_url(self) -> str:
        """The address of the stream module, for clients that follow streams."""
        return f"ws://localhost:{self.stream_port}"

    def start(self, working_folder: Path | None = None) -> None:
        """Start the engine and return once all its ports accept connections."""
        super().start(working_folder)
        for port in (self.worker_port, self.http_port, self.stream_port):
            wait_until(partial(self._accepts, port), f"port {port} opens", START_LIMIT_S)

    def _accepts(self, port: int) -> bool:
        assert self.is_running, f"the engine ended early:\n{self.last_output()}"
        return self.accepts(port)

    @staticmethod
    def accepts(port: int) -> bool:
        """Tell whether a port of the loopback accepts connections now."""
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionRefusedError:
            return False
        return True


def _free_ports(count: int) -> list[int]:
    """Return different ports that are free on both loopback addresses right now."""
    with ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            first = held.enter_context(socket.socket(socket.AF_INET))
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            if _is_free_on_ipv6(port):
                ports.append(port)
        return ports


def _is_free_on_ipv6(port: int) -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", port))
    except OSError as error:
        # A machine without IPv6 has nothing there that could be in the way.
        return "in use" not in str(error)
    return True
