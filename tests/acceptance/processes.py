"""A child process whose output is kept, the base of engines and workers under test."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from tests.waiting import wait_until

# What is shown of a process when a test fails.
SHOWN_CHARACTERS: Final = 6_000


@runtime_checkable
class UsesProcesses(Protocol):
    """A fixture that runs processes: those whose output helps when a test fails."""

    @property
    def touched(self) -> Sequence[Process]: ...


class Process:
    """A command that runs in a process group of its own and writes its output to a file.

    It can be started again after it ended; the output of all runs is kept.
    """

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self._command = list(command)
        self._folder = folder
        self._environment = {**os.environ, **environment}
        self._output = folder / f"{name}.log"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    @property
    def pid(self) -> int:
        """The process id of the running or last run."""
        assert self._child is not None, f"{self.name} never ran"
        return self._child.pid

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self, working_folder: Path | None = None) -> None:
        """Start the command; it has to be over if it ran before."""
        assert not self.is_running, f"{self.name} runs already"
        with self._output.open("ab") as output:
            self._child = subprocess.Popen(
                self._command,
                cwd=working_folder or self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End the whole process group with SIGKILL, if it still runs."""
        self._signal(signal.SIGKILL)
        if self._child is not None:
            self._child.wait(10)

    def terminate(self, limit_s: float = 15) -> int:
        """Ask for a graceful end with SIGTERM and return the exit code.

        Raises:
            AssertionError: it still runs after `limit_s`.
        """
        assert self._child is not None, f"{self.name} never ran"
        self.ask_to_stop()
        child = self._child
        wait_until(lambda: child.poll() is not None, f"{self.name} ends on SIGTERM", limit_s)
        return child.wait()

    def ask_to_stop(self) -> None:
        """Send SIGTERM and return at once."""
        self._signal(signal.SIGTERM)

    def wait_for_line(self, text: str, limit_s: float) -> None:
        """Return once a line of the output begins with `text`.

        Raises:
            AssertionError: the process ended, or the line did not come within `limit_s`.
        """

        def has_line() -> bool:
            found = any(line.startswith(text) for line in self.output.splitlines())
            assert found or self.is_running, f"{self.name} ended early:\n{self.last_output()}"
            return found

        wait_until(has_line, f"{self.name} prints {text!r}", limit_s)

    def last_output(self) -> str:
        """Return the end of the output, for a person."""
        return self.output[-SHOWN_CHARACTERS:]

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None and self._child.poll() is None:
            os.killpg(self._child.pid, number)
