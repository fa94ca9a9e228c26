"""Every error of the engine's core: one root, each child with its wire code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class EngineError(Exception):
    """The root of all errors that reach a worker, an operator or a log by name."""

    code: ClassVar[str] = "invocation_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvocationFailed(EngineError):
    """A call ended with an error: the callee's own, passed on unchanged, or the engine's.

    Attributes:
        error_code: the code on the wire; a callee may use any string.
        stacktrace: the callee's stack, if it sent one.
    """

    def __init__(self, error_code: str, message: str, stacktrace: str | None = None) -> None:
        super().__init__(message)
        self.error_code = error_code
        self.stacktrace = stacktrace

    def __str__(self) -> str:
        return f"{self.error_code}: {self.message}"


class DeserializationError(EngineError):
    """A built-in function got a payload that it cannot read; the message names the function."""

    code = "deserialization_error"


class InvalidArguments(EngineError):
    """An introspection function got a well-formed payload that makes no sense."""

    code = "INVALID_ARGUMENTS"


class BackendFailed(EngineError):
    """What a built-in function keeps its data in has failed.

    It is answered with the function's own failure code, if it has one (`SET_ERROR`).
    """

    code = "backend_failed"


class TopicNotSet(EngineError):
    """A message names no topic."""

    code = "topic_not_set"


class NotFound(EngineError):
    """An introspection function was asked for something that does not exist."""

    code = "NOT_FOUND"


class ChannelLimitReached(EngineError):
    """A worker, or all of them, hold as many data channels as they may."""

    code = "channel_limit_reached"


class InvalidNamespace(EngineError):
    """A namespace is blank."""

    code = "INVALID_NAMESPACE"


class TriggerRegistrationFailed(EngineError):
    """A trigger type refuses a trigger; the message names the field and the fix."""

    code = "trigger_registration_failed"


class StartError(EngineError):
    """The engine cannot start: a port is taken, a directory is not writable, another engine runs.

    The message says what is wrong, where, and what to do about it.
    """

    code = "start_error"


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing that is wrong in a configuration.

    Attributes:
        place: `file:line:column`, or the file alone where no line is known.
        path: where in the document, dotted: `modules[2].config.port`; empty for the whole.
        message: what is wrong and the nearest right spelling.
    """

    place: str
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.place}: {self.path}" if self.path else self.place
        return f"{where}: {self.message}"


class ConfigError(EngineError):
    """A configuration is wrong; it carries all problems, not only the first."""

    code = "config_error"

    def __init__(self, problems: tuple[ConfigProblem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
