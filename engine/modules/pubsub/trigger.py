"""The trigger type `subscribe`: functions that get the messages of a topic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from engine.core.condition_gate import ConditionGate
from engine.core.errors import TriggerRegistrationFailed
from engine.core.protocol import NULL, encode
from engine.core.triggers import Trigger, TriggerType

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
                "description": "asked first, with the same message; only false blocks",
            },
        },
    }
)


class SubscribeConfig(msgspec.Struct):
    """The config of one trigger; other members are kept for listings only."""

    topic: str = ""
    condition_function_id: str | None = None
    condition_path: str | None = msgspec.field(default=None, name="_condition_path")


class Topic:
    """The subscriptions of one topic, in the order of their coming."""

    __slots__ = ("_by_trigger", "_in_order")

    def __init__(self) -> None:
        self._by_trigger: dict[Trigger, ConditionGate] = {}
        self._in_order: tuple[ConditionGate, ...] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nobody listens."""
        return not self._by_trigger

    def add(self, trigger: Trigger, subscription: ConditionGate) -> None:
        """Add a subscription, which gets the messages from now on."""
        self._by_trigger[trigger] = subscription
        self._in_order = None

    def remove(self, trigger: Trigger) -> None:
        """Take the subscription of exactly this trigger away."""
        self._by_trigger.pop(trigger).close()
        self._in_order = None

    def subscriptions(self) -> tuple[ConditionGate, ...]:
        """Return them; built anew only after a change, whatever handlers do meanwhile."""
        if self._in_order is None:
            self._in_order = tuple(self._by_trigger.values())
        return self._in_order


class SubscribeTriggerType(TriggerType):
    """Knows who listens to which topic, and hands messages out.

    A message is queued for every subscriber's worker at once, so each of them gets what one
    publisher sends in the order of its sending; the publisher waits for none. If a queue is full
    the message is lost to that subscription alone.
    """

    id = "subscribe"
    description = "Messages of a topic, to whoever listens when they are published"
    trigger_request_format = CONFIG_SCHEMA
    call_request_format = encode({"description": "what was published as `data`"})

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._topics: dict[str, Topic] = {}
        self._topic_of: dict[Trigger, str] = {}

    def add(self, trigger: Trigger) -> None:
        """Call the trigger's function with every message of its topic from now on."""
        config = _read_config(trigger)
        topic = self._topics.get(config.topic)
        if topic is None:
            topic = self._topics[config.topic] = Topic()
        condition_id = config.condition_function_id or config.condition_path
        topic.add(trigger, ConditionGate(self._engine, trigger, condition_id))
        self._topic_of[trigger] = config.topic

    def remove(self, trigger: Trigger) -> None:
        """End this subscription; others of its topic stay, whatever ids they have."""
        name = self._topic_of.pop(trigger)
        topic = self._topics[name]
        topic.remove(trigger)
        if topic.is_empty:
            del self._topics[name]

    def publish(self, name: str, data: bytes) -> None:
        """Hand a message, JSON text, to every subscription of a topic; there may be none."""
        topic = self._topics.get(name)
        if topic is not None:
            for subscription in topic.subscriptions():
                subscription.fire(name, data)


def _read_config(trigger: Trigger) -> SubscribeConfig:
    text = b"{}" if trigger.config.strip() in {b"", NULL} else trigger.config
    try:
        config = msgspec.json.decode(text, type=SubscribeConfig)
    except msgspec.DecodeError as error:
        raise TriggerRegistrationFailed(
            f"subscribe trigger {trigger.id}: bad config: {error}"
        ) from error
    if not config.topic:
        raise TriggerRegistrationFailed(
            f"subscribe trigger {trigger.id}: bad config: `topic` is missing or empty; "
            "name the topic to listen to"
        )
    return config
