"""How a tick becomes a call: of a live trigger's function, or of a person's schedule's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from engine.core.invocations import Reply
from engine.core.protocol import DEFAULT_NAMESPACE
from engine.modules.cron.payload import payload_head
from engine.modules.cron.records import KnownSchedule, Settings

if TYPE_CHECKING:
    from engine.core.engine import Engine
    from engine.core.triggers import Trigger


class Targets(Protocol):
    """Whoever knows what can be called here."""

    def find(self, schedule: KnownSchedule) -> Target | None:
        """Return how a schedule's function is called here; None if it cannot be now."""


class Target:
    """The functions of a schedule, as this engine calls them.

    Args:
        engine: calls them.
        job_id: whose job it is, for the payload.
        settings: of the schedule.
        namespace: where the function lives; None: the owner's namespace, then `default`.
        owner_namespace: the namespace that an absent one means first.
        metadata: that of a trigger, JSON text; empty for none.

    Attributes:
        job_id: of the payload.
        head: the beginning of the payload, see `payload_head`.
        has_condition: whether a condition is asked first.
    """

    __slots__ = (
        "_call",
        "_condition_id",
        "_function_id",
        "_metadata",
        "_namespace",
        "_owner_namespace",
        "has_condition",
        "head",
        "job_id",
    )

    def __init__(
        self,
        engine: Engine,
        job_id: str,
        settings: Settings,
        namespace: str | None,
        owner_namespace: str = DEFAULT_NAMESPACE,
        metadata: bytes = b"",
    ) -> None:
        self.job_id = job_id
        self.head = payload_head(job_id)
        self.has_condition = bool(settings.condition_function_id)
        self._call: Callable[..., None] = engine.invocations.call
        self._function_id = settings.function_id
        self._condition_id = settings.condition_function_id
        self._namespace = namespace
        self._owner_namespace = owner_namespace
        self._metadata = metadata

    @classmethod
    def of_trigger(cls, engine: Engine, trigger: Trigger, settings: Settings) -> Target:
        """Return the target of a worker's schedule."""
        return cls(
            engine,
            trigger.id,
            settings,
            trigger.namespace,
            trigger.owner_namespace,
            trigger.metadata or b"",
        )

    @classmethod
    def of_person(cls, engine: Engine, settings: Settings) -> Target:
        """Return the target of a person's schedule, whose id stands for that of a trigger."""
        return cls(engine, settings.schedule_id, settings, settings.namespace or None)

    def ask(self, payload: bytes, reply: Reply, traceparent: str) -> None:
        """Call the condition; it gets no metadata, which are the function's."""
        self._call(
            self._condition_id,
            payload,
            reply,
            traceparent,
            None,
            b"",
            self._namespace,
            self._owner_namespace,
        )

    def call(self, payload: bytes, reply: Reply, traceparent: str) -> None:
        """Call the function; `reply` takes the outcome, perhaps before this returns."""
        self._call(
            self._function_id,
            payload,
            reply,
            traceparent,
            None,
            self._metadata,
            self._namespace,
            self._owner_namespace,
        )
