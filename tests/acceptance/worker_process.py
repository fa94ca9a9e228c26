"""An acceptance worker as a child process: one SDK version, one service name."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.acceptance.processes import Process
from tests.acceptance.sdks import Sdk, worker_command

# Twenty workers start at once on two cores.
READY_LIMIT_S: Final = 90


class WorkerProcess(Process):
    """A worker that serves the functions of workers/README.md under its service name."""

    def __init__(self, sdk: Sdk, name: str, service: str, url: str, folder: Path) -> None:
        self.sdk = sdk
        self.service = service
        environment = {
            "SERVICE": service,
            "III_URL": url,
            # Where the telemetry of Python up to 0.8 goes, whatever address its worker has.
            "III_BRIDGE_URL": url,
            # Some SDKs leave a note about each worker in the home folder.
            "HOME": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        super().__init__(name, worker_command(sdk), folder, environment)

    def wait_until_ready(self) -> None:
        """Return once the worker is registered and served its first call."""
        self.wait_for_line("ready", READY_LIMIT_S)

    def named(self, function: str) -> str:
        """Return the id of one of this worker's functions."""
        return f"{self.service}::{function}"
