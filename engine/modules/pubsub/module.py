"""The pub/sub module: its function, its trigger type, its life cycle."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar

import msgspec

from engine.core.errors import TopicNotSet
from engine.core.functions import Call
from engine.core.modules import Module, ModuleConfig
from engine.core.payloads import read_payload
from engine.modules.pubsub.config import PUBSUB_ADAPTERS, PubSubConfig, RedisOptions
from engine.modules.pubsub.trigger import SubscribeTriggerType

if TYPE_CHECKING:
    from engine.core.engine import Engine

logger = logging.getLogger(__name__)


class PublishArguments(msgspec.Struct, gc=False):
    """The payload of `publish`; the data is not read, but handed on as it came."""

    topic: str
    data: msgspec.Raw


_decode = msgspec.json.Decoder(PublishArguments).decode


class PubSubModule(Module):
    """Messages by topic to whoever listens now; none is kept, none is repeated."""

    class_path = "modules::pubsub::PubSubModule"
    aliases = ("iii-pubsub", "pubsub")
    Config: ClassVar[type[ModuleConfig]] = PubSubConfig
    adapters = PUBSUB_ADAPTERS
    on_by_default = True

    config: PubSubConfig

    def __init__(self, engine: Engine, config: PubSubConfig) -> None:
        super().__init__(engine, config)
        self._triggers = SubscribeTriggerType(engine)

    async def start(self) -> None:
        """Install the function and the trigger type; say so if messages reach less than asked."""
        options = self.config.adapter.config
        if isinstance(options, RedisOptions):
            logger.warning(
                "%s: Redis is not built yet: messages reach the subscribers of this engine only",
                self.class_path,
            )
        self.engine.register_function(
            "publish",
            self.publish,
            description="Hand a message to every function that subscribes to its topic",
            request_format={
                "type": "object",
                "required": ["topic", "data"],
                "properties": {"topic": {"type": "string", "minLength": 1}, "data": {}},
            },
        )
        self.engine.register_trigger_type(self._triggers)

    def publish(self, call: Call) -> None:
        """Hand a message on; succeeds whoever listens, and does not wait for them.

        Raises:
            DeserializationError: topic or data is missing, or the topic is no string.
            TopicNotSet: the topic is empty.
        """
        try:
            arguments = _decode(call.data)
        except (msgspec.DecodeError, RecursionError):
            arguments = read_payload(call, PublishArguments)  # an array, or an error that says why
        if not arguments.topic:
            raise TopicNotSet(f"{call.function_id}: `topic` is empty; name the topic")
        self._triggers.publish(arguments.topic, bytes(arguments.data))
