"""The trigger type `queue`: functions that get the messages of a topic, each at least once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from engine.core.errors import TriggerRegistrationFailed
from engine.core.protocol import NULL, encode
from engine.core.triggers import Trigger, TriggerType
from engine.modules.queue.adapters.base import Policy
from engine.modules.queue.arguments import topic_problem
from engine.modules.queue.policy import infrastructure_queue, with_queue_config
from engine.modules.queue.subscriptions import Subscriptions
from engine.modules.queue.targets import TriggerTarget

if TYPE_CHECKING:
    from engine.core.engine import Engine

CONFIG_SCHEMA: Final = encode(
    {
        "type": "object",
        "required": ["topic"],
        "properties": {
            "topic": {
                "type": "string",
                "minLength": 1,
                "description": "only messages of exactly this topic",
            },
            "condition_function_id": {
                "type": "string",
                "description": "asked first, with the same data; false: the message is done",
            },
            "queue_config": {
                "type": "object",
                "description": "how its messages are delivered; what is absent is the adapter's",
                "properties": {
                    "type": {"type": "string", "description": "fifo: in order; else at once"},
                    "maxRetries": {"type": "integer", "description": "attempts after the first"},
                    "concurrency": {"type": "integer", "description": "deliveries at once"},
                    "visibilityTimeout": {
                        "type": "number",
                        "description": "seconds until an attempt counts as failed; 0: never",
                    },
                    "delaySeconds": {"type": "number", "description": "every message waits first"},
                    "backoffType": {"enum": ["exponential", "fixed"]},
                    "backoffDelayMs": {"type": "integer"},
                    "subscriptionRetentionMs": {
                        "type": "integer",
                        "description": "how long it keeps receiving while no worker has it",
                    },
                },
            },
        },
    }
)

NOTHING: Final = msgspec.Raw(b"")


class QueueTriggerConfig(msgspec.Struct):
    """The config of one trigger; the oldest SDKs name several topics in `subscribes`."""

    topic: str = ""
    subscribes: list[str] = []
    condition_function_id: str | None = None
    condition_path: str | None = msgspec.field(default=None, name="_condition_path")
    queue_config: msgspec.Raw = NOTHING
    metadata: msgspec.Raw = NOTHING

    @property
    def topics(self) -> list[str]:
        """Whose messages the function gets."""
        return list(dict.fromkeys(([self.topic] if self.topic else []) + self.subscribes))


class QueueTriggerType(TriggerType):
    """Binds functions to topics: the subscriptions outlive the workers that make them.

    Args:
        engine: calls the functions.
        subscriptions: knows who gets what.
        policy: how messages are delivered where a trigger says nothing else.
    """

    id = "queue"
    aliases = ("durable:subscriber", "event")
    description = "Messages of a topic, kept until they are handled, repeated if that fails"
    trigger_request_format = CONFIG_SCHEMA
    call_request_format = encode({"description": "what was enqueued as `data`"})

    def __init__(self, engine: Engine, subscriptions: Subscriptions, policy: Policy) -> None:
        self._engine = engine
        self._subscriptions = subscriptions
        self._policy = policy
        self._topics: dict[Trigger, list[str]] = {}

    def add(self, trigger: Trigger) -> None:
        """Call the trigger's function with every message of its topics."""
        config = _read_config(trigger)
        text = _queue_config(config, trigger)
        policy = with_queue_config(self._policy, text)
        condition_id = config.condition_function_id or config.condition_path
        self._topics[trigger] = config.topics
        for topic in config.topics:
            target = TriggerTarget(self._engine, trigger, topic, condition_id)
            self._subscriptions.add(topic, trigger, target, policy)

    def remove(self, trigger: Trigger) -> None:
        """End it; with the last one of its function and topic, what waits for them goes, too."""
        for topic in self._topics.pop(trigger):
            self._subscriptions.remove(topic, trigger, keep=False)

    def detach(self, trigger: Trigger) -> None:
        """Keep messages for its function: its worker may come back."""
        for topic in self._topics.pop(trigger):
            self._subscriptions.remove(topic, trigger, keep=True)


def _queue_config(config: QueueTriggerConfig, trigger: Trigger) -> bytes:
    """Return the first `queue_config` that says something."""
    for text in (
        bytes(config.queue_config),
        infrastructure_queue(bytes(config.metadata)),
        infrastructure_queue(trigger.metadata or b""),
    ):
        if text.strip() not in {b"", NULL, b"{}"}:
            return text
    return b""


def _read_config(trigger: Trigger) -> QueueTriggerConfig:
    text = b"{}" if trigger.config.strip() in {b"", NULL} else trigger.config
    try:
        config = msgspec.json.decode(text, type=QueueTriggerConfig)
    except msgspec.DecodeError as error:
        raise _refused(trigger, str(error)) from error
    if not config.topics:
        raise _refused(trigger, "`topic` is missing or empty; name the topic to listen to")
    for topic in config.topics:
        problem = topic_problem(topic)
        if problem:
            raise _refused(trigger, problem)
    return config


def _refused(trigger: Trigger, problem: str) -> TriggerRegistrationFailed:
    return TriggerRegistrationFailed(f"queue trigger {trigger.id}: bad config: {problem}")
