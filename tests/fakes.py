"""The fakes that tests share: a worker without a socket and an engine without servers."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec

from engine.core.config import ConfiguredModule, EngineConfig
from engine.core.engine import Engine
from engine.core.modules import Module
from engine.core.outgoing import Outgoing
from engine.core.session import WorkerSession
from engine.core.triggers import TriggerJournal
from engine.modules.worker.module import WorkerModule


class FakeOutbox:
    """Keeps what a session sends; `is_full` makes it refuse invocations."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.is_full = False
        self.closed: int | None = None

    def offer(self, frame: Outgoing) -> bool:
        if self.is_full:
            return False
        self.frames.append(bytes(frame))
        return True

    def push(self, frame: Outgoing) -> None:
        self.frames.append(bytes(frame))

    def close(self, code: int, reason: str = "") -> None:
        self.closed = code


class FakeWorker:
    """A worker whose messages reach the session directly and whose replies are read as JSON."""

    def __init__(
        self, engine: Engine, info: dict[str, Any] | None = None, *, is_internal: bool = False
    ) -> None:
        self.outbox = FakeOutbox()
        self.session = WorkerSession(engine, self.outbox, "127.0.0.1", is_internal=is_internal)
        self.session.open()
        self.greeting = self.take()[0]
        self._ids = itertools.count(1)
        if info is not None:
            self.void("engine::workers::register", info)

    def take(self) -> list[dict[str, Any]]:
        """Return and forget what the engine has sent since the last time."""
        frames, self.outbox.frames = self.outbox.frames, []
        return [msgspec.json.decode(frame) for frame in frames]

    def take_one(self) -> dict[str, Any]:
        """Return the only frame that the engine has sent since the last time."""
        frames = self.take()
        assert len(frames) == 1, frames
        return frames[0]

    def send(self, message_type: str, **members: Any) -> None:
        self.raw(msgspec.json.encode({"type": message_type, **members}))

    def raw(self, payload: bytes) -> None:
        self.session.on_text(payload)

    def function(self, function_id: str, **members: Any) -> None:
        self.send("registerfunction", id=function_id, **members)

    def trigger(self, trigger_id: str, trigger_type: str, function_id: str, **rest: Any) -> None:
        members = {"config": {}, **rest}
        self.send(
            "registertrigger",
            id=trigger_id,
            trigger_type=trigger_type,
            function_id=function_id,
            **members,
        )

    def void(self, function_id: str, data: Any = None) -> None:
        self.send("invokefunction", function_id=function_id, data=data, action={"type": "void"})

    def invoke(self, function_id: str, data: Any = None, **members: Any) -> str:
        """Send a call; return its id."""
        invocation_id = f"call-{next(self._ids)}"
        self.send(
            "invokefunction",
            invocation_id=invocation_id,
            function_id=function_id,
            data=data,
            **members,
        )
        return invocation_id

    def call(self, function_id: str, data: Any = None, **members: Any) -> dict[str, Any]:
        """Call what answers at once; return the whole result frame."""
        self.invoke(function_id, data, **members)
        return self.take_one()

    def result(self, invocation: dict[str, Any], result: Any) -> None:
        """Answer an invocation that the engine has sent."""
        self.send(
            "invocationresult",
            invocation_id=invocation["invocation_id"],
            function_id=invocation["function_id"],
            result=result,
        )

    def error(self, invocation: dict[str, Any], error: Any) -> None:
        """Answer an invocation with an error."""
        self.send(
            "invocationresult",
            invocation_id=invocation["invocation_id"],
            function_id=invocation["function_id"],
            error=error,
        )

    def leave(self) -> None:
        """Lose the connection."""
        self.session.close()


class JournalOfNames:
    """A trigger journal that keeps what happened as `(what, trigger id)`."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str]] = []

    def saved(self, binding: Any) -> None:
        self.entries.append((binding.state.value, binding.trigger.id))

    def detached(self, trigger: Any) -> None:
        self.entries.append(("detached", trigger.id))

    def removed(self, trigger: Any) -> None:
        self.entries.append(("removed", trigger.id))


def make_engine(
    *modules: tuple[type[Module], dict[str, Any]], journal: TriggerJournal | None = None
) -> Engine:
    """Build an engine of these modules, by default of the worker module alone."""
    chosen = modules or ((WorkerModule, {}),)
    configured = tuple(
        ConfiguredModule(module.class_path, module, module.Config(**options))
        for module, options in chosen
    )
    return Engine(EngineConfig("test", configured), journal=journal)
